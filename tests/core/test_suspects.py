"""Losses of workers and who is charged for them: R19's suspects."""

from __future__ import annotations

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.errors import UnknownId
from ffq.messages import Assignment, ErrorKind, QueryState
from tests.core.driver import Driver, key
from tests.strategies.graphs import scan

SETTINGS = CoordinatorSettings(
    worker_liveness_timeout_ms=1000, retry_backoff_base_ms=0, max_concurrent_tasks_per_worker=4
)


class Cluster(Driver):
    """Workers that are lost one by one, as a worker that is started again under a new id is."""

    def lose(self, worker: str, *, heard: tuple[str, ...] = ()) -> None:
        """`heard`: workers that are heard of meanwhile."""
        self.now_ms += self.settings.worker_liveness_timeout_ms
        for other in heard:
            self.pull(other, 0)
        self.advance(1)
        assert self.worker(worker) is None

    def queries(self, *names: str) -> None:
        for name in names:
            self.submit(name, scan())


def named(assignments: tuple[Assignment, ...]) -> list[str]:
    return [str(each.key) for each in assignments]


def test_R19_a_loss_is_charged_to_a_task_that_ran_alone() -> None:
    d = Cluster(SETTINGS)
    d.queries("q")
    for number, worker in enumerate("abc", 1):
        assert d.pull_one(worker).key == key("q", 0, 0, number)
        d.lose(worker)
    assert d.status("q").state is QueryState.FAILED
    assert "failed 3 times" in d.status("q").message


def test_R19_where_several_ran_none_is_charged_and_each_is_a_suspect() -> None:
    """A suspect is queued at once, and no worker is given two."""
    d = Cluster(CoordinatorSettings(worker_liveness_timeout_ms=1000, retry_backoff_base_ms=999))
    d.queries("q", "r", "s")
    assert len(d.pull("a", 3)) == 3
    d.lose("a")
    given = d.pull("b", 8)
    assert named(given) == ["q/0/0/2"]
    assert named(d.pull("c", 8)) == ["r/0/0/2"]
    assert d.pull("b", 8) == ()
    assert d.status("s").message == (
        "waiting: task s/0/0 waits for a worker that runs no other task that was lost with its "
        "worker"
    )
    d.finish(given[0])
    assert named(d.pull("b", 8)) == ["s/0/0/2"]


def test_R19_others_run_beside_a_suspect_and_its_loss_is_charged_to_the_suspect() -> None:
    d = Cluster(CoordinatorSettings(worker_liveness_timeout_ms=1000, retry_backoff_base_ms=100))
    d.queries("q", "r")
    d.pull("a", 2)
    d.lose("a")
    d.queries("s")
    assert named(d.pull("b", 8)) == ["q/0/0/2", "s/0/0/1"]
    d.lose("b")
    assert named(d.pull("c", 1)) == ["r/0/0/2"]
    assert named(d.pull("d", 8)) == ["s/0/0/2"], "q is in its backoff, s is not: it was not charged"
    d.now_ms += 100
    assert named(d.pull("e", 8)) == ["q/0/0/3"]


def test_R19_a_suspect_that_commits_is_cleared() -> None:
    d = Cluster(SETTINGS)
    d.beat("a")
    d.submit("q", scan(), tables={"t": 2})
    d.pull("a", 2)
    d.lose("a")
    d.beat("b")
    d.finish(d.pull_one("b"))
    task = d.core.scheduling.state.query(key("q", 0, 0, 1).query_id).stages[0].tasks[0]
    assert (task.suspect, task.failures, task.doubtful) == (False, 0, 0)
    assert named(d.pull("b", 8)) == ["q/0/1/2"]


def on_its_last_try() -> Cluster:
    """A cluster with one query, `q`: a suspect, twice lost beside another query's fresh task."""
    d = Cluster(SETTINGS)
    d.queries("q")
    for number, worker in enumerate("abc", 1):
        d.queries(f"fresh-{worker}")
        assert named(d.pull(worker, 8)) == [f"q/0/0/{number}", f"fresh-{worker}/0/0/1"]
        d.lose(worker)
        d.cancel(f"fresh-{worker}")
    return d


def test_R19_the_last_try_of_a_suspect_runs_alone() -> None:
    d = on_its_last_try()
    d.queries("other", "third")
    assert named(d.pull("x", 8)) == ["q/0/0/4"]
    assert d.pull("x", 8) == ()
    assert named(d.pull("y", 8)) == ["other/0/0/1", "third/0/0/1"]
    d.lose("x", heard=("y",))
    assert d.status("q").state is QueryState.FAILED
    assert d.status("q").message.startswith("worker lost: x")


def test_R19_an_innocent_one_does_not_fail_by_losses_of_others() -> None:
    """Its losses in company do not count when it fails for a reason of its own."""
    d = on_its_last_try()
    for worker in "xy":
        d.fail(d.pull_one(worker), "their bug", ErrorKind.OPERATOR)
        assert d.status("q").state is QueryState.RUNNING
        d.now_ms += 1000
    d.fail(d.pull_one("x"), "their bug", ErrorKind.OPERATOR)
    assert d.status("q").state is QueryState.FAILED


def in_its_backoff() -> Cluster:
    """As `on_its_last_try`; the last loss was just now, and its backoff is 100 ms and more."""
    d = Cluster(
        CoordinatorSettings(
            worker_liveness_timeout_ms=1000,
            retry_backoff_base_ms=100,
            max_concurrent_tasks_per_worker=4,
        )
    )
    d.queries("q", "fresh")
    d.pull("a", 8)
    d.lose("a")
    d.cancel("fresh")
    for worker in "bc":
        d.queries(f"fresh-{worker}")
        d.now_ms += 100
        assert len(d.pull(worker, 8)) == 2
        d.lose(worker)
        d.cancel(f"fresh-{worker}")
    return d


def test_R19_one_that_must_run_alone_keeps_one_busy_worker_until_that_is_idle() -> None:
    d = in_its_backoff()
    d.queries("r", "s", "t", "u")
    x, y = d.pull_one("x"), d.pull_one("y")
    d.now_ms += 200
    assert d.pull("x", 8) == (), "x is kept for q"
    assert "waits for a worker that runs nothing else" in d.status("q").message
    assert len(d.pull("y", 1)) == 1, "y is not"
    assert d.pull("x", 8) == ()
    d.finish(x)
    (alone,) = d.pull("x", 8)
    assert alone.key == key("q", 0, 0, 4)
    assert d.pull("x", 8) == ()
    d.finish(alone)
    assert d.status("q").state is QueryState.SUCCEEDED
    assert len(d.pull("x", 8)) == 1
    d.finish(y)


def test_R10_what_waits_behind_a_task_that_runs_alone_says_so() -> None:
    d = in_its_backoff()
    d.queries("r", "s")
    r = d.pull_one("x")
    d.now_ms += 200
    assert d.pull("x", 8) == ()
    none_free = "waiting: no worker that could run it is free: x"
    assert d.status("s").message == f"{none_free} is kept for task q/0/0, which must run alone"
    d.finish(r)
    assert named(d.pull("x", 8)) == ["q/0/0/4"]
    assert d.status("s").message == f"{none_free} runs task q/0/0, which must run alone"


def test_R19_an_idle_worker_takes_what_another_is_kept_for() -> None:
    d = in_its_backoff()
    d.queries("r", "s")
    d.pull_one("x")
    d.now_ms += 200
    assert d.pull("x", 8) == ()
    assert named(d.pull("idle", 8)) == ["q/0/0/4"]
    assert named(d.pull("x", 8)) == ["s/0/0/1"], "x is kept no longer"


def test_R19_a_worker_is_kept_no_longer_than_its_task_waits() -> None:
    d = in_its_backoff()
    d.queries("r", "s")
    d.pull_one("x")
    d.now_ms += 200
    assert d.pull("x", 8) == ()
    d.cancel("q")
    assert named(d.pull("x", 8)) == ["s/0/0/1"]


def test_R19_where_the_worker_that_is_kept_is_lost_another_is() -> None:
    d = in_its_backoff()
    d.queries("r", "s", "t")
    d.pull_one("x")
    y = d.pull_one("y")
    d.now_ms += 200
    assert d.pull("x", 8) == ()
    d.lose("x", heard=("y",))
    assert d.pull("y", 8) == ()
    d.finish(y)
    assert named(d.pull("y", 8)) == ["q/0/0/4"]


def test_R19_with_a_budget_of_one_every_suspect_runs_alone() -> None:
    d = Cluster(
        CoordinatorSettings(
            worker_liveness_timeout_ms=1000, retry_backoff_base_ms=0, max_task_attempts=1
        )
    )
    d.queries("good", "poison")
    d.pull("a", 8)
    d.lose("a")
    (good,) = d.pull("b", 8)
    assert str(good.key) == "good/0/0/2"
    d.finish(good)
    assert named(d.pull("b", 8)) == ["poison/0/0/2"]
    d.lose("b")
    assert [d.status(each).state.name for each in ("good", "poison")] == ["SUCCEEDED", "FAILED"]


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_R19_poison_without_end_ends_and_hurts_nobody(slots: int) -> None:
    """On a single worker that is started again each time; what is good needs two rounds there."""
    d = Cluster(SETTINGS)
    good = [f"good-{number}" for number in range(5)]
    d.queries(*good)
    poison: list[str] = []
    lives = 0
    while not all(d.status(each).state.terminal for each in (*good, *poison)):
        lives += 1
        assert lives < 100
        if lives < 12:
            poison.append(f"poison-{lives}")
            d.queries(poison[-1])
        worker = f"w{lives}"
        held: list[Assignment] = []
        while not any(each.key.query_id in poison for each in held):
            for each in held:
                d.finish(each)
            held = list(d.pull(worker, slots))
            if not held:
                break
        d.lose(worker)
    assert {d.status(each).state for each in good} == {QueryState.SUCCEEDED}
    assert {d.status(each).state for each in poison} == {QueryState.FAILED}
    for name in poison:
        assert len(d.attempts(name)) <= 2 * SETTINGS.max_task_attempts


def test_a_query_may_be_forgotten_while_the_loss_that_ended_it_is_dealt_with() -> None:
    """R27: its other attempts are among those that were lost."""
    one_finished = attrs.evolve(SETTINGS, max_finished_queries=1, max_uncharged_retries_per_stage=1)
    d = Cluster(one_finished)
    d.beat("w")
    d.submit("a", scan(), {"t": 2})
    d.submit("b", scan(), {"t": 1})
    for each in d.pull("w", 3):
        d.fail(each, "stopped", kind=ErrorKind.STOPPED)
    assert len(d.pull("w", 3)) == 3
    d.beat("w", incarnation=2)
    assert d.status("b").state is QueryState.FAILED
    with pytest.raises(UnknownId, match="a"):
        d.status("a")
    assert d.pull("w", 3) == ()


def test_R19_a_worker_that_is_kept_and_does_not_ask_keeps_nobody_from_it() -> None:
    """Its heartbeats arrive, and no task reaches it. A busy one is kept in its place."""
    d = in_its_backoff()
    d.queries("r", "s", "t")
    x, y = d.pull_one("x"), d.pull_one("y")
    d.now_ms += 200
    assert d.pull("x", 8) == ()
    d.finish(x)
    assert d.pull("y", 8) == ()
    d.finish(y)
    assert named(d.pull("y", 8)) == ["q/0/0/4"]
