"""What no live worker can run, and for how long, against a naive model (R10).

Workers come, go silent and change what they can do; nothing fails. A stage waits unmatched from
the instant since which nobody alive can run it, and for longer than the patience ends its query,
at the next tick and not before.
"""

from __future__ import annotations

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ffq.core import CoordinatorSettings
from ffq.messages import Assignment, QueryState, TaskState
from tests.core.driver import OURS, Driver
from tests.strategies.graphs import exchange, operator, scan

PATIENCE_MS = 2000
LIVENESS_MS = 900
SETTINGS = CoordinatorSettings(
    worker_liveness_timeout_ms=LIVENESS_MS, unrunnable_timeout_ms=PATIENCE_MS
)
WORKERS = ("w1", "w2")
OPERATORS = ("op.a", "op.b", "op.c")

workers = st.sampled_from(WORKERS)
capabilities = st.frozensets(st.sampled_from(OPERATORS), max_size=2)
names = st.sampled_from(OPERATORS)


@attrs.define
class Believed:
    """A query of stages in a row. `stages`: the operator of each that is left, the next one first.

    Attributes:
        since_ms: since when nobody alive can run the next stage; None: somebody can.
    """

    stages: list[str]
    since_ms: int | None = None
    state: QueryState = QueryState.QUEUED


class UnrunnableMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.d = Driver(SETTINGS)
        self.able: dict[str, frozenset[str]] = {}
        self.heard_ms: dict[str, int] = {}
        self.queries: dict[str, Believed] = {}

    @initialize(first=capabilities, wanted=st.lists(names, min_size=1, max_size=3))
    def start(self, first: frozenset[str], wanted: list[str]) -> None:
        self.beats("w1", first)
        self.submits(wanted)

    @rule(wanted=st.lists(names, min_size=1, max_size=3))
    def submits(self, wanted: list[str]) -> None:
        if len(self.queries) < 6:
            plan = operator(wanted[0], scan())
            for each in wanted[1:]:
                plan = operator(each, exchange(plan))
            query = f"q{len(self.queries)}"
            self.queries[query] = Believed(wanted)
            self.d.submit(query, plan)
            self.see_who_can()

    @rule(worker=workers, able=capabilities)
    def beats(self, worker: str, able: frozenset[str]) -> None:
        self.able[worker], self.heard_ms[worker] = able, self.d.now_ms
        self.d.beat(worker, OURS | able)
        self.see_who_can()

    @rule(worker=workers)
    def works(self, worker: str) -> None:
        """Runs one task to its end, if there is one for it."""
        if worker not in self.able:
            return
        self.beats(worker, self.able[worker])
        for assignment in self.d.pull(worker):
            self.finishes(worker, assignment)

    def finishes(self, worker: str, assignment: Assignment) -> None:
        query = self.queries[assignment.key.query_id]
        assert query.stages[0] in self.able[worker], "R10"
        query.stages.pop(0)
        self.d.finish(assignment)
        query.state = QueryState.RUNNING if query.stages else QueryState.SUCCEEDED
        self.see_who_can()

    @rule(ms=st.sampled_from([1, 500, LIVENESS_MS]), beating=st.frozensets(workers))
    def time_passes(self, ms: int, beating: frozenset[str]) -> None:
        for worker in sorted(beating & self.able.keys()):
            self.beats(worker, self.able[worker])
        self.advances(ms)

    @rule(early=st.booleans())
    def patience_ends(self, early: bool) -> None:
        """To the millisecond, or one before; whoever is alive stays it."""
        waits = [each.since_ms for each in self.queries.values() if each.since_ms is not None]
        left = min(waits) + PATIENCE_MS + 1 - early - self.d.now_ms if waits else 0
        while left > 0:
            for worker in list(self.able):
                self.beats(worker, self.able[worker])
            step = min(left, LIVENESS_MS)
            self.advances(step)
            left -= step

    def advances(self, ms: int) -> None:
        self.d.now_ms += ms
        for worker, heard_ms in list(self.heard_ms.items()):
            if self.d.now_ms - heard_ms > LIVENESS_MS:
                del self.able[worker], self.heard_ms[worker]
        self.d.sweep()
        self.see_who_can()
        self.d.core.tick(self.d.now_ms)
        for query in self.queries.values():
            if query.since_ms is not None and self.d.now_ms - query.since_ms > PATIENCE_MS:
                query.state, query.since_ms = QueryState.FAILED, None

    def see_who_can(self) -> None:
        for query in self.queries.values():
            if query.state.terminal or any(query.stages[0] in able for able in self.able.values()):
                query.since_ms = None
            elif query.since_ms is None:
                query.since_ms = self.d.now_ms

    @invariant()
    def queries_end_when_and_only_when_they_must(self) -> None:
        for name, query in self.queries.items():
            status = self.d.status(name)
            assert status.state is query.state, f"R10: {name} is {status.state}, not {query}"
            if query.since_ms is not None:
                assert "no live worker" in status.message, "R10: says what it waits for"
            elif query.state is QueryState.FAILED:
                assert status.message.endswith(f"for longer than {PATIENCE_MS} ms")
                states = {each.state for each in self.d.attempts(name)}
                assert TaskState.RUNNING not in states, "R5"
            else:
                assert "no live worker" not in status.message, "R10"


TestUnrunnable = UnrunnableMachine.TestCase
