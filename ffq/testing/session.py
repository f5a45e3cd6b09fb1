"""One run against one coordinator: calls it, writes the script, and has every answer checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import attrs

from ffq.testing.adapter import CoordinatorAdapter, SelfChecking
from ffq.testing.checking import Checker
from ffq.testing.declared import DeclaredSettings
from ffq.testing.invariants import CheckLog, Violation
from ffq.testing.model import Span
from ffq.testing.queries import PlanShape
from ffq.testing.wire import (
    OutputPartition,
    PartitionView,
    QueryState,
    Refusal,
    StatusView,
    TaskState,
    TaskView,
    changes,
)

T = TypeVar("T")


class Clock(Protocol):
    """The harness's clock, in ms."""

    def now_ms(self) -> int: ...

    def advanced(self, ms: int) -> None:
        """The coordinator has been told that `ms` ms pass."""


class VirtualClock:
    """Stands still but for `advance`: every call takes no time."""

    def __init__(self) -> None:
        self._now_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    def advanced(self, ms: int) -> None:
        self._now_ms += ms


class WallClock:
    """Goes by itself; the adapter's `advance` sleeps."""

    def now_ms(self) -> int:
        return int(time.monotonic() * 1000)

    def advanced(self, ms: int) -> None:
        del ms


@attrs.define
class _Line:
    """One RPC of the script; the same call with the same answer again is only counted."""

    at_ms: int
    call: str
    answer: str
    times: int = 1

    def __str__(self) -> str:
        answer = f" -> {self.answer}" if self.answer else ""
        again = f"  [{self.times} times]" if self.times > 1 else ""
        return f"+{self.at_ms} ms  {self.call}{answer}{again}"


class Session:
    """Every call is made through here. All raise `Violation` with the script so far.

    Attributes:
        adapter: the coordinator under test.
        declared: its settings.
        checker: the model and the checks.
        broken: what failed; nothing that follows means much then.
    """

    def __init__(
        self,
        adapter: CoordinatorAdapter,
        declared: DeclaredSettings,
        *,
        clock: Clock | None = None,
        log: CheckLog | None = None,
    ) -> None:
        self.adapter = adapter
        self.declared = declared
        self.checker = Checker(declared, log)
        self.broken: Exception | None = None
        self._clock: Clock = VirtualClock() if clock is None else clock
        self._started_ms = self._clock.now_ms()
        self._lines: list[_Line] = []
        self._quiet = False
        self._self_check: Callable[[], None] | None = None
        if isinstance(adapter, SelfChecking):
            self._self_check = adapter.validate_state

    @property
    def script(self) -> tuple[str, ...]:
        """The RPCs so far, numbered, each with its answer."""
        return tuple(f"{number}. {line}" for number, line in enumerate(self._lines, start=1))

    @property
    def now_ms(self) -> int:
        """The time of its clock, in ms."""
        return self._clock.now_ms()

    # --- clients -----------------------------------------------------------------------------

    def submit(self, query_id: str, shape: PlanShape) -> QueryState | Refusal:
        """Submit a plan of a shape under an id; the state, or why not."""
        now, reply = self._call(
            f"SubmitQuery({query_id}, <{shape.name}>)",
            lambda: self.adapter.submit(query_id, shape.plan),
        )
        self._check(lambda: self.checker.queries.submitted(now, query_id, shape, reply))
        return reply

    def submit_bytes(self, query_id: str, plan: bytes) -> None:
        """Submit bytes that are no plan, and see that no query came of it (R1, R28)."""
        _, reply = self._call(
            f"SubmitQuery({query_id}, {plan[:40]!r})", lambda: self.adapter.submit(query_id, plan)
        )
        _, after = self._call(f"GetQueryStatus({query_id})", lambda: self.adapter.status(query_id))
        self._check(lambda: self.checker.queries.bad_plan(query_id, plan, reply, after))

    def submit_under(self, query_id: str, shape: PlanShape) -> None:
        """Submit under an id that is malformed (R28)."""
        _, reply = self._call(
            f"SubmitQuery({query_id!r}, <{shape.name}>)",
            lambda: self.adapter.submit(query_id, shape.plan),
        )
        self.require(
            "malformed-refused",
            isinstance(reply, Refusal) and reply.code == "INVALID_ARGUMENT",
            f"query id {query_id!r} is malformed; right is INVALID_ARGUMENT, not {reply}",
        )

    def status(self, query_id: str) -> StatusView | Refusal:
        """What the coordinator says of a query."""
        now, reply = self._call(
            f"GetQueryStatus({query_id})", lambda: self.adapter.status(query_id)
        )
        self._check(lambda: self.checker.queries.status(now, query_id, reply))
        self._check(lambda: self.checker.outputs.counted(query_id, reply))
        return reply

    def cancel(self, query_id: str, reason: str) -> None:
        """Cancel a query."""
        _, reply = self._call(
            f"CancelQuery({query_id}, {reason!r})", lambda: self.adapter.cancel(query_id, reason)
        )
        self._check(lambda: self.checker.queries.canceled(query_id, reply))

    def fetch_results(self, query_id: str) -> None:
        """Fetch a query's result."""
        _, reply = self._call(
            f"FetchQueryResults({query_id})", lambda: self.adapter.fetch_results(query_id)
        )
        self._check(lambda: self.checker.queries.results(query_id, reply))

    # --- workers -----------------------------------------------------------------------------

    def heartbeat(self, worker_id: str, capabilities: frozenset[str] = frozenset()) -> None:
        """A worker says that it lives, and what it can do."""
        names = ", ".join(sorted(capabilities))
        now, reply = self._call(
            f"Heartbeat({worker_id}, [{names}])",
            lambda: self.adapter.heartbeat(worker_id, capabilities),
        )
        self._check(lambda: self.checker.attempts.beaten(now, worker_id, capabilities, reply))

    def get_task(self, worker_id: str, capacity: int = 1) -> tuple[TaskView, ...]:
        """A worker asks for so many tasks; those that it is given."""
        now, reply = self._call(
            f"GetTask({worker_id}, capacity={capacity})",
            lambda: self.adapter.get_task(worker_id, capacity),
        )
        self._check(lambda: self.checker.assignments.pulled(now, worker_id, capacity, reply))
        return () if isinstance(reply, Refusal) else reply

    def report(self, task: TaskView, state: TaskState, message: str = "") -> None:
        """A worker says what became of a task."""
        with self._unchanged_if_inert(task, f"ReportTaskStatus({task}, {state.name})"):
            now, reply = self._call(
                f"ReportTaskStatus({task}, {state.name})",
                lambda: self.adapter.report(task, state, message),
            )
            self._check(lambda: self.checker.attempts.reported(now, task, state, message, reply))

    def register_map_output(self, task: TaskView, partitions: tuple[OutputPartition, ...]) -> None:
        """A worker says what a task of a stage gave out, before it reports success."""
        sizes = ", ".join(
            f"{each.reduce_partition}:{each.bytes}{'' if each.finalized else '...'}"
            for each in partitions
        )
        with self._unchanged_if_inert(task, f"RegisterMapOutput({task})"):
            now, reply = self._call(
                f"RegisterMapOutput({task}, [{sizes}])",
                lambda: self.adapter.register_map_output(task, partitions),
            )
            self._check(lambda: self.checker.attempts.registered(now, task, partitions, reply))

    def register_results(self, query_id: str, payload: bytes) -> None:
        """A worker hands in the result, as an Arrow IPC stream."""
        _, reply = self._call(
            f"RegisterQueryResults({query_id}, {len(payload)} bytes)",
            lambda: self.adapter.register_results(query_id, payload),
        )
        self._check(lambda: self.checker.attempts.uploaded(query_id, payload, reply))

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> None:
        """A worker fetches a reduce partition of a task's output."""
        _, reply = self._call(
            f"FetchShufflePartition({task}, {reduce_partition})",
            lambda: self.adapter.fetch_partition(task, reduce_partition),
        )
        self._check(lambda: self.checker.outputs.fetched(task, reduce_partition, reply))

    # --- time --------------------------------------------------------------------------------

    @contextmanager
    def written_as(self, line: str) -> Iterator[None]:
        """Write one line for all the calls inside."""
        self._write(line, "")
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def advance(self, ms: int, *, noted: bool = True) -> None:
        """Let time pass. Not `noted`: the next call's time in the script tells as much."""
        if noted:
            self._write(f"wait {ms} ms", "")
        self._settle()
        with self._reporting(f"wait {ms} ms"):
            self.adapter.advance(ms)
        self._clock.advanced(ms)
        self._settle()
        self._check_books()

    def require(self, name: str, holds: bool, detail: str) -> None:
        """Put a check to the test that needs several calls to decide."""
        self._check(lambda: self.checker.log.require(name, holds, detail))

    # --- inside ------------------------------------------------------------------------------

    def _call(self, what: str, make: Callable[[], T]) -> tuple[Span, T]:
        start = self._settle()
        with self._reporting(what):
            reply = make()
        now = Span(start, self._clock.now_ms())
        self._write(what, _shown(reply))
        if now.hi > start:
            self.checker.world.settle(now)
        self._check_books()
        return now, reply

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """What the adapter raises gets through as itself, with the script that led there."""
        try:
            yield
        except Exception as error:
            self.broken = error
            script = "\n".join(f"  {line}" for line in self.script)
            error.add_note(f"raised by the adapter in {what}, after\n{script}")
            raise

    def _settle(self) -> int:
        """Let the model have done by now what happens by itself; answers the time."""
        now_ms = self._clock.now_ms()
        self.checker.world.settle(Span(now_ms, now_ms))
        return now_ms

    @contextmanager
    def _unchanged_if_inert(self, task: TaskView, what: str) -> Iterator[None]:
        """A call about an attempt that is not current leaves the query as it is (R4, R13, R15)."""
        check = self.checker.attempts.inert(task)
        before = self._lasting(task) if check is not None else None
        yield
        if check is None or self.checker.world.anybody_may_be_lost():
            return
        after = self._lasting(task)
        self.require(
            check,
            before == after,
            f"{what} must leave the query as it is ({before}), and changed its "
            f"{changes(before, after)}",
        )

    def _lasting(self, task: TaskView) -> StatusView | Refusal:
        status = self.adapter.status(task.query_id)
        return status.lasting if isinstance(status, StatusView) else status

    def _write(self, call: str, answer: str) -> None:
        if self._quiet:
            return
        last = self._lines[-1] if self._lines else None
        if last is not None and (last.call, last.answer) == (call, answer):
            last.times += 1
        else:
            self._lines.append(_Line(self._clock.now_ms() - self._started_ms, call, answer))

    def _check(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Violation as violation:
            violation.script = self.script
            self.broken = violation
            raise

    def _check_books(self) -> None:
        if self._self_check is not None:
            try:
                self._self_check()
            except Exception as error:  # noqa: BLE001  # whatever a foreign coordinator raises
                detail = repr(error)
                self.require("books-are-consistent", False, detail)


def _shown(reply: object) -> str:  # noqa: PLR0911  # one per kind of answer
    match reply:
        case None:
            return "OK"
        case QueryState():
            return reply.name
        case bytes():
            return f"{len(reply)} bytes"
        case tuple():
            return f"[{', '.join(str(task) for task in reply)}]"
        case StatusView():
            return f"{reply.state.name} {reply.message!r}" if reply.message else reply.state.name
        case PartitionView():
            return f"{reply.watermark} bytes{'' if reply.finalized else ', unfinished'}"
        case bool():
            return f"accepted={reply}"
        case _:
            return str(reply)
