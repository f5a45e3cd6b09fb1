"""Duplicated, delayed, reordered and made-up calls: only the current attempt counts (R12, R13).

Every call is kept and may be made again at any later time, also when its attempt is long replaced
or its query has ended. What is not of a running attempt must leave everything as it was, to the
last field of the core's state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ffq.errors import CallerError, NotReady, UnknownId
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import (
    ErrorKind,
    FetchShufflePartition,
    Layout,
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
from ffq.plan import dump_plan
from tests.core.driver import accept
from tests.property.cluster import (
    ALL,
    LONGER,
    PEER,
    SETTINGS,
    ClusterMachine,
    Held,
    picks,
    rows_written,
    workers,
)
from tests.property.snapshots import snapshot
from tests.strategies.graphs import scan

M = TypeVar("M")
R = TypeVar("R")
Call = ReportTaskStatus | RegisterMapOutput | RegisterQueryResults


class AttemptKeyingMachine(ClusterMachine):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def state(self) -> object:
        """All but who was heard of when: that is what such calls may change (R18)."""
        core = self.d.core
        machines = (core.scheduling, core.registry, core.results)
        return [snapshot(machine.state) for machine in machines]

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
        self.calls.append(again)
        return reply

    def register(self, held: Held, rows: list[int], *, finalized: bool = True) -> RegisterReply:
        reply = super().register(held, rows, finalized=finalized)
        again = RegisterMapOutput(held.key, (), held.of.layout, endpoint=self.endpoint(held))
        self.calls.append(again)
        return reply

    def upload(self, held: Held) -> RegisterReply:
        reply = super().upload(held)
        self.calls.append(self.result(held))
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
        message = self.calls[-1 - pick % len(self.calls)]
        if message.key is None:
            # Whoever sent it: it belongs to the running attempt of the sink's only task.
            running = self.running(message.query_id)
            current = any(each.key.stage_id == 0 for each in running)
        else:
            current = message.key in {each.key for each in self.running(message.key.query_id)}
        before = self.state()
        reply: Any = (
            self.store(message)
            if isinstance(message, RegisterQueryResults)
            else self.d.ask(message)
        )
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
            assert not self.d.ask(message).counted, "R13"
        register = RegisterMapOutput(held.key, (), layout)
        assert not self.d.ask(register).counted, "R13"
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
            lambda: self.d.ask(
                ReportTaskStatus(key, TaskState.FAILED, "", Layout(1, 1)),
            ),
            lambda: self.d.ask(RegisterMapOutput(key, (), Layout(1, 1))),
            lambda: self.d.ask(RegisterQueryResults(key.query_id, b"", key)),
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
        other = SubmitQuery(known.query_id, known.plan_bytes + b" ")
        key = AttemptKey(known.query_id, StageId(pick % 4), TaskId(pick % 3), Attempt(pick % 5))
        for refused in (
            lambda: self.d.ask(other),
            lambda: self.d.fetch(query),
            lambda: self.d.ask(FetchShufflePartition(key, 0)),
        ):
            with contextlib.suppress(CallerError, NotReady):
                refused()
        assert self.state() == before

    @precondition(lambda self: self.submitted)
    @rule(pick=picks)
    def submits_again(self, pick: int) -> None:
        query = self.query(pick)
        before = self.state()
        reply = self.d.ask(self.submitted[query])
        assert (reply.state, self.state()) == (self.d.status(query).state, before), "R1"

    def teardown(self) -> None:
        super().teardown()
        # Whatever comes now changes nothing any more.
        before = self.state()
        for message in self.calls:
            reply: Any = self.d.ask(message)
            assert not reply.counted, "R4"
        assert self.state() == before
        for query in self.submitted:
            ended = self.d.status(query).state
            assert ended in {QueryState.SUCCEEDED, QueryState.FAILED, QueryState.CANCELED}
        self.d.now_ms += SETTINGS.result_ttl_ms + 1
        self.d.advance(0)
        assert self.d.core.scheduling.state.held_result_bytes == 0


TestAttemptKeying = AttemptKeyingMachine.TestCase
TestAttemptKeying.settings = LONGER


def test_R26_a_peers_late_upload_is_the_result_of_the_attempt_that_runs() -> None:
    """It names no attempt: the machine, too, must take it for what it is."""
    machine = AttemptKeyingMachine()
    query = accept(QueryId("any"), dump_plan(scan()), scan())
    machine.start(query, [frozenset(), frozenset(), ALL], [], PEER)
    (first,) = machine.held
    machine.report(first, TaskState.FAILED)
    machine.time_passes(1001)
    machine.pulls(PEER, 1)
    second = machine.held[-1]
    assert second.key.attempt == 2
    assert machine.upload(first).counted
    assert machine.report(second, TaskState.SUCCEEDED).counted
    machine.history_is_kept()
    assert machine.d.fetch("q0") == [first.payload]
    machine.teardown()
