"""The machine: our core holds, and broken coordinators are found out and told by name."""

from __future__ import annotations

from functools import partial

import attrs
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from ffq.core import CoreCoordinator
from ffq.testing import (
    CoordinatorAdapter,
    DeclaredSettings,
    QueryState,
    Refusal,
    StatusView,
    TaskState,
    TaskView,
    Violation,
    coordinator_machine,
)
from ffq.testing.adapters.core import CoreAdapter, declared_by
from tests.profiles import variants
from tests.testing.broken import CASES, DECLARED

TestCore = coordinator_machine(
    lambda: CoreAdapter(CoreCoordinator(DECLARED)), declared_by(DECLARED)
).TestCase

# Broken in one way only, so that whatever the machine finds is that. Nothing of it is declared.
FOUND = {
    "duplicate-changes-nothing": {"duplicate-changes-nothing", "terminal-is-final"},
    "foreign-report-ignored": {"foreign-report-ignored"},
    "not-before-backoff": {"not-before-backoff"},
    "worker-limit": {"worker-limit", "query-limit"},
}


@pytest.mark.parametrize("broken", variants(list(FOUND)))
def test_machine_finds_what_is_broken(broken: str) -> None:
    machine = coordinator_machine(CASES[broken].make, declared_by(DECLARED))
    search = hypothesis.settings(
        max_examples=300,
        stateful_step_count=40,
        database=None,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    with pytest.raises(Violation) as failure:
        run_state_machine_as_test(machine, settings=search)
    assert failure.value.check.name in FOUND[broken]


class _Brought(CoordinatorAdapter):
    """A coordinator such as somebody might bring: one stage, one worker table, no metrics.

    Broken by "stale" it takes a late report of an older attempt for one of the newest: no status
    shows that, but what comes of it. By "reuse" it hands out a lost attempt's number again.
    """

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.now = 1
        self.beats: dict[str, int] = {}
        self.queries: dict[str, _Query] = {}

    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        if not plan.startswith(b'{"ParquetScan"'):
            return Refusal("INVALID_ARGUMENT")
        query = self.queries.setdefault(query_id, _Query(plan, self.now))
        return query.state if query.plan == plan else Refusal("ALREADY_EXISTS")

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...]:
        self.beats[worker_id] = self.now
        given: list[TaskView] = []
        free = 8 - sum(query.owner == worker_id for query in self.queries.values())
        for query_id, query in sorted(self.queries.items(), key=lambda item: item[1].attempt):
            ready = query.owner is None and query.ready_at <= self.now
            if len(given) < min(capacity, free) and ready and not query.state.terminal:
                query.attempt += not (self.broken == "reuse" and query.message == "lost")
                query.owner, query.state, query.result = worker_id, QueryState.RUNNING, None
                query.started = query.started or self.now
                given.append(TaskView(query_id, 0, 0, query.attempt, query.plan))
        return tuple(given)

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        query = self.queries.get(task.query_id)
        if query is None or not 1 <= task.attempt <= query.attempt:
            return Refusal("NOT_FOUND")
        if query.owner is None or task.layout_fingerprint:
            return None
        if task.attempt != query.attempt and self.broken != "stale":
            return None
        self.beats[query.owner] = self.now
        if state is TaskState.SUCCEEDED and query.result is not None:
            query.end(QueryState.SUCCEEDED, "", self.now)
        elif state is not TaskState.RUNNING:
            query.fail(message or "no result", self.now)
        return None

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool:
        self.beats[worker_id] = self.now
        return True

    def register_map_output(self, task: TaskView, partitions: object) -> Refusal:
        return Refusal("UNIMPLEMENTED")

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        query = self.queries.get(query_id)
        if query is None:
            return Refusal("NOT_FOUND")
        if query.owner is not None:
            query.result = payload
        return None

    def status(self, query_id: str) -> StatusView | Refusal:
        query = self.queries.get(query_id)
        if query is None:
            return Refusal("NOT_FOUND")
        times = (query.submitted, query.started, query.finished)
        return StatusView(query.state, *times, query.message)

    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        query = self.queries.get(query_id)
        if query is None:
            return Refusal("NOT_FOUND")
        if not query.state.terminal:
            query.end(QueryState.CANCELED, reason, self.now)
        return query.state

    def fetch_results(self, query_id: str) -> bytes | Refusal:
        query = self.queries.get(query_id)
        if query is None:
            return Refusal("NOT_FOUND")
        done = query.state is QueryState.SUCCEEDED and query.result is not None
        return query.result if done and query.result else Refusal("FAILED_PRECONDITION")

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> Refusal:
        return Refusal("UNIMPLEMENTED")

    def advance(self, ms: int) -> None:
        self.now += ms
        for worker in [each for each, beat in self.beats.items() if self.now - beat > 15_000]:
            del self.beats[worker]
            for query in self.queries.values():
                if query.owner == worker:
                    query.fail("lost", self.now)


@attrs.define
class _Query:
    plan: bytes
    submitted: int
    state: QueryState = QueryState.QUEUED
    attempt: int = 0
    failures: int = 0
    owner: str | None = None
    ready_at: int = 0
    result: bytes | None = None
    started: int = 0
    finished: int = 0
    message: str = ""

    def fail(self, message: str, now: int) -> None:
        self.owner = None
        self.failures += 1
        self.message = message
        self.ready_at = now + 250 * 2 ** (self.failures - 1)
        if self.failures == 3:
            self.end(QueryState.FAILED, message, now)

    def end(self, state: QueryState, message: str, now: int) -> None:
        self.state, self.message, self.finished, self.owner = state, message, now, None


def look_at_brought(broken: str, seed: int, *phases: Phase) -> None:
    """Try it at this seed, with as many examples and steps as by default. Raises Violation."""
    settings = DeclaredSettings(blacklist_failure_threshold=1_000_000)
    machine = coordinator_machine(partial(_Brought, broken), settings, plans=["scan"])
    search = hypothesis.settings(
        max_examples=100,
        stateful_step_count=50,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=search)


@pytest.mark.parametrize("seed", range(8))
def test_what_no_status_shows_is_found_at_every_seed(seed: int) -> None:
    with pytest.raises(Violation):
        look_at_brought("stale", seed, Phase.generate)


@pytest.mark.parametrize("seed", range(4))
def test_a_number_handed_out_again_after_a_loss_is_found_at_every_seed(seed: int) -> None:
    with pytest.raises(Violation) as failure:
        look_at_brought("reuse", seed, Phase.generate)
    assert failure.value.check.name in {"assigned-once", "attempts-gapless"}


def test_nothing_is_found_where_nothing_is_broken() -> None:
    look_at_brought("", 0, Phase.generate)


def test_what_is_found_is_made_short() -> None:
    with pytest.raises(Violation) as failure:
        look_at_brought("stale", 2, Phase.generate, Phase.shrink)
    violation = failure.value
    assert len(violation.script) <= 25, violation


def test_what_an_adapter_raises_comes_through_with_its_script() -> None:
    class Buggy(CoreAdapter):
        def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
            raise ZeroDivisionError(query_id)

    search = hypothesis.settings(database=None, derandomize=True, phases=[Phase.generate])
    with pytest.raises(ZeroDivisionError) as failure:
        run_state_machine_as_test(
            coordinator_machine(lambda: Buggy(CoreCoordinator(DECLARED)), declared_by(DECLARED)),
            settings=search,
        )
    (note,) = [each for each in failure.value.__notes__ if "raised by the adapter" in each]
    assert note.startswith(f"raised by the adapter in CancelQuery({failure.value}, ")
    assert f"SubmitQuery({failure.value}, " in note
