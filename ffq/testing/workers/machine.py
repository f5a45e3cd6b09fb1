"""A Hypothesis state machine that plays the coordinator and the network against a worker."""

from __future__ import annotations

from collections.abc import Callable, Collection

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ffq.testing.invariants import Violation
from ffq.testing.machine import PLANS
from ffq.testing.queries import plan_shapes
from ffq.testing.workers.adapter import WorkerAdapter
from ffq.testing.workers.checker import WorkerChecker
from ffq.testing.workers.coordinator import SETTINGS, Loss, PlayedCoordinator

OPERATOR = "op"
"""The custom operator of the harness's plans: a worker that advertises it is given such tasks."""
PLAIN_PLANS = tuple(name for name in PLANS if "custom" not in name)
MOST_OPEN = 3
_LAST_TURNS = 40
_METHODS = (
    "GetTask",
    "ReportTaskStatus",
    "RegisterMapOutput",
    "RegisterQueryResults",
    "Heartbeat",
    "",
)


def worker_machine(
    make_worker: Callable[[], WorkerAdapter],
    *,
    slots: int | None = None,
    plans: Collection[str] = PLAIN_PLANS,
) -> type[RuleBasedStateMachine]:
    """The machine for one kind of worker, to be run by Hypothesis or pytest.

    Args:
        make_worker: a worker that has never been used, behind its adapter. Called for each run.
        slots: how many attempts it may run at once; None: that is not checked.
        plans: names of the plans that it is given, of `ffq.testing.queries.plan_shapes`. Those
            with "custom" in their name need the operator "op" among its capabilities.

    A check that fails raises `ffq.testing.Violation`, with the script of calls.
    """

    class WorkerMachine(_WorkerRules):
        def __init__(self) -> None:
            super().__init__(make_worker(), slots, tuple(plans))

    return WorkerMachine


_PLAN = st.runner().flatmap(lambda machine: st.sampled_from(machine.plans))


class _WorkerRules(RuleBasedStateMachine):
    def __init__(self, worker: WorkerAdapter, slots: int | None, plans: tuple[str, ...]) -> None:
        super().__init__()
        self.worker = worker
        self.plans = plans
        self.shapes = plan_shapes(OPERATOR)
        self.coordinator = PlayedCoordinator(WorkerChecker(slots))

    @initialize(plan=_PLAN)
    def begin(self, plan: str) -> None:
        self.coordinator.submit("1", self.shapes[plan])
        self._turn()

    @rule(plan=_PLAN)
    def submit(self, plan: str) -> None:
        if len(self.coordinator.open_queries()) < MOST_OPEN:
            self.coordinator.submit(str(len(self.coordinator.checker.plans) + 1), self.shapes[plan])

    @rule(turns=st.integers(1, 5))
    def work(self, turns: int) -> None:
        for _ in range(turns):
            self._turn()

    @rule(
        method=st.sampled_from(_METHODS), after_effect=st.booleans(), count=st.sampled_from([1, 3])
    )
    def lose(self, method: str, after_effect: bool, count: int) -> None:
        self.coordinator.losses.append(Loss(method, after_effect, count))

    @rule(which=st.integers(0, MOST_OPEN - 1))
    def cancel(self, which: int) -> None:
        among = list(self.coordinator.open_queries())
        if which < len(among):
            self.coordinator.cancel(among[which])

    @rule(ms=st.sampled_from([100, 1_000, SETTINGS.worker_liveness_timeout_ms + 1]))
    def wait(self, ms: int) -> None:
        """Long enough, and the worker was paused: what it held goes to others, or comes again."""
        self.coordinator.advance(ms)

    @rule()
    def restart(self) -> None:
        self.coordinator.restart()

    @invariant()
    def books_are_consistent(self) -> None:
        self.coordinator.core.validate_state()

    def teardown(self) -> None:
        """Nothing is lost any more.

        What the worker has it must report; what a lost answer had assigned to it comes back only
        when the worker has been silent for long.
        """
        if self.coordinator.broken:
            return
        self.coordinator.losses.clear()
        self._turns()
        self._checked(lambda: self.coordinator.checker.settled(self.coordinator.running()))
        if self.coordinator.open_queries():
            self.coordinator.advance(SETTINGS.worker_liveness_timeout_ms + 1)
            self._turns()
        self._checked(lambda: self.coordinator.checker.ended(self.coordinator.open_queries()))

    def _turns(self) -> None:
        for _ in range(_LAST_TURNS):
            if not self.coordinator.open_queries():
                break
            self._turn()
            self.coordinator.advance(100)

    def _turn(self) -> None:
        self._checked(lambda: self.worker.turn(self.coordinator))

    def _checked(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Violation as violation:
            self.coordinator.broken = True
            violation.script = tuple(self.coordinator.script)
            raise
        except Exception as error:
            self.coordinator.broken = True
            script = "\n".join(f"  {line}" for line in self.coordinator.script)
            error.add_note(f"raised by the worker after\n{script}")
            raise
