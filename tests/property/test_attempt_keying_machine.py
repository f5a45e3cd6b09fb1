"""Duplicated, delayed, reordered and made-up calls: only the current attempt counts (R12, R13).

Every call is kept and may be made again at any later time, also when its attempt is long replaced
or its query has ended. What is not of a running attempt must leave everything as it was, to the
last field of the core's state.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ffq.errors import CallerError, NotReady, UnknownId
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import (
    ErrorKind,
    Layout,
    LocateMapOutput,
    LostInput,
    QueryState,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    SubmitQuery,
    TaskState,
)
from tests.property.cluster import (
    LONGER,
    SETTINGS,
    ClusterMachine,
    Held,
    picks,
    rows_written,
    workers,
)

M = TypeVar("M")
R = TypeVar("R")
Call = tuple[Callable[[Any, int], Any], ReportTaskStatus | RegisterMapOutput | RegisterQueryResults]


def snapshot(value: object) -> object:
    """The whole of a machine's state as plain values, in a form that compares."""
    if isinstance(value, dict):
        return [(snapshot(key), snapshot(each)) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return [snapshot(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    kind: type[Any] = type(value)
    if attrs.has(kind):
        return [(each.name, snapshot(getattr(value, each.name))) for each in attrs.fields(kind)]
    if kind.__module__.startswith("ffq.core"):
        return [(name, snapshot(each)) for name, each in vars(value).items()]
    return value


class AttemptKeyingMachine(ClusterMachine):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def state(self) -> object:
        """All but who was heard of when: that is what such calls may change (R18)."""
        core = self.d.core
        return [snapshot(each) for each in (core.scheduling, core.registry, core.results)]

    def made(self, method: Callable[[Any, int], Any], message: Any) -> None:
        self.calls.append((method, message))

    @rule(ms=st.sampled_from([1, 100, 400, 1001]))
    def time_passes(self, ms: int) -> None:
        self.d.advance(ms)

    @rule(worker=workers)
    def beats(self, worker: str) -> None:
        self.beat(worker)

    @rule(worker=workers)
    def restarts(self, worker: str) -> None:
        if self.incarnation[worker]:
            self.incarnation[worker] += 1
            self.beat(worker)

    # --- every call is kept ------------------------------------------------------------------

    def report(
        self,
        held: Held,
        state: TaskState,
        message: str = "",
        kind: ErrorKind | None = None,
        lost: Iterable[LostInput] = (),
    ) -> ReportReply:
        reply = super().report(held, state, message, kind, lost)
        again = ReportTaskStatus(held.key, state, message, held.of.layout, kind=kind)
        self.made(self.d.core.report_task_status, again)
        return reply

    def register(self, held: Held, rows: list[int], *, finalized: bool = True) -> RegisterReply:
        reply = super().register(held, rows, finalized=finalized)
        again = RegisterMapOutput(held.key, (), held.of.layout, endpoint=self.endpoint(held))
        self.made(self.d.core.register_map_output, again)
        return reply

    def upload(self, held: Held) -> RegisterReply:
        reply = super().upload(held)
        again = RegisterQueryResults(held.key.query_id, held.payload, held.key)
        self.made(self.d.core.register_query_results, again)
        return reply

    @precondition(lambda self: self.held)
    @rule(pick=picks, rows=rows_written, last=st.booleans())
    def registers(self, pick: int, rows: list[int], last: bool) -> None:
        held = self.picked(pick)
        if held.key.stage_id == 0:
            self.upload(held)
        else:
            self.register(held, rows, finalized=last)

    @precondition(lambda self: self.held)
    @rule(pick=picks, state=st.sampled_from([TaskState.SUCCEEDED, TaskState.FAILED]))
    def reports(self, pick: int, state: TaskState) -> None:
        """Maybe without having registered anything."""
        self.report(self.picked(pick), state)

    # --- and made again ----------------------------------------------------------------------

    @precondition(lambda self: self.calls)
    @rule(pick=picks)
    def happens_again(self, pick: int) -> None:
        method, message = self.calls[-1 - pick % len(self.calls)]
        key = message.key
        assert key is not None
        current = key in {each.key for each in self.running(key.query_id)}
        before = self.state()
        reply = self.d.call(method, message)
        assert reply.counted == current, "R13"
        if not current:
            assert self.state() == before, "R4, R13, R15"

    @precondition(lambda self: self.held)
    @rule(pick=picks, layout=st.builds(Layout, st.integers(0, 2), st.integers(0, 3)))
    def echoes_another_layout(self, pick: int, layout: Layout) -> None:
        held = self.picked(pick)
        before = self.state()
        for state in (TaskState.SUCCEEDED, TaskState.FAILED):
            message = ReportTaskStatus(held.key, state, "", layout)
            assert not self.d.call(self.d.core.report_task_status, message).counted, "R13"
        register = RegisterMapOutput(held.key, (), layout)
        assert not self.d.call(self.d.core.register_map_output, register).counted, "R13"
        assert self.state() == before

    @precondition(lambda self: self.submitted)
    @rule(
        query=st.integers(0, 9),
        stage=st.integers(-1, 9),
        task=st.integers(-1, 4),
        attempt=st.integers(-1, 9),
    )
    def names_what_was_never_assigned(
        self, query: int, stage: int, task: int, attempt: int
    ) -> None:
        name = self.query(query) if query else "nobody's"
        key = AttemptKey(QueryId(name), StageId(stage), TaskId(task), Attempt(attempt))
        if key in {held.key for held in self.held}:
            return
        before = self.state()
        for call in (
            lambda: self.d.call(
                self.d.core.report_task_status,
                ReportTaskStatus(key, TaskState.FAILED, "", Layout(1, 1)),
            ),
            lambda: self.d.call(
                self.d.core.register_map_output, RegisterMapOutput(key, (), Layout(1, 1))
            ),
            lambda: self.d.call(
                self.d.core.register_query_results, RegisterQueryResults(key.query_id, b"", key)
            ),
        ):
            try:
                call()
            except UnknownId:
                assert self.state() == before
            else:
                raise AssertionError(f"R13: {key} was never assigned")

    @precondition(lambda self: self.submitted)
    @rule(pick=picks)
    def asks_for_what_may_not_be(self, pick: int) -> None:
        """Bad calls raise typed errors and change nothing."""
        query = self.query(pick)
        before = self.state()
        known = self.submitted[query]
        other = SubmitQuery(known.query_id, known.plan_bytes + b" ", known.graph)
        key = AttemptKey(known.query_id, StageId(pick % 4), TaskId(pick % 3), Attempt(pick % 5))
        core = self.d.core
        for refused in (
            lambda: self.d.call(core.submit_query, other),
            lambda: self.d.fetch(query),
            lambda: self.d.call(core.locate_map_output, LocateMapOutput(key, 0)),
        ):
            with contextlib.suppress(CallerError, NotReady):
                refused()
        assert self.state() == before

    @precondition(lambda self: self.submitted)
    @rule(pick=picks)
    def submits_again(self, pick: int) -> None:
        query = self.query(pick)
        before = self.state()
        reply = self.d.call(self.d.core.submit_query, self.submitted[query])
        assert (reply.state, self.state()) == (self.d.status(query).state, before), "R1"

    def teardown(self) -> None:
        super().teardown()
        # Whatever comes now changes nothing any more.
        before = self.state()
        for method, message in self.calls:
            assert not self.d.call(method, message).counted, "R4"
        assert self.state() == before
        for query in self.submitted:
            ended = self.d.status(query).state
            assert ended in {QueryState.SUCCEEDED, QueryState.FAILED, QueryState.CANCELED}
        self.d.now_ms += SETTINGS.result_ttl_ms + 1
        self.d.advance(0)
        assert self.d.core.scheduling.held_result_bytes == 0


TestAttemptKeying = AttemptKeyingMachine.TestCase
TestAttemptKeying.settings = LONGER
