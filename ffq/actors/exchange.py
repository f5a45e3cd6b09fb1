"""Streams of workers at the coordinator's end: beats are answered, assignments pushed.

What a stream carries means what it means in calls of their own: a beat is a Heartbeat (R18 to R21),
and what is pushed is what GetTask would have given. Only, nothing that the coordinator does by
itself is evidence of a worker's life: a push is none, an open stream is none, and a closed one is
no sign of death.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar

import attrs
import trio

from ffq.actors.bell import Needs, Seat, WorkBell
from ffq.actors.carried import CarriedOutputs
from ffq.actors.ends import take_ends
from ffq.actors.parties import Parties
from ffq.actors.posting import ask_at_once
from ffq.bounds import MAX_AHEAD
from ffq.core.walks import WALKS
from ffq.errors import ExecutionError, FfqError, InvalidRequest, Unavailable
from ffq.ids import WorkerId
from ffq.messages import (
    Assignment,
    AttemptEnd,
    EndAnswer,
    FromWorker,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    ReadRecalls,
    ToWorker,
)
from ffq.runtime import Request
from ffq.runtime.errors import ActorError

R = TypeVar("R")

Send: TypeAlias = Callable[[ToWorker], Awaitable[None]]

WINDOW: Final = 4
"""Messages each way that one side may be behind."""
MAX_LIMIT_MS: Final = 60_000
_REFUSED_PAUSE_S: Final = 0.01
"""One that was called and got nothing (its tasks are choosy, or it is excluded) is not called
again at once, however often the state changes."""


@attrs.frozen
class _Held:
    """Within the block the lock is held. To take one that is free is no turn of the scheduler."""

    lock: trio.Lock

    async def __aenter__(self) -> None:
        try:
            self.lock.acquire_nowait()
        except trio.WouldBlock:
            await self.lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.lock.release()


@attrs.define
class _Open:
    """One stream. `sent`: assignments so far. `holds_until`: on Trio's clock, `limit` and `ahead`.
    `called_back`: there is something that its worker has to be told to give back.
    """

    worker_id: WorkerId
    incarnation: int
    bell: WorkBell
    endpoint: str
    sent: int = 0
    limit: int = 0
    ahead: int = 0
    holds_until: float = 0.0
    finished: bool = False
    replaced: bool = False
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    pause: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    news: trio.Event = attrs.field(factory=trio.Event)
    giving: trio.Lock = attrs.field(factory=trio.Lock)
    """Held from the look at its room until what fills it is sent."""
    called_back: trio.Event = attrs.field(factory=trio.Event)
    seat: Seat = attrs.field(
        default=attrs.Factory(
            lambda self: Seat(self.worker_id, self.bell, lambda: self.room), takes_self=True
        )
    )

    @property
    def room(self) -> Needs:
        """How many assignments it takes now."""
        if trio.current_time() >= self.holds_until:
            return Needs()
        # What is on its way may be more than a worker that has less room now has heard of.
        slots = max(0, self.limit - self.sent)
        return Needs(slots, max(0, self.limit + self.ahead - self.sent - slots))

    @property
    def is_offered(self) -> bool:
        """Whether it has room, and there is work for it."""
        return not self.finished and self.seat.is_offered

    def hear(self, message: FromWorker) -> None:
        self.limit, self.ahead = message.limit, min(message.ahead, MAX_AHEAD)
        lasts_ms = min(message.limit_ms, MAX_LIMIT_MS)
        self.holds_until = trio.current_time() + lasts_ms / 1000
        self.news.set()
        self.seat.look()

    def call_back(self) -> None:
        """There may be something that its worker has to be told to give back."""
        self.called_back.set()

    def finish(self) -> None:
        """No more pushes; one under way is carried through."""
        self.finished = True
        self.pause.cancel()
        self.call_back()


@attrs.frozen
class Exchanges:
    """The streams that are open: one for each worker, the newest.

    Attributes:
        rest_ms: what workers are told with the answers to their beats.
    """

    parties: Parties
    bell: WorkBell
    carried: CarriedOutputs = attrs.field(factory=CarriedOutputs)
    open: dict[WorkerId, _Open] = attrs.field(factory=dict)
    rest_ms: int = 0

    async def serve(self, incoming: AsyncIterator[FromWorker], send: Send) -> None:
        """One stream, until the worker ends it, is superseded, or opens another one.

        Raises:
            InvalidRequest: the first message has no beat, or a beat is another worker's.
            Unavailable: the worker has opened another stream.
            FfqError: what Heartbeat or GetTask raise.
        """
        first = await anext(incoming, None)
        beat = None if first is None else first.beat
        if first is None or beat is None or beat.incarnation <= 0:
            raise InvalidRequest("Work: its first message has no beat with an incarnation")
        reply = await self._beat(beat)
        await send(ToWorker(beat=reply, rest_ms=self.rest_ms))
        if reply.superseded:
            return
        stream = _Open(beat.worker_id, beat.incarnation, self.bell, beat.endpoint)
        stream.hear(first)
        self._enter(stream)
        try:
            with stream.scope:
                await self._carry(stream, incoming, send)
        finally:
            if self.open.get(stream.worker_id) is stream:
                del self.open[stream.worker_id]
                del self.bell.recalls[stream.worker_id]
        if stream.replaced:
            raise Unavailable(f"worker {stream.worker_id} has opened another stream")

    def _enter(self, stream: _Open) -> None:
        before = self.open.get(stream.worker_id)
        if before is not None:
            before.replaced = True
            before.scope.cancel()
        self.open[stream.worker_id] = stream
        self.bell.recalls[stream.worker_id] = stream.call_back
        stream.call_back()  # what the stream before it may not have told

    async def _carry(self, stream: _Open, incoming: AsyncIterator[FromWorker], send: Send) -> None:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def carry(part: Callable[[_Open, Send], Awaitable[None]]) -> None:
                nonlocal failure
                try:
                    await part(stream, send)
                except Exception as error:  # noqa: BLE001  # as it is, in no group
                    failure = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(carry, self._push)
            nursery.start_soon(carry, self._call_back)
            try:
                await self._answer(stream, incoming, send)
            except Exception as error:  # noqa: BLE001  # the same
                failure = error
                nursery.cancel_scope.cancel()
            stream.finish()
        if failure is not None:
            raise failure

    async def _answer(self, stream: _Open, incoming: AsyncIterator[FromWorker], send: Send) -> None:
        """Until the worker says no more, or is told that it is superseded."""
        async for message in incoming:
            beat = message.beat
            answers = await self._take(stream, message.ends) if message.ends else ()
            if beat is None:
                stream.hear(message)
            if answers:
                await self._tell(stream, send, answers)
            if beat is None:
                continue
            if (beat.worker_id, beat.incarnation) != (stream.worker_id, stream.incarnation):
                raise InvalidRequest(
                    f"Work: a beat of worker {beat.worker_id}, incarnation {beat.incarnation}; "
                    f"this stream is of {stream.worker_id}, incarnation {stream.incarnation}"
                )
            reply = await self._beat(beat)
            # Not before: a worker that was stale, or lacked something, is given nothing yet.
            stream.hear(message)
            await send(ToWorker(beat=reply, rest_ms=self.rest_ms))
            if reply.superseded:
                return
            stream.seat.may_ask_again()
            self.bell.ring()

    async def _push(self, stream: _Open, send: Send) -> None:
        while not stream.finished:
            with trio.CancelScope() as stream.pause:
                await self._work_and_room(stream)
            asks = False
            tasks: tuple[Assignment, ...] = ()
            try:
                async with stream.giving:
                    asks = stream.is_offered
                    if asks:
                        tasks = await self._tasks(stream)
                    if tasks:
                        await send(ToWorker(tasks))
            finally:
                if not tasks:  # whoever waits next is called in its place
                    self.bell.ring()
            if asks and not tasks and not self.bell.is_recalling:
                with trio.CancelScope() as stream.pause:
                    await trio.sleep(_REFUSED_PAUSE_S)

    async def _call_back(self, stream: _Open, send: Send) -> None:
        """Tell what is to be given back, as it has to be told."""
        while not stream.finished:
            await stream.called_back.wait()
            stream.called_back = trio.Event()
            keys = await self._ask(ReadRecalls(stream.worker_id, stream.incarnation))
            if keys:
                await send(ToWorker(recalled=keys))

    async def _tell(self, stream: _Open, send: Send, answers: tuple[EndAnswer, ...]) -> None:
        """What became of ends, and with it what may begin in their place, if there is something."""
        async with _Held(stream.giving):
            tasks = await self._tasks(stream) if stream.is_offered else ()
            await send(ToWorker(tasks, answers=answers))

    async def _tasks(self, stream: _Open) -> tuple[Assignment, ...]:
        """For all the room that there is."""
        stream.seat.asks()
        # Of scheduling alone: asked through the door it would be evidence of life (R18).
        room = stream.room
        tasks = await self._ask(
            GetTask(stream.worker_id, room.slots, stream.incarnation, room.ahead)
        )
        if tasks:
            stream.sent += len(tasks)
            stream.seat.may_ask_again()
            stream.seat.given(tasks)
        return self.carried.filled(tasks, stream.endpoint)

    async def _work_and_room(self, stream: _Open) -> None:
        while not stream.room:
            stream.news = trio.Event()
            await stream.news.wait()
        await stream.seat.called()

    async def _take(self, stream: _Open, ends: tuple[AttemptEnd, ...]) -> tuple[EndAnswer, ...]:
        """Raises InvalidRequest: one is said in another worker's name. Then none is taken."""
        own = stream.worker_id, stream.incarnation
        for end in ends:
            who = end.report.worker_id, end.report.incarnation
            if who != own:
                raise InvalidRequest(
                    f"Work: a report of worker {who[0]}, incarnation {who[1]}; this stream is of "
                    f"{own[0]}, incarnation {own[1]}"
                )
        # Before they are taken: who reads them may begin at once, by another stream.
        kept = tuple(map(self.carried.keep, ends))
        answers = await take_ends(self._ask, *own, ends)
        for key, answer in zip(kept, answers, strict=True):
            if key is not None and answer is not EndAnswer.COUNTED:
                self.carried.drop(key)
        return answers

    async def _beat(self, beat: Heartbeat) -> HeartbeatReply:
        """As through the coordinator's door: it is evidence of the worker's life (R18)."""
        reply: HeartbeatReply = await WALKS[Heartbeat](self._ask, beat)
        for query_id in reply.ended_queries:
            self.carried.drop_query(query_id)
        return reply

    async def _ask(self, message: Request[R]) -> R:
        return await ask_at_once(self.parties, message)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[MemoryExchange]:
        """A stream in this process: what `serve` serves, with a worker at the other end."""
        up_in, up_out = trio.open_memory_channel[FromWorker](WINDOW)
        down_in, down_out = trio.open_memory_channel[ToWorker](WINDOW)
        exchange = MemoryExchange(up_in, down_out)

        async def serve() -> None:
            with up_out, down_in:
                try:
                    await self.serve(up_out, down_in.send)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass  # the worker has gone
                except ActorError as error:
                    exchange.failure = Unavailable(f"the coordinator is gone: {error.message}")
                except FfqError as error:
                    exchange.failure = error
                except Exception as error:  # noqa: BLE001  # as on the wire (R28)
                    exchange.failure = ExecutionError(f"it failed: {type(error).__name__}")

        with up_in, down_out:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                yield exchange
                nursery.cancel_scope.cancel()


@attrs.define
class MemoryExchange:
    """`ffq.service.Exchange` in memory."""

    _up: trio.MemorySendChannel[FromWorker]
    _down: trio.MemoryReceiveChannel[ToWorker]
    failure: FfqError | None = None

    async def send(self, message: FromWorker) -> None:
        """Raises Unavailable: it has ended."""
        try:
            await self._up.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self.failure or Unavailable("the stream has ended") from None

    async def receive(self) -> ToWorker | None:
        try:
            return await self._down.receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            return None

    def finish(self) -> None:
        self._up.close()
