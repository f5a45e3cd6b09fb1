"""A query that makes no progress says why (R10)."""

from __future__ import annotations

import pytest

from ffq.core.ready import Requirement
from ffq.core.settings import CoordinatorSettings
from ffq.core.waiting import Waiting
from ffq.ids import WorkerId
from ffq.messages import DrainWorker, ListQueries
from ffq.plan import builder
from ffq.plan.model import Node
from tests.core.driver import OURS, Driver
from tests.strategies.graphs import exchange, operator, scan


def two_stages() -> Node:
    return builder.scan("t", ["k"]).gather().node


def occupied(driver: Driver, worker: str, query: str, *, slots: int, stuck: int = 0) -> None:
    """A worker that runs a task of another query."""
    driver.beat(worker, slots=slots, stuck=stuck)
    driver.submit(query, scan())
    driver.pull_one(worker)


def test_R10_a_query_that_waits_for_full_workers_says_so() -> None:
    d = Driver()
    for worker in ("w1", "w2"):
        occupied(d, worker, f"of {worker}".replace(" ", "-"), slots=1)
    d.submit("q", scan())
    full = "w1 is full (1 of 1 slots), w2 is full (1 of 1 slots)"
    assert d.status("q").message == f"waiting: no worker that could run it is free: {full}"
    assert d.status("of-w1").message == ""
    d.beat("w3", slots=1)
    assert d.status("q").message == ""


def test_R10_slots_that_do_not_come_free_are_told_apart() -> None:
    d = Driver()
    d.beat("w", slots=2, stuck=2)
    d.submit("q", scan())
    stuck = "2 of them by attempts that were told to stop and do not"
    assert d.status("q").message.endswith(f"free: w is full (2 of 2 slots, {stuck})")
    (worker,) = d.workers()
    assert (worker.slots, worker.stuck_tasks) == (2, 2)
    d.beat("w", slots=2, stuck=1)
    assert d.status("q").message == ""


def test_R10_a_query_that_waits_for_excluded_workers_says_how_long() -> None:
    d = Driver(CoordinatorSettings(blacklist_failure_threshold=1, max_task_attempts=9))
    d.beat("w", slots=4)
    d.submit("q", two_stages())
    d.fail(d.pull_one("w"))
    d.submit("p", scan())
    said = "w is excluded for 60000 ms after 1 failures"
    assert d.status("p").message == f"waiting: no worker that could run it is free: {said}"


def test_R10_a_query_that_waits_for_draining_workers_says_so() -> None:
    d = Driver()
    d.submit("q", scan())
    assert d.status("q").message == "waiting: no live worker"
    d.beat("w1")
    d.ask(DrainWorker(WorkerId("w1")))
    none_free = "waiting: no worker that could run it is free: w1 is draining"
    assert d.status("q").message == none_free
    d.cancel("q")
    occupied(d, "w2", "other", slots=1)
    d.submit("p", scan())
    assert d.status("p").message == f"{none_free}, w2 is full (1 of 1 slots)"
    d.submit("o", operator("op.a", scan()))
    assert d.status("o").message == "waiting: no live worker has custom operator 'op.a'"


def test_R10_a_query_that_waits_for_its_next_attempt_says_when() -> None:
    d = Driver()
    d.beat("w")
    d.submit("q", scan())
    d.fail(d.pull_one("w"), "boom\nand more, in the row of the attempt")
    said = "waiting: task 0 of stage 0 is tried again 250 ms after it failed: boom"
    assert d.status("q").message == said
    d.now_ms += 100
    assert d.status("q").message == said  # no countdown: nothing has changed
    d.advance(200)
    assert d.status("q").message == ""


def test_R10_work_that_a_free_worker_leaves_alone_says_so() -> None:
    """Its heartbeats arrive, but it asks for no task, or no answer reaches it."""
    d = Driver()
    d.beat("w")
    d.submit("q", scan())
    d.submit("o", scan())

    def wait(ms: int) -> None:
        for _ in range(2):
            d.now_ms += ms // 2
            d.beat("w")

    wait(d.settings.worker_liveness_timeout_ms)
    assert d.status("q").message == ""
    wait(2)
    said = "waiting: w could run it and is free, but has taken no task for 15000 ms"
    assert d.status("q").message == said
    wait(100)
    assert d.status("q").message == said
    assert d.status("o").message == said
    d.pull_one("w")
    assert d.status("q").message == ""
    assert d.status("o").message == "", "w asks again: it is the other's turn next"
    d.beat("v", slots=1)
    wait(d.settings.worker_liveness_timeout_ms)
    d.beat("v", slots=1)
    assert d.status("o").message == ""
    wait(2)
    d.beat("v", slots=1)
    assert d.status("o").message == said, "w has room for it still"


def test_R10_a_worker_between_two_tasks_of_others_leaves_nothing_alone() -> None:
    """Of many small queries, most wait longer than a worker may be silent."""
    d = Driver()
    d.beat("w", slots=1)
    names = [f"q{number}" for number in range(40)]
    for name in names:
        d.submit(name, scan())
    for served in range(1, len(names)):
        d.finish(d.pull_one("w"))
        said = {d.status(each).message for each in names[served:]}
        assert said == {""}
        d.now_ms += 1_000
        d.beat("w", slots=1)
    # One that stops asking is told of.
    for seconds in range(2, 20):
        d.now_ms += 1_000
        d.beat("w", slots=1)
        assert (d.status(names[-1]).message != "") == (seconds > 15), seconds


def test_R10_a_free_worker_of_another_family_than_the_chosen_one_does_not_count() -> None:
    """Of family a, one has the operator: no worker of b is given the scan below it (R31)."""
    d = Driver()
    d.beat("b", family="b")
    d.beat("a", OURS | {"op.a"}, family="a", slots=1)
    d.submit("q", operator("op.a", exchange(scan())))
    d.submit("busy", operator("op.a", scan()))
    assert [str(each.key) for each in d.pull("a")] == ["q/1/0/1"]
    d.submit("p", operator("op.a", exchange(scan())))
    assert d.pull("b", 8) == ()
    none_free = "waiting: no worker that could run it is free: a is full (1 of 1 slots)"
    assert d.status("p").message == none_free


def test_R10_many_workers_are_counted_and_lists_look_at_them_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    d = Driver()
    for number in range(8):
        occupied(d, f"w{number}", f"o{number}", slots=1)
    d.submit("q", scan())
    assert d.status("q").message.endswith("w4 is full (1 of 1 slots) and 3 more")
    for number in range(5):
        d.submit(f"q{number}", scan())
    looked: list[Requirement] = []
    find_able = Waiting._find_able

    def counted(self: Waiting, requirement: Requirement) -> object:
        looked.append(requirement)
        return find_able(self, requirement)

    monkeypatch.setattr(Waiting, "_find_able", counted)
    listed = d.ask(ListQueries(20))
    assert sum(each.message.endswith("and 3 more") for each in listed) == 6
    assert len(looked) == 1
