"""The parts of benchmarks that decide what is compared with what."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import attrs
import pyarrow as pa
import pytest

from benchmarks import actors, sql
from benchmarks._benchmark import CannotRun
from benchmarks._figures import Samples
from benchmarks._pullers import Calls, work_off
from benchmarks._rounds import run_rounds
from ffq.errors import QueryFailed
from ffq.proto import ffq_distributed_pb2 as pb

ROWS = pa.table({"k": [1, 2]})


def failing(_sql: str) -> pa.Table:
    raise QueryFailed("a bug of its own")


def test_answers_are_compared_as_multisets() -> None:
    sides: sql.Sides = {
        "ours": lambda _sql: pa.table({"k": [2, 1]}),
        "twice": lambda _sql: pa.table({"k": [1, 2, 2]}),
        "failing": failing,
        "bare": lambda _sql: ROWS,
    }
    assert sql.compare_answers("q1", "SELECT", sides, "bare") == [
        "q1: the answer of twice differs from that of bare",
        "q1: failing has no answer: a bug of its own",
    ]


def test_in_rounds_every_side_is_run_in_turn_and_its_answer_judged() -> None:
    ran: list[str] = []

    def run(side: str) -> int:
        ran.append(side)
        return len(ran)

    samples = Samples()
    wrong = run_rounds(samples, "time", 2, ["a", "b"], run, lambda side, _: side == "a")
    assert [sorted(ran[at : at + 2]) for at in (0, 2, 4)] == [["a", "b"]] * 3
    assert ran[2:4] == ran[4:][::-1], "they take turns to begin"
    assert wrong == ["b"]
    assert [len(samples.values("time", side)) for side in "ab"] == [2, 2], "none of the warm-up"


def test_a_round_asks_every_side_each_query_once() -> None:
    asked: list[tuple[str, str]] = []

    def side(name: str) -> Any:
        return lambda text: asked.append((name, text))

    samples = Samples()
    sides: sql.Sides = {"ours": side("ours"), "bare": side("bare")}
    queries = {"q1": "one", "q2": "two"}
    for number in range(2):
        sql.time_round(samples, queries, sides, number)
    assert asked[:4] == [("ours", "one"), ("bare", "one"), ("ours", "two"), ("bare", "two")]
    assert asked[4:] == [("bare", "one"), ("ours", "one"), ("bare", "two"), ("ours", "two")]
    assert samples.figures == ["q1", "q2"]
    assert len(samples.values("q2", "bare")) == 2


def test_an_unknown_query_is_refused_by_name() -> None:
    queries = {"q1": "one", "q2": "two"}
    assert sql.chosen(queries, None) == queries
    assert sql.chosen(queries, ["q2"]) == {"q2": "two"}
    with pytest.raises(CannotRun, match=r"\['q9'\]; there are q1, q2"):
        sql.chosen(queries, ["q9"])


@attrs.define
class Server:
    """Has so many tasks, and answers now and then with none."""

    tasks: int
    asked: list[int] = attrs.field(factory=list)
    finished: list[int] = attrs.field(factory=list)

    async def pull(self, _worker: str, capacity: int) -> Any:
        self.asked.append(capacity)
        given = 0 if len(self.asked) % 3 == 0 else min(capacity, self.tasks)
        self.tasks -= given
        tasks = [pb.TaskAssignment(task_id=self.tasks + each) for each in range(given)]
        return pb.GetTaskResponse(tasks=tasks)

    async def finish(self, _worker: str, task: Any) -> None:
        self.finished.append(task.task_id)


def test_pullers_finish_each_task_once_and_ask_for_no_more_than_are_left() -> None:
    server = Server(20)
    calls: Any = server
    assert {"pull", "finish"} <= set(dir(Calls))
    asyncio.run(work_off(calls, 20, workers=1, capacity=8))
    assert sorted(server.finished) == list(range(20))
    assert server.asked == [8, 8, 4, 4]


def test_pykka_is_compared_on_two_cores_where_there_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = {side for figure, side in actors.TARGETS if side.startswith("pykka")}
    assert judged == {"pykka, 2 cores"}
    peers = frozenset(actors.PEERS)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    assert judged <= set(actors.sides_of(peers))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert actors.sides_of(peers) == ["ffq", "raw channel", "pykka", "xoscar", "ray"]
