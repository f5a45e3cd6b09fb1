"""What a query's stages and tasks did, as a table."""

from __future__ import annotations

import attrs

from ffq import plan as p
from ffq.cli.output.analysis import stages_analysis, tasks_analysis
from ffq.display.grid import plain_lines
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import AttemptStatus, AttemptUsage, QueryState, QueryStatus, TaskState
from ffq.plan.stages import cut

GRAPH = cut(p.scan("t", ["k"]).aggregate(["k"], [p.count().alias("n")], partitions=2).node)
QUERY = QueryStatus(QueryId("q"), QueryState.SUCCEEDED, 1_000, 1_000, 1_400, "", ())
USAGE = AttemptUsage(10, 2_048, 5, 100, 1_000, 2_000, 3_000, 4_000)


def attempt(
    stage: int, task: int, begun: int, ended: int, *, number: int = 1, committed: bool = True
) -> AttemptStatus:
    return AttemptStatus(
        AttemptKey(QueryId("q"), StageId(stage), TaskId(task), Attempt(number)),
        TaskState.SUCCEEDED if committed else TaskState.FAILED,
        WorkerId("w1"),
        begun,
        ended,
        "",
        committed,
        USAGE if committed else None,
    )


ATTEMPTS = (
    attempt(0, 0, 1_250, 1_300),
    attempt(1, 0, 1_010, 1_100),
    attempt(1, 1, 1_020, 1_060, committed=False),
    attempt(1, 1, 1_070, 1_240, number=2),
)


def test_stages_are_sums_of_the_attempts_that_count() -> None:
    lines = list(plain_lines(stages_analysis(GRAPH, QUERY, ATTEMPTS)))
    assert [" ".join(line.split()) for line in lines[3:]] == [
        "1 2 1 230 20 4.0 KiB 10 200 B 80 2 4 6 8 1.3x",
        "0 1 0 50 10 2.0 KiB 5 100 B 10 1 2 3 4",
    ]


def test_tasks_are_shown_one_by_one() -> None:
    grid = tasks_analysis(GRAPH, QUERY, ATTEMPTS)
    assert [row[:5] for row in grid.rows] == [
        ("1", "0", "1", "w1", "90"),
        ("1", "1", "2", "w1", "170"),
        ("0", "0", "1", "w1", "50"),
    ]
    assert all(len(row) == len(grid.columns) for row in grid.rows)


def test_what_spilled_is_told() -> None:
    spilled = attrs.evolve(USAGE, spilled_bytes=3 << 20)
    attempts = [attrs.evolve(each, usage=spilled) for each in ATTEMPTS if each.committed]
    assert [row[-2] for row in stages_analysis(GRAPH, QUERY, attempts).rows] == [
        "6.0 MiB",
        "3.0 MiB",
    ]


def test_workers_that_measure_nothing_have_their_tasks_counted() -> None:
    attempts = [attrs.evolve(each, usage=None) for each in ATTEMPTS]
    assert [row[1] for row in stages_analysis(GRAPH, QUERY, attempts).rows] == ["2", "1"]
    assert len(tasks_analysis(GRAPH, QUERY, attempts).rows) == 3


def test_a_query_without_attempts_has_its_stages() -> None:
    assert [row[0] for row in stages_analysis(GRAPH, QUERY, ()).rows] == ["1", "0"]


def test_second_attempts_beside_others_are_told_where_there_are_any() -> None:
    grid = stages_analysis(GRAPH, QUERY, ATTEMPTS)
    assert grid.columns[-1] == "skew"
    attempts = [*ATTEMPTS[:3], attrs.evolve(ATTEMPTS[3], speculative=True)]
    grid = stages_analysis(GRAPH, QUERY, attempts)
    assert [row[-1] for row in grid.rows] == ["1", "0"]
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    assert grid.columns[-1] == "second"
