"""Liveness: R18 to R21, incarnations and leases."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.core.liveness import liveness_machine, stale_from_ms
from ffq.errors import InvalidRequest, QuotaExceeded
from ffq.ids import WorkerId
from ffq.messages import (
    BeatReply,
    ClusterSize,
    DrainWorker,
    GetTask,
    Heartbeat,
    QueryState,
    ReadClusterSize,
    RecordEvidence,
    RecordHeartbeat,
    SweepStaleWorkers,
    TaskState,
    WorkerChanged,
    WorkerLost,
)
from tests.core.driver import OURS, Driver, key
from tests.strategies.graphs import aggregate, operator, scan

TIMEOUT = CoordinatorSettings(worker_liveness_timeout_ms=1000, retry_backoff_base_ms=0)
W = WorkerId("w")


def beat(
    incarnation: int = 0, capabilities: frozenset[str] = frozenset(), endpoint: str = ""
) -> RecordHeartbeat:
    return RecordHeartbeat(
        Heartbeat(W, 0, 0, capabilities, incarnation=incarnation, endpoint=endpoint)
    )


def changed(incarnation: int = 0, *names: str, introduced: bool = True) -> WorkerChanged:
    return WorkerChanged(W, incarnation, frozenset(names), "", "", introduced)


# --- the machine alone -----------------------------------------------------------------------


def test_R18_scheduling_is_told_only_what_changed() -> None:
    machine = liveness_machine(TIMEOUT)
    assert machine.step(beat(), 0).notices == (changed(),)
    assert machine.step(beat(), 1).notices == ()
    assert machine.step(RecordEvidence(W), 2).notices == ()
    machine.validate_state()


@pytest.mark.parametrize(
    "says",
    [
        {"capabilities": frozenset({"a"})},
        {"endpoint": "127.0.0.1:1"},
        {"family": "of another version"},
        {"slots": 3},
        {"stuck_tasks": 1},
        {"incarnation": 6},
    ],
)
def test_R21_whatever_a_beat_says_anew_is_told_once_and_so_is_its_return(
    says: dict[str, Any],
) -> None:
    machine = liveness_machine(TIMEOUT)
    usual = Heartbeat(W, 0, 0, frozenset(), incarnation=5)
    anew = attrs.evolve(usual, at_ms=7, running_tasks=1, **says)
    assert len(machine.step(RecordHeartbeat(usual), 0).notices) == 1
    told = machine.step(RecordHeartbeat(anew), 1).notices[-1]
    assert attrs.asdict(told) == attrs.asdict(changed(5)) | says
    assert machine.step(RecordHeartbeat(anew), 2).notices == ()
    if "incarnation" not in says:
        assert machine.step(RecordHeartbeat(usual), 3).notices == (changed(5),)


def test_an_introduction_is_no_repetition_of_evidence_that_said_as_much() -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(RecordEvidence(W, 5), 0)
    assert machine.step(beat(5), 1).notices == (changed(5),)


def test_R21_capabilities_are_those_of_the_last_heartbeat_whole() -> None:
    machine = liveness_machine(TIMEOUT)
    both = machine.step(beat(capabilities=frozenset({"a", "b"})), 0)
    assert both.notices == (changed(0, "a", "b"),)
    one = machine.step(beat(capabilities=frozenset({"a"})), 1)
    assert one.notices == (changed(0, "a"),)
    assert machine.step(beat(), 2).notices == (changed(),)


def test_R19_a_worker_is_stale_when_silent_for_longer_than_the_timeout() -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(beat(), 5)
    assert machine.step(SweepStaleWorkers(1005), 1005).notices == ()
    lost = machine.step(SweepStaleWorkers(1006), 1006)
    assert lost.notices == (WorkerLost(W, "silent for 1001 ms"),)
    assert machine.step(SweepStaleWorkers(9999), 9999).notices == ()


def test_R19_a_sweep_judges_by_the_time_it_was_sent() -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(beat(), 0)
    assert machine.step(SweepStaleWorkers(1000), 5000).notices == ()


def test_R19_a_sweep_takes_all_stale_workers_oldest_first() -> None:
    machine = liveness_machine(TIMEOUT)
    for at, name in enumerate("abc"):
        machine.step(RecordEvidence(WorkerId(name)), at)
    machine.step(RecordEvidence(WorkerId("a")), 10)
    lost = machine.step(SweepStaleWorkers(1005), 1005)
    assert [each.worker_id for each in lost.notices if isinstance(each, WorkerLost)] == ["b", "c"]
    machine.validate_state()


@pytest.mark.parametrize("register", [True, False])
def test_R18_evidence_introduces_a_worker_only_where_the_call_registers(register: bool) -> None:
    machine = liveness_machine(TIMEOUT)
    outcome = machine.step(RecordEvidence(W, register=register), 0)
    assert outcome.reply == BeatReply(current=True)
    assert outcome.notices == ((changed(),) if register else ())


def test_a_worker_with_an_incarnation_is_introduced_by_its_first_beat() -> None:
    machine = liveness_machine(TIMEOUT)
    evidence = machine.step(RecordEvidence(W, 7), 0)
    assert evidence.notices == (changed(7, introduced=False),)
    assert machine.step(beat(7), 1).notices == (changed(7),)


@pytest.mark.parametrize("old", [0, 3])
def test_a_new_incarnation_replaces_the_old_one(old: int) -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(beat(old), 0)
    outcome = machine.step(beat(4), 1)
    assert outcome.notices == (WorkerLost(W, "it was restarted"), changed(4))
    machine.step(beat(5), 2)
    evidence = machine.step(RecordEvidence(W, 6, register=False), 3)
    assert evidence.notices == (
        WorkerLost(W, "it was restarted"),
        changed(6, introduced=False),
    )


def test_a_replaced_incarnation_is_not_current_and_changes_nothing() -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(beat(4), 0)
    for outcome in (
        machine.step(beat(3, frozenset({"a"})), 900),
        machine.step(beat(0), 900),
        machine.step(RecordEvidence(W, 3), 900),
    ):
        assert (outcome.reply.current, outcome.notices) == (False, ())
    assert len(machine.step(SweepStaleWorkers(1001), 1001).notices) == 1


def test_a_lower_incarnation_is_taken_when_the_higher_has_gone_stale() -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(beat(4), 0)
    outcome = machine.step(beat(3), 1001)
    assert outcome.reply.current is True
    assert outcome.notices == (WorkerLost(W, "it was restarted"), changed(3))


def test_evidence_without_incarnation_is_of_whoever_has_the_id() -> None:
    machine = liveness_machine(TIMEOUT)
    machine.step(beat(4), 0)
    outcome = machine.step(RecordEvidence(W, 0), 900)
    assert (outcome.reply.current, outcome.notices) == (True, ())
    assert machine.step(SweepStaleWorkers(1800), 1800).notices == ()


def test_R30_workers_capabilities_and_names_are_bounded() -> None:
    machine = liveness_machine(CoordinatorSettings(max_workers=1, max_capabilities=2))
    machine.step(RecordEvidence(W), 0)
    with pytest.raises(QuotaExceeded, match="1 workers are live: worker x"):
        machine.step(RecordEvidence(WorkerId("x")), 0)
    with pytest.raises(InvalidRequest, match="names 3 capabilities; at most 2"):
        machine.step(beat(capabilities=frozenset("abc")), 0)
    with pytest.raises(InvalidRequest, match="has 257 characters; at most 256"):
        machine.step(beat(endpoint="e" * 257), 0)
    assert machine.step(beat(), 1).notices == ()


# --- in the coordinator ----------------------------------------------------------------------


def test_R18_every_call_of_a_worker_is_evidence_of_life() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", aggregate(scan()))
    d.pull("idle", 0)
    task = d.pull_one("w")
    for call in (
        lambda: d.register(task, {}),
        lambda: d.report(task, TaskState.RUNNING),
        lambda: d.pull("w"),
        lambda: d.beat("w", incarnation=0),
        lambda: d.succeed(task),
    ):
        d.advance(900)
        call()
    assert d.worker("idle") is None
    assert d.worker("w") is not None
    assert d.attempt_states("q")["1/0/1"] == "SUCCEEDED*"


def test_R18_a_late_report_does_not_bring_a_dead_worker_back() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", scan())
    task = d.pull_one("w")
    d.advance(1001)
    assert d.worker("w") is None
    assert d.fail(task).counted is False
    d.report(task, TaskState.SUCCEEDED, worker="w")
    assert d.worker("w") is None


def test_R19_attempts_of_a_stale_worker_fail_and_are_queued_again() -> None:
    d = Driver(CoordinatorSettings(worker_liveness_timeout_ms=1000, retry_backoff_base_ms=50))
    d.submit("q", scan())
    d.pull_one("w")
    d.advance(500)
    d.pull("other")
    d.advance(501)
    first, second = d.attempts("q")
    assert (first.state, first.finished_at_ms) == (TaskState.FAILED, 1001)
    assert first.message == "worker lost: w: silent for 1001 ms"
    assert second.state is TaskState.QUEUED
    assert d.pull("other") == ()
    d.advance(50)
    assert d.pull_one("other").key == key("q", 0, 0, 2)
    other = d.worker("other")
    assert other is not None
    assert other.consecutive_failures == 0


def test_R19_no_rpc_is_needed_to_find_a_stale_worker() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", scan())
    d.pull_one("w")
    d.now_ms = 1001
    d.sweep()
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "QUEUED"}


def test_R19_losing_workers_spends_the_tasks_budget() -> None:
    d = Driver(TIMEOUT)
    d.submit("poison", scan())
    for worker in ("a", "b", "c"):
        d.pull_one(worker)
        d.advance(1001)
    status = d.status("poison")
    assert status.state is QueryState.FAILED
    assert status.message == (
        "worker lost: c: silent for 1001 ms, while it ran this task and no other "
        "(task poison/0/0 failed 3 times, last on worker c)"
    )


def test_R19_a_query_that_costs_workers_names_its_operator() -> None:
    d = Driver(TIMEOUT)
    d.submit("poison", operator("op.a", scan()))
    for worker in ("a", "b", "c"):
        d.beat(worker, ["op.a", *OURS])
        d.pull_one(worker)
        d.advance(1001)
    assert d.status("poison").message.startswith(
        "worker lost: c: silent for 1001 ms, while it ran this task, "
        "with custom operator 'op.a', and"
    )


def test_R19_a_restart_with_many_attempts_running_does_not_exclude_the_worker() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", scan(), tables={"t": 8})
    d.beat("w", incarnation=1)
    assert len(d.pull("w", 8)) == 8
    d.beat("w", incarnation=2)
    worker = d.worker("w")
    assert worker is not None
    assert (worker.consecutive_failures, worker.excluded) == (0, False)
    assert {each.key.attempt for each in d.pull("w", 8)} == {2}


def test_R19_a_paused_worker_that_comes_back_gets_new_attempts_and_its_late_report_is_ignored() -> (
    None
):
    d = Driver(TIMEOUT)
    d.submit("q", scan())
    old = d.pull_one("w")
    d.advance(1001)
    new = d.pull_one("w")
    assert new.key == key("q", 0, 0, 2)
    assert d.upload(old, b"old").counted is False
    assert d.succeed(old).counted is False
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "RUNNING"}


def test_R20_a_worker_that_keeps_beating_is_never_stale() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", scan())
    d.beat("w")
    task = d.pull_one("w")
    for _ in range(50):
        d.advance(1000)
        d.beat("w")
    assert d.finish(task).counted is True
    assert d.status("q").state is QueryState.SUCCEEDED


def test_R21_a_capability_that_is_gone_is_gone() -> None:
    d = Driver()
    d.beat("w", {"op.a", "op.b"})
    d.beat("w", {"op.b"})
    worker = d.worker("w")
    assert worker is not None
    assert worker.capabilities == ("op.b",)


def test_a_restarted_worker_under_its_old_id_is_a_new_worker() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", scan())
    d.beat("w", incarnation=1)
    old = d.pull_one("w")
    d.beat("w", incarnation=2)
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "QUEUED"}
    stale = d.core.ask(GetTask(W, 1, incarnation=1), d.now_ms)
    assert stale == ()
    assert d.report(old, TaskState.FAILED, worker="w", incarnation=1).counted is False
    assert d.pull_one("w").key == key("q", 0, 0, 2)


def test_a_beat_of_a_replaced_incarnation_is_told_that_it_is_superseded() -> None:
    d = Driver()
    assert d.beat("w", {"op.new"}, incarnation=2).superseded is False
    old = d.beat("w", {"op.old"}, incarnation=1)
    assert (old.accepted, old.superseded) == (False, True)
    assert d.beat("w", {"op.new"}, incarnation=2).superseded is False
    worker = d.worker("w")
    assert worker is not None
    assert worker.capabilities == ("op.new",)


# --- leases ----------------------------------------------------------------------------------

LEASE = CoordinatorSettings(assignment_lease_ms=1000, max_task_attempts=1)


def test_an_assignment_that_its_worker_never_confirms_is_taken_back() -> None:
    d = Driver(LEASE)
    d.submit("q", scan())
    d.beat("w", running=[])
    d.pull_one("w")
    d.now_ms = 1000
    d.beat("w", running=[])
    assert d.attempt_states("q") == {"0/0/1": "RUNNING"}
    d.now_ms = 1001
    d.beat("w", running=[])
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "QUEUED"}
    worker = d.worker("w")
    assert worker is not None
    assert (worker.running_attempts, worker.consecutive_failures) == (0, 0)
    assert d.pull_one("w").key == key("q", 0, 0, 2)


def test_an_attempt_that_is_listed_keeps_its_lease() -> None:
    d = Driver(LEASE)
    d.submit("q", scan())
    d.beat("w", running=[])
    task = d.pull_one("w")
    for _ in range(10):
        d.now_ms += 900
        assert d.beat("w", running=[task.key]).stop_attempts == ()
    d.now_ms += 900
    d.report(task, TaskState.RUNNING)
    d.now_ms += 900
    d.beat("w", running=[])
    assert d.attempt_states("q") == {"0/0/1": "RUNNING"}


def test_a_worker_that_lists_no_attempts_has_no_leases() -> None:
    d = Driver(LEASE)
    d.submit("q", scan())
    d.beat("w", incarnation=0)
    d.pull_one("w")
    for _ in range(5):
        d.now_ms += 900
        d.beat("w", incarnation=0)
    assert d.attempt_states("q") == {"0/0/1": "RUNNING"}


def test_a_worker_is_told_to_stop_what_it_does_not_hold() -> None:
    d = Driver(TIMEOUT)
    d.submit("q", scan())
    d.beat("w", incarnation=1)
    old = d.pull_one("w")
    d.beat("w", incarnation=2)
    new = d.pull_one("w")
    made_up = key("q", 0, 5, 1)
    reply = d.beat("w", incarnation=2, running=[old.key, new.key, made_up])
    assert reply.stop_attempts == (old.key, made_up)


def test_a_worker_is_told_which_queries_need_its_files_no_more() -> None:
    d = Driver()
    d.submit("ended", scan())
    d.submit("running", scan())
    d.cancel("ended")
    reply = d.beat("w", held=["ended", "running", "never heard of"])
    assert reply.ended_queries == ("ended", "never heard of")


# --- how much of the cluster a query can use --------------------------------------------------


def test_a_query_can_use_the_slots_of_the_workers_that_are_given_tasks() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_worker=4, worker_liveness_timeout_ms=9))
    sizes = [d.ask(ReadClusterSize())]
    for worker, slots in (("a", 2), ("b", 9), ("drained", 3)):
        d.beat(worker, slots=slots)
        sizes.append(d.ask(ReadClusterSize()))
    d.ask(DrainWorker(WorkerId("drained")))
    sizes.append(d.ask(ReadClusterSize()))
    d.ask(GetTask(WorkerId("unknown yet"), 1, 1))
    d.pull("fixed wire")
    sizes.append(d.ask(ReadClusterSize()))
    assert [(each.slots, each.workers) for each in sizes] == [
        (0, 0),
        (2, 1),
        (6, 2),
        (9, 3),
        (6, 2),
        (7, 3),
    ]
    d.now_ms = 10
    d.core.sweep(10)
    assert d.ask(ReadClusterSize()) == ClusterSize(0, 0)


def test_a_query_can_use_no_more_slots_than_it_may_have_attempts() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_query=5))
    for number in range(4):
        d.beat(f"w{number}", slots=2)
    assert d.ask(ReadClusterSize()) == ClusterSize(5, 4)


def test_R19_the_first_that_may_be_stale_is_the_one_heard_of_longest_ago() -> None:
    d = Driver()
    liveness, timeout_ms = d.core.liveness, d.settings.worker_liveness_timeout_ms
    assert stale_from_ms(liveness.state, 70) == 70 + timeout_ms + 1
    d.beat("a")
    d.advance(100)
    d.beat("b")
    first = stale_from_ms(liveness.state, d.now_ms)
    assert first == d.now_ms - 100 + timeout_ms + 1
    liveness.step(SweepStaleWorkers(first - 1), first - 1)
    assert list(liveness.state.workers) == ["a", "b"]
    liveness.step(SweepStaleWorkers(first), first)
    assert list(liveness.state.workers) == ["b"]
    assert stale_from_ms(liveness.state, first) == first + 100
