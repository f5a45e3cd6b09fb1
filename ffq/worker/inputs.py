"""Fetching what a task reads from other stages (R23 to R25).

Parts are streamed into spools, those of one worker in one stream. One that did not come whole in it
is resumed at the offset where it broke. A part that cannot be had from its worker is asked of the
coordinator, which may still reach it. What neither has is lost: the attempt fails and names every
lost map output, so that they are made again at once and not one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import trio

from ffq.errors import NotReady, QuotaExceeded, ShuffleInputError, Unavailable, UnknownId
from ffq.ids import AttemptKey
from ffq.retry import RetryPolicy, within
from ffq.worker.ports import Fetched, ShuffleTransport, Spool
from ffq.worker.together import Wanted, fetch_together, grouped
from ffq.worker.wanted import InputPart

_NAMED_IN_MESSAGE = 3


@attrs.frozen
class FetchSettings:
    """Bounds of fetching.

    Attributes:
        retry: the time limit is for one chunk.
        patience_ms: how long a worker may make no progress before it is given up.
        coordinator_patience_ms: the same for outputs that only the coordinator serves.
        concurrency: streams open at once for one attempt.
    """

    retry: RetryPolicy = attrs.field(factory=RetryPolicy)
    patience_ms: int = 5_000
    coordinator_patience_ms: int = 30_000
    concurrency: int = 8


async def fetch_inputs(
    wanted: Mapping[int, Sequence[InputPart]],
    transport: ShuffleTransport,
    settings: FetchSettings,
    make_spool: Callable[[InputPart], Spool],
    local: Callable[[InputPart], Spool | None] = lambda _: None,
) -> dict[int, tuple[Fetched, ...]]:
    """Fetch all parts of all leaves, but for those that came with the assignment.

    Args:
        make_spool: where a fetched part goes.
        local: a part that need not be fetched; None for one that must.

    Raises:
        ShuffleInputError: some could not be had; its `inputs` name each map attempt.
        DiskError: a spool had no room.
    """
    fetched: dict[int, tuple[Fetched, ...]] = {}
    todo: list[Fetched] = []
    for leaf, parts in wanted.items():
        items = []
        for part in parts:
            spool = local(part)
            item = Fetched(part, make_spool(part) if spool is None else spool)
            items.append(item)
            if spool is None and part.content:
                await item.spool.write(part.content)
            elif spool is None:
                todo.append(item)
        fetched[leaf] = tuple(items)
    await _FetchJob(transport, settings).run(todo)
    return fetched


@attrs.define
class _FetchJob:
    """The fetches of one attempt; `lost` and `dead` spare later parts a wait that is in vain."""

    _transport: ShuffleTransport
    _settings: FetchSettings
    _lost: dict[AttemptKey, str] = attrs.field(factory=dict)
    _dead: dict[str, str] = attrs.field(factory=dict)
    _hopeless: set[str] = attrs.field(factory=set)
    _silent_since: dict[str, float] = attrs.field(factory=dict)
    _left: list[Wanted] = attrs.field(factory=list)
    _error: Exception | None = None

    async def run(self, items: Sequence[Fetched]) -> None:
        await self._share_out(grouped(items))
        await self._share_out([[wanted] for wanted in self._left])
        if self._lost:
            raise _lost_error(self._lost)

    async def _share_out(self, groups: Sequence[Sequence[Wanted]]) -> None:
        if not groups:
            return
        todo = iter(groups)
        async with trio.open_nursery() as nursery:
            for _ in range(min(len(groups), self._settings.concurrency)):
                nursery.start_soon(self._drain, todo, nursery.cancel_scope)
        if self._error is not None:
            raise self._error

    async def _drain(self, todo: Iterator[Sequence[Wanted]], job_scope: trio.CancelScope) -> None:
        try:
            for group in todo:
                if len(group) > 1:
                    await self._fetch_group(group)
                else:
                    await self._fetch(group[0])
        except Exception as error:  # noqa: BLE001 - raised by run, without the nursery's group
            self._error = self._error or error
            job_scope.cancel()

    async def _fetch_group(self, group: Sequence[Wanted]) -> None:
        began = trio.current_time()
        if await fetch_together(group, self._transport, self._settings.retry):
            return
        left = [wanted for wanted in group if wanted.offset < wanted.item.part.bytes]
        if not any(wanted.offset for wanted in group):
            self._silent_since.setdefault(group[0].item.part.endpoint, began)
        self._left.extend(left)

    async def _fetch(self, wanted: Wanted) -> None:
        part = wanted.item.part
        if part.key in self._lost:
            return
        if part.endpoint in self._hopeless:
            self._lost[part.key] = self._dead[part.endpoint]
            return
        since = self._silent_since.get(part.endpoint)
        stream = _PartStream(self._transport, self._settings.retry, wanted, since)
        try:
            await self._fetch_somewhere(part, stream)
        except (UnknownId, NotReady, ShuffleInputError) as error:
            self._lost[part.key] = error.message
        except Unavailable as error:
            self._lost[part.key] = self._dead.get(part.endpoint, error.message)
            if part.endpoint:
                self._hopeless.add(part.endpoint)

    async def _fetch_somewhere(self, part: InputPart, stream: _PartStream) -> None:
        if not part.endpoint:
            await stream.read(part, self._settings.coordinator_patience_ms)
            return
        if part.endpoint not in self._dead:
            try:
                await stream.read(part, self._settings.patience_ms)
            except Unavailable as error:
                self._dead[part.endpoint] = error.message
            else:
                return
        await stream.read(attrs.evolve(part, endpoint=""), 0)


@attrs.define
class _PartStream:
    """One part on its way into its spool; keeps the offset over broken streams (R24)."""

    _transport: ShuffleTransport
    _retry: RetryPolicy
    _wanted: Wanted
    _since: float | None = None
    """Since when its worker has made no progress; None: it has not been asked."""

    async def read(self, part: InputPart, patience_ms: int) -> None:
        """Read to the end, from the offset reached so far.

        Raises:
            Unavailable, QuotaExceeded: no progress for `patience_ms`.
            UnknownId, NotReady: it is not there.
            ShuffleInputError: what came breaks R24.
        """
        failures = 0
        since = trio.current_time() if self._since is None else self._since
        self._since = None
        while True:
            before = self._wanted.offset
            broken: Unavailable | QuotaExceeded
            wait_s = 0.0
            try:
                if await self._read_once(part):
                    self._check_size(part)
                    return
                broken = Unavailable(
                    f"{part}: the stream ended at byte {self._wanted.offset}, unfinished"
                )
            except Unavailable as error:
                broken = error
            except QuotaExceeded as error:  # it serves as many as it may, and lacks nothing
                broken = error
                wait_s = error.retry_after_ms / 1000
            if self._wanted.offset > before:
                failures = 0
                since = trio.current_time()
            failures += 1
            delay = max(wait_s, self._retry.delay_s(failures))
            if trio.current_time() + delay > since + patience_ms / 1000:
                raise broken
            await trio.sleep(delay)

    def _check_size(self, part: InputPart) -> None:
        if part.bytes and self._wanted.offset != part.bytes:
            expected = f"registered were {part.bytes}"
            if part.fixed_wire:
                expected = (
                    f"the shared folder has {part.bytes}: this worker's --shuffle-root and the "
                    f"coordinator's shuffle folder must be the same (FFQ_SHUFFLE_ROOT)"
                )
            raise ShuffleInputError(
                f"{part}: it has {self._wanted.offset} bytes, {expected}",
                inputs=(_triple(part.key),),
            )

    async def _read_once(self, part: InputPart) -> bool:
        """Whether the stream was read to the end of a complete partition."""
        async with self._transport.fetch(part, self._wanted.offset) as stream:
            while True:
                chunk = await within(stream.receive(), self._retry, str(part))
                if chunk is None:
                    return False
                at, end = self._wanted.offset, self._wanted.offset + len(chunk.payload)
                if (chunk.start_offset, chunk.end_offset) != (at, end):
                    raise ShuffleInputError(
                        f"{part}: a chunk of {len(chunk.payload)} bytes said it was bytes "
                        f"{chunk.start_offset} to {chunk.end_offset}, expected {at} on",
                        inputs=(_triple(part.key),),
                    )
                if chunk.payload:
                    await self._wanted.item.spool.write(chunk.payload)
                self._wanted.offset = chunk.end_offset
                if chunk.finalized and chunk.end_offset >= chunk.watermark_offset:
                    return True
                if part.fixed_wire and not chunk.watermark_offset:
                    return True  # it knows of no such partition: nobody wrote a row to it


def _triple(key: AttemptKey) -> tuple[int, int, int]:
    return (key.stage_id, key.task_id, key.attempt)


def _lost_error(lost: Mapping[AttemptKey, str]) -> ShuffleInputError:
    keys = sorted(lost)
    named = "; ".join(f"{key}: {lost[key]}" for key in keys[:_NAMED_IN_MESSAGE])
    more = len(keys) - _NAMED_IN_MESSAGE
    tail = f"; and {more} more" if more > 0 else ""
    return ShuffleInputError(
        f"map outputs could not be fetched: {named}{tail}",
        inputs=tuple(_triple(key) for key in keys),
    )
