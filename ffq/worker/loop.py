"""The worker loop: beat, pull, run, report. It meets the world only through its arguments.

    ┌ heartbeats ── every heartbeat_ms, on a task of their own: a busy worker is never stale (R20)
    ├ janitor ───── removes files of queries that the heartbeat's answer names as ended
    ├ stream ────── where the coordinator knows it: beats go up on it, and assignments come down
    └ pull loop ─── where there is no stream: one GetTask for all free slots
    each assignment becomes a task of its own when it has a slot; on the stream come a few more

Cancelling `run` is a crash: nothing is reported. So is being superseded by another process with
this worker's id: the coordinator has counted as lost what ran here. `stop` is the orderly end: no
more pulls, and what runs is reported FAILED, kind STOPPED, within `stop_grace_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from ffq.errors import (
    CallerError,
    FfqError,
    StartupError,
    Unavailable,
    UnknownId,
    UnknownMethod,
    WorkerSuperseded,
)
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    Assignment,
    AttemptEnd,
    EndAnswer,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    QueryState,
)
from ffq.retry import RetryPolicy
from ffq.service import Coordinator, OpenExchange
from ffq.worker.attempt import AttemptContext, AttemptSettings
from ffq.worker.link import CoordinatorLink, WorkerIdentity, logger
from ffq.worker.plans import PlanCache
from ffq.worker.ports import Executor, ShuffleTransport
from ffq.worker.slots import Slots, SlotSettings
from ffq.worker.standing import Standing, StandingSettings, Worker
from ffq.worker.ways import Ways

MAX_HELD_QUERIES_TOLD = 1_000
"""Queries with files here that one heartbeat names; the next one names the following ones."""
_BEAT_TIMEOUT_MS = 1_000
_IDLE_POLLS_PER_STEP = 50
_IDLE_MAX_FACTOR = 5
_UNKNOWN_PAUSE_S = 60.0
"""A coordinator that knows no streams may be replaced by one that does."""


@attrs.frozen
class LoopSettings:
    """Times in ms.

    Attributes:
        slots: attempts at once.
        poll_ms: between pulls that found nothing; grows to five times that while nothing comes.
        heartbeat_ms: between beats; at most a fifth of the coordinator's liveness timeout.
        connect_timeout_ms: how long the first beat may wait for a coordinator; 0: for ever.
        stop_grace_ms: how long an orderly end may take to stop fragments and report them.
        claim_ms: an attempt is claimed in heartbeats only while the coordinator has answered
            something within this time. One that hears us but cannot reach us would otherwise
            leave the attempt here for ever, with its last report unanswered.
        ahead_ms: of so much work, as attempts took of late, may wait for a slot.
    """

    slots: int
    poll_ms: int = 20
    heartbeat_ms: int = 1_000
    connect_timeout_ms: int = 30_000
    stop_grace_ms: int = 5_000
    claim_ms: int = 10_000
    ahead_ms: int = 20
    retry: RetryPolicy = attrs.field(factory=RetryPolicy)
    attempts: AttemptSettings = attrs.field(factory=AttemptSettings)


class WorkerLoop:
    """One worker's life at one coordinator.

    Args:
        coordinator_name: what log lines call it: its endpoint.
        unix_ms: the wall clock, for `at_ms` in heartbeats only; all waiting is on Trio's clock.
        plans: how plans are read; by default on threads.
        exchanges: ways to open a stream to the coordinator, the best first; none: all is calls.
    """

    def __init__(
        self,
        identity: WorkerIdentity,
        settings: LoopSettings,
        *,
        coordinator: Coordinator,
        executor: Executor,
        transport: ShuffleTransport,
        unix_ms: Callable[[], int],
        coordinator_name: str = "coordinator",
        plans: PlanCache | None = None,
        exchanges: Sequence[OpenExchange] = (),
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._executor = executor
        self._unix_ms = unix_ms
        self._link = CoordinatorLink(coordinator, coordinator_name, settings.retry)
        self._context = AttemptContext(
            identity,
            settings.attempts,
            self._link,
            executor,
            transport,
            plans or PlanCache(),
            self._end_on_stream,
        )
        self._exchanges = exchanges
        self._standing: Standing | None = None
        self._pulling = False
        self._stop_asked = trio.Event()
        self._slots = Slots(
            SlotSettings(settings.slots, settings.ahead_ms, settings.stop_grace_ms),
            lambda: self._context,
            lambda: executor.stuck,
            self._slots_changed,
        )
        self._ended: dict[QueryId, None] = {}
        self._told_from = 0
        self._stopping = False
        self._pull_scope = trio.CancelScope()
        self._wake_pull = trio.Event()
        self._wake_janitor = trio.Event()

    @property
    def running(self) -> tuple[AttemptKey, ...]:
        """Attempts assigned here whose last report has not been answered yet."""
        return self._slots.keys

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until `stop`; `started` once the first beat was answered, or `stop` came before.

        Raises:
            StartupError: no coordinator answered within `connect_timeout_ms`, or it refused.
            WorkerSuperseded: another process works under this id (R19); what ran here is stopped,
                and nothing is reported.
        """
        await self._introduce()
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat_forever)
            nursery.start_soon(self._clean_forever)
            await self._slots.serve(self._take)
            nursery.cancel_scope.cancel()
        await self._finish_writes()

    async def _take(self) -> None:
        """Until the orderly end."""
        with self._pull_scope:
            async with trio.open_nursery() as ways:
                if self._exchanges:
                    ways.start_soon(self._keep_stream, Ways(self._exchanges))
                await self._pull()

    def stop(self) -> None:
        """Begin the orderly end; `run` returns when it is done."""
        self._stopping = True
        self._pull_scope.deadline = trio.current_time() + self._settings.stop_grace_ms / 1000
        self._stop_asked.set()
        self._wake_pull.set()
        if self._standing is not None:
            self._standing.finish()
        self._slots.stop()

    # --- heartbeats --------------------------------------------------------------------------

    async def _introduce(self) -> None:
        """Beat until the coordinator knows this worker.

        One of its id that started later, by its clock, may be the worker before it, whose clock
        was ahead and which is dead: that one goes stale (R19). So it is waited for as a
        coordinator that is away.
        """
        timeout_ms = self._settings.connect_timeout_ms
        deadline = trio.current_time() + timeout_ms / 1000 if timeout_ms else float("inf")
        failures = 0
        while not self._stopping:
            try:
                self._obey(await self._beat())
            except CallerError as error:
                raise StartupError(
                    f"coordinator {self._link.name} refuses this worker: {error.message}"
                ) from None
            except FfqError as error:
                # Away, full, or a failure of its own: the next beat may find it well.
                failures += 1
                delay = self._settings.retry.delay_s(failures)
                superseded = isinstance(error, WorkerSuperseded)
                if superseded and failures == 1:
                    logger.warning("%s; waiting for that one to end", error.message)
                if trio.current_time() + delay > deadline:
                    if superseded:
                        raise
                    raise StartupError(
                        f"no coordinator answers at {self._link.name} within "
                        f"{timeout_ms} ms (--connect-timeout-ms): {error.message}",
                        reason=error.stable_reason,
                    ) from None
                await trio.sleep(delay)
            else:
                return

    async def _beat_forever(self) -> None:
        interval = self._settings.heartbeat_ms / 1000
        next_at = trio.current_time() + interval
        while True:
            await trio.sleep_until(next_at)
            next_at = trio.current_time() + interval
            if self._is_attached:
                continue
            try:
                self._obey(await self._beat())
            except Unavailable:
                continue  # said once by the link
            except WorkerSuperseded:
                raise
            except FfqError as error:
                logger.warning("heartbeat refused: %s", error.message)

    async def _beat(self) -> HeartbeatReply:
        timeout_ms = max(2 * self._settings.heartbeat_ms, _BEAT_TIMEOUT_MS)
        return await self._link.once(self._next_beat(), timeout_ms=timeout_ms)

    def _next_beat(self) -> Heartbeat:
        self._slots.begin()
        return Heartbeat(
            worker_id=self._identity.worker_id,
            at_ms=self._unix_ms(),
            running_tasks=self._slots.count,
            capabilities=self._identity.capabilities(),
            incarnation=self._identity.incarnation,
            endpoint=self._identity.endpoint,
            family=self._identity.family,
            running_attempts=self._claimed(),
            held_queries=self._held_queries(),
            slots=self._settings.slots,
            stuck_tasks=self._executor.stuck,
        )

    def _claimed(self) -> tuple[AttemptKey, ...]:
        return self.running if self._link.silent_ms <= self._settings.claim_ms else ()

    def _held_queries(self) -> tuple[QueryId, ...]:
        held = self._executor.held_queries()
        if self._told_from >= len(held):
            self._told_from = 0
        told = tuple(held[self._told_from : self._told_from + MAX_HELD_QUERIES_TOLD])
        self._told_from += len(told)
        return told

    def _obey(self, reply: HeartbeatReply) -> None:
        """Raises WorkerSuperseded."""
        if reply.superseded:
            raise WorkerSuperseded(
                f"superseded by another process with worker id {self._identity.worker_id!r}; "
                f"give each worker an id of its own"
            )
        for key in reply.stop_attempts:
            if self._slots.drop(key):
                logger.info("attempt %s is stopped: the coordinator wants it no more", key)
        if reply.ended_queries:
            self._ended.update(dict.fromkeys(reply.ended_queries))
            self._wake_janitor.set()

    async def _clean_forever(self) -> None:
        """Removing files takes time that heartbeats do not have."""
        while True:
            await self._wake_janitor.wait()
            self._wake_janitor = trio.Event()
            while self._ended:
                query_id = next(iter(self._ended))
                try:
                    await self._forget(query_id, await self._end_of(query_id))
                except FfqError as error:
                    logger.warning("files of query %s stay: %s", query_id, error.message)
                self._ended.pop(query_id)

    async def _end_of(self, query_id: QueryId) -> QueryState | None:
        """How it ended: asked only where it matters. None: not known (any more)."""
        if not self._executor.writes(query_id):
            return None
        try:
            return (await self._link.ask(GetQueryStatus(query_id))).state
        except UnknownId:
            return None

    async def _forget(self, query_id: QueryId, end: QueryState | None) -> None:
        known = end is not None and end.terminal
        succeeded = end is QueryState.SUCCEEDED if known else None
        await self._executor.forget(query_id, succeeded=succeeded)

    async def _finish_writes(self) -> None:
        """At an orderly end: nobody tells this worker any more which queries have ended."""
        with trio.move_on_after(self._settings.stop_grace_ms / 1000):
            for query_id in filter(self._executor.writes, tuple(self._executor.held_queries())):
                try:
                    end = await self._end_of(query_id)
                    if end is not None and end.terminal:
                        await self._forget(query_id, end)
                except FfqError as error:
                    logger.warning("files of query %s stay: %s", query_id, error.message)

    # --- the stream --------------------------------------------------------------------------

    @property
    def _is_attached(self) -> bool:
        """Whether beats go, and assignments come, by a stream."""
        return self._standing is not None and self._standing.attached

    async def _keep_stream(self, ways: Ways) -> None:
        """One stream after another, until the orderly end. While there is none, calls are made.

        Raises WorkerSuperseded.
        """
        failures = 0
        while not self._stop_asked.is_set():
            began = trio.current_time()
            error, attached = await self._hold_stream(ways.way)
            ways.ended(attached=attached, answered=self._link.answered_at > began)
            if isinstance(error, WorkerSuperseded):
                raise error
            failures = 1 if attached else failures + 1
            await self._pause(error, failures)

    async def _hold_stream(self, open_exchange: OpenExchange) -> tuple[FfqError | None, bool]:
        """One stream, from its first beat to its end: why it ended, and whether it was of use."""
        settings = self._settings
        silence_ms = settings.heartbeat_ms + max(2 * settings.heartbeat_ms, _BEAT_TIMEOUT_MS)
        worker = Worker(
            beat=self._next_beat,
            room=self._room,
            ahead=lambda: 0 if self._pulling else self._slots.room_ahead,
            waits=lambda: self._slots.waits,
            start=self._slots.take,
            give_back=self._slots.give_back,
            obey=self._obey_streamed,
            attached=self._stop_pulling,
        )
        try:
            async with open_exchange() as exchange:
                standing = Standing(
                    exchange, StandingSettings(settings.heartbeat_ms, silence_ms), worker
                )
                self._standing = standing
                if self._stop_asked.is_set():
                    standing.finish()
                try:
                    error = await standing.carry()
                finally:
                    self._standing = None
                    self._wake_pull.set()
                return error, standing.was_attached
        except FfqError as error:
            return error, False  # it could not even be opened

    async def _pause(self, error: FfqError | None, failures: int) -> None:
        seconds = self._settings.retry.delay_s(failures)
        if isinstance(error, UnknownMethod):
            seconds = _UNKNOWN_PAUSE_S
        elif error is not None and not isinstance(error, Unavailable):
            logger.warning("the stream to %s was refused: %s", self._link.name, error.message)
            seconds = self._settings.retry.max_ms / 1000
        with trio.move_on_after(seconds):
            await self._stop_asked.wait()

    async def _end_on_stream(self, end: AttemptEnd) -> EndAnswer | None:
        """As `Standing.end`.

        What has come to its end takes no slot any more. So the same message says that there is room
        for another, which comes with the answer.
        """
        if self._standing is None:
            return None
        answer = None
        self._slots.hand(end)
        try:
            answer = await self._standing.end(end)
        finally:
            self._slots.handed(end.report.key, answer)
        return answer

    def _obey_streamed(self, reply: HeartbeatReply) -> None:
        """Raises WorkerSuperseded."""
        self._link.answered()
        self._obey(reply)

    def _stop_pulling(self) -> None:
        self._wake_pull.set()

    def _room(self) -> int:
        """What a call that is under way may still bring is not there to be filled by the stream."""
        return 0 if self._pulling else self._slots.room

    def _slots_changed(self) -> None:
        self._wake_pull.set()
        self._room_changed()

    def _room_changed(self) -> None:
        if self._standing is not None:
            self._standing.room_changed()

    # --- pulling and running -----------------------------------------------------------------

    async def _pull(self) -> None:
        idle_polls = 0
        failures = 0
        while not self._stopping:
            self._wake_pull = trio.Event()
            if self._is_attached:
                await self._wake_pull.wait()
                continue
            capacity = self._slots.capacity
            if capacity <= 0:
                await self._sleep_unless_woken(self._settings.poll_ms / 1000)
                continue
            try:
                assignments = await self._get_task(capacity)
            except FfqError as error:
                failures += 1
                if not isinstance(error, Unavailable):
                    logger.warning("GetTask refused: %s", error.message)
                await self._sleep_unless_woken(self._settings.retry.delay_s(failures))
                continue
            failures = 0
            self._slots.take(assignments[:capacity])
            idle_polls = 0 if assignments else idle_polls + 1
            if not assignments:
                factor = min(1 + idle_polls // _IDLE_POLLS_PER_STEP, _IDLE_MAX_FACTOR)
                await self._sleep_unless_woken(factor * self._settings.poll_ms / 1000)

    async def _get_task(self, capacity: int) -> tuple[Assignment, ...]:
        message = GetTask(self._identity.worker_id, capacity, self._identity.incarnation)
        self._pulling = True
        try:
            return await self._link.once(message)
        finally:
            self._pulling = False
            self._room_changed()

    async def _sleep_unless_woken(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._wake_pull.wait()
