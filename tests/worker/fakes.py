"""The worker loop's world in memory: a coordinator that records, an executor that obeys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, cast

import attrs
import trio

from ffq.errors import FfqError, QuotaExceeded, Unavailable, UnknownId
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    NO_USAGE,
    Assignment,
    AttemptUsage,
    Bytes,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    Layout,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    Rpc,
    ShuffleChunk,
    ShuffleInput,
    StreamRpc,
)
from ffq.plan.codec import dump_plan
from ffq.plan.model import HashPartitioning, ParquetScan, ShuffleRead, ShuffleWrite
from ffq.plan.stages import StageGraph
from ffq.worker.link import WorkerIdentity
from ffq.worker.loop import LoopSettings, WorkerLoop
from ffq.worker.plans import PlanCache, cut_plan
from ffq.worker.ports import MapOutput, TaskOutput, Work
from ffq.worker.wanted import InputPart, SharedOutput

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

PARTITIONS = 4
EXCHANGE = HashPartitioning(("k",), PARTITIONS)
SCAN = ParquetScan("t", None, None, ())
PLAN = dump_plan(ShuffleRead(ShuffleWrite(SCAN, EXCHANGE), EXCHANGE))
"""Stage 1 scans and writes four partitions; stage 0 is the sink and reads them."""
QUERY = QueryId("7")
LAYOUT = Layout(1, 99)


def key(stage: int, task: int = 0, attempt: int = 1, query: str = QUERY) -> AttemptKey:
    return AttemptKey(QueryId(query), StageId(stage), TaskId(task), Attempt(attempt))


def map_task(task: int = 0, attempt: int = 1, query: str = QUERY) -> Assignment:
    return Assignment(key(1, task, attempt, query), PLAN, (), LAYOUT)


def sink_task(inputs: Sequence[ShuffleInput] = (), attempt: int = 1) -> Assignment:
    partitions = tuple(range(PARTITIONS))
    return Assignment(key(0, 0, attempt), PLAN, partitions, LAYOUT, inputs=tuple(inputs))


@attrs.define
class FakeCoordinator:
    """Hands out `queue`, records what it is told; away while `up` is False."""

    up: bool = True
    queue: list[Assignment] = attrs.field(factory=list)
    stop: tuple[AttemptKey, ...] = ()
    ended: tuple[QueryId, ...] = ()
    unknown: set[AttemptKey] = attrs.field(factory=set)
    lose_report_answers: int = 0
    refuse_reports: int = 0
    refuse_registration: FfqError | None = None
    calls: list[object] = attrs.field(factory=list)
    results: dict[AttemptKey, bytes] = attrs.field(factory=dict)

    def of_type(self, kind: type[T]) -> list[T]:
        return [call for call in self.calls if isinstance(call, kind)]

    @property
    def reports(self) -> list[ReportTaskStatus]:
        return self.of_type(ReportTaskStatus)

    @property
    def beats(self) -> list[Heartbeat]:
        return self.of_type(Heartbeat)

    async def _receive(self, message: object) -> None:
        await trio.sleep(0.001)
        if not self.up:
            raise Unavailable("connection refused")
        self.calls.append(message)

    async def ask(self, message: Rpc[R]) -> R:
        await self._receive(message)
        answer: Any = self.answer(message)
        return cast("R", answer)

    def answer(self, message: object) -> object:
        match message:
            case Heartbeat():
                return HeartbeatReply(True, stop_attempts=self.stop, ended_queries=self.ended)
            case GetTask():
                given = tuple(self.queue[: message.capacity])
                del self.queue[: message.capacity]
                return given
            case ReportTaskStatus():
                return self._reported(message)
            case RegisterMapOutput():
                if self.refuse_registration is not None:
                    raise self.refuse_registration
                if message.key in self.unknown:
                    raise UnknownId(f"no attempt {message.key}")
                return RegisterReply(counted=True, worker_id=WorkerId("w1"))
            case RegisterQueryResults():
                assert message.key is not None
                so_far = self.results.get(message.key, b"")
                assert message.offset == len(so_far)
                self.results[message.key] = so_far + message.payload
                return RegisterReply(counted=True, worker_id=WorkerId("w1"))
            case _:
                raise AssertionError(f"a worker does not ask {message}")

    def _reported(self, message: ReportTaskStatus) -> ReportReply:
        if message.key in self.unknown:
            raise UnknownId(f"no attempt {message.key}")
        if self.refuse_reports:
            self.refuse_reports -= 1
            raise QuotaExceeded("busy", retry_after_ms=100)
        if self.lose_report_answers:
            self.lose_report_answers -= 1
            raise Unavailable("the answer was lost")
        return ReportReply(counted=True, worker_id=WorkerId("w1"))

    def stream(self, message: StreamRpc[C, R]) -> AbstractAsyncContextManager[AsyncIterator[C]]:
        raise AssertionError(f"a worker does not ask {message}")


@attrs.define
class MemorySpool:
    data: bytes = b""

    async def write(self, data: Bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.data += data


@attrs.frozen
class MemoryResult:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def usage(self) -> AttemptUsage:
        return NO_USAGE

    async def read(self, offset: int, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.data[offset : offset + max_bytes]


ONE_PARTITION = MapOutput((OutputPartition(0, 10, 1, 1, committed_offset=10),))


@attrs.define
class FakeExecutor:
    """`behave` is what a fragment does; by default it ends at once with an output."""

    behave: Callable[[Work], Awaitable[TaskOutput]] | None = None
    stuck: int = 0
    started: list[AttemptKey] = attrs.field(factory=list)
    interrupted: list[AttemptKey] = attrs.field(factory=list)
    released: dict[AttemptKey, bool] = attrs.field(factory=dict)
    forgotten: list[QueryId] = attrs.field(factory=list)
    held: list[QueryId] = attrs.field(factory=list)
    here: dict[tuple[AttemptKey, int], bytes] = attrs.field(factory=dict)
    shared: dict[StageId, SharedOutput] = attrs.field(factory=dict)
    most_at_once: int = 0
    _at_once: int = 0

    def spool(self, reader: AttemptKey, part: InputPart) -> MemorySpool:
        return MemorySpool()

    def local(self, part: InputPart) -> MemorySpool | None:
        data = self.here.get((part.key, part.reduce_partition))
        return None if data is None else MemorySpool(data)

    async def newest_output(self, key: AttemptKey) -> SharedOutput | None:
        return self.shared.get(key.stage_id)

    async def run(self, work: Work) -> TaskOutput:
        self.started.append(work.assignment.key)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.behave is not None:
                return await self.behave(work)
            return MemoryResult(b"result") if work.stage.output is None else ONE_PARTITION
        except trio.Cancelled:
            self.interrupted.append(work.assignment.key)
            raise
        finally:
            self._at_once -= 1

    async def release(self, key: AttemptKey, *, keep_output: bool) -> None:
        self.released[key] = keep_output

    def held_queries(self) -> Sequence[QueryId]:
        return self.held

    def writes(self, query_id: QueryId) -> bool:
        return False

    async def forget(self, query_id: QueryId, *, succeeded: bool | None = None) -> None:
        self.forgotten.append(query_id)


@attrs.define
class FakeTransport:
    """Serves `data` by (endpoint, map attempt, partition) in chunks of `chunk` bytes.

    `breaks` counts down: a stream breaks after one chunk while it is above zero. An endpoint in
    `away` cannot be reached, one in `busy` serves others; `silent` streams say nothing; chunks tell
    offsets `skew` too high, and whether they are `finalized`. `together`: it serves several parts
    in one stream.
    """

    data: dict[tuple[str, AttemptKey, int], bytes] = attrs.field(factory=dict)
    away: set[str] = attrs.field(factory=set)
    busy: set[str] = attrs.field(factory=set)
    breaks: int = 0
    silent: bool = False
    skew: int = 0
    chunk: int = 4
    finalized: bool = True
    together: bool = True
    opened: list[tuple[str, AttemptKey, int, int]] = attrs.field(factory=list)

    @asynccontextmanager
    async def fetch(
        self, part: InputPart, start_offset: int, also: Sequence[InputPart] = ()
    ) -> AsyncIterator[FakeStream]:
        self.opened.append((part.endpoint, part.key, part.reduce_partition, start_offset))
        await trio.lowlevel.checkpoint()
        if part.endpoint in self.away:
            raise Unavailable(f"{part.endpoint or 'coordinator'}: connection refused")
        if part.endpoint in self.busy:
            raise QuotaExceeded("256 streams are open already", retry_after_ms=1000)
        data = self.data.get((part.endpoint, part.key, part.reduce_partition))
        if data is None:
            raise UnknownId(f"map output {part.key} is not registered")
        for each in also if self.together else ():
            more = self.data.get((each.endpoint, each.key, each.reduce_partition))
            if more is None:
                raise UnknownId(f"map output {each.key} is not registered")
            data += more
        yield FakeStream(self, data, start_offset)


@attrs.define
class FakeStream:
    transport: FakeTransport
    data: bytes
    start: int
    sent: int = 0

    async def receive(self) -> ShuffleChunk | None:
        await trio.lowlevel.checkpoint()
        if self.transport.silent:
            await trio.sleep_forever()
        if self.sent and self.start >= len(self.data):
            return None
        if self.sent and self.transport.breaks:
            self.transport.breaks -= 1
            raise Unavailable("the stream broke")
        payload = self.data[self.start : self.start + self.transport.chunk]
        start, self.start = self.start, self.start + len(payload)
        self.sent += 1
        skew = self.transport.skew
        return ShuffleChunk(
            payload, start + skew, self.start + skew, len(self.data), self.transport.finalized
        )


IDENTITY = WorkerIdentity(
    WorkerId("w1"), 1_000, lambda: frozenset({"ffq.splits"}), "127.0.0.1:1", "fake-1"
)


@attrs.define
class World:
    """One worker loop and what it meets."""

    coordinator: FakeCoordinator = attrs.field(factory=FakeCoordinator)
    executor: FakeExecutor = attrs.field(factory=FakeExecutor)
    transport: FakeTransport = attrs.field(factory=FakeTransport)
    settings: LoopSettings = attrs.field(factory=lambda: LoopSettings(slots=2))
    identity: WorkerIdentity = IDENTITY

    def loop(self) -> WorkerLoop:
        return WorkerLoop(
            self.identity,
            self.settings,
            coordinator=self.coordinator,
            executor=self.executor,
            transport=self.transport,
            unix_ms=lambda: 1_700_000_000_000,
            coordinator_name="127.0.0.1:50051",
            plans=PlanCache(read_at_once),
        )


async def read_at_once(plan_bytes: bytes) -> StageGraph:
    """No thread: the mock clock would not wait for it."""
    await trio.lowlevel.checkpoint()
    return cut_plan(plan_bytes)


async def until(condition: Callable[[], object], *, seconds: float = 600) -> None:
    """Wait (on the mock clock) until something holds."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await trio.sleep(0.005)
