"""Small queries are planned as one task, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.messages import ClusterSize
from ffq.plan.stages import Parallelism, cut
from tests.sql.world import World

BOUND = 8 * 1024 * 1024
GROUPED = "SELECT k % 3 AS g, sum(v) AS v, count(*) AS n FROM t GROUP BY g"
WHOLE_ROWS = "SELECT * FROM t WHERE k > 3"
JOINED = "SELECT a.k, b.s FROM t a JOIN t b ON a.k = b.k WHERE b.v > 2 ORDER BY a.k LIMIT 5"
CHOSEN = "the query is one task: it reads about "


def stages(world: World, sql: str, **more: Any) -> int:
    return len(cut(world.prepare(sql, **more).plan).stages)


@pytest.mark.parametrize("sql", [GROUPED, WHOLE_ROWS, JOINED])
def test_a_query_that_reads_little_is_one_stage_of_one_task(world: World, sql: str) -> None:
    prepared = world.prepare(sql, one_task_bytes=BOUND)
    (stage,) = cut(prepared.plan).stages
    assert stage.parallelism is Parallelism.SINGLE
    assert not any(scan.split for scan in stage.scans)
    (said,) = prepared.choices
    assert said.startswith(CHOSEN)
    assert said.endswith(", less than 8.0 MiB")
    assert world.run(sql, one_task_bytes=BOUND) == world.expected(sql) == world.run(sql)


def test_so_it_is_only_below_the_bound_by_the_columns_that_it_reads(world: World) -> None:
    """A column counts by what it takes in the files, each time that it is read."""
    footer = pq.read_metadata(world.folder / "t.parquet")
    assert footer.num_row_groups == 1
    k = footer.row_group(0).column(0)
    assert k.path_in_schema == "k"
    size = k.total_compressed_size
    one, both = "SELECT max(k) FROM t", "SELECT max(k), max(v) FROM t"
    assert stages(world, one, one_task_bytes=size) == 2
    assert stages(world, one, one_task_bytes=size + 1) == 1
    assert stages(world, both, one_task_bytes=size + 1) == 2
    twice = "SELECT (SELECT max(k) FROM t) + (SELECT min(k) FROM t) AS x"
    assert stages(world, twice, one_task_bytes=2 * size) > 1
    assert stages(world, twice, one_task_bytes=2 * size + 1) == 1


def test_row_groups_without_a_row_that_is_asked_for_do_not_count(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "sorted.parquet"
    pq.write_table(pa.table({"k": pa.array(range(4000), pa.int64())}), path, row_group_size=1000)
    footer = pq.read_metadata(path)
    sizes = [footer.row_group(at).column(0).total_compressed_size for at in range(4)]
    few, all_rows = "SELECT count(k) FROM t WHERE k < 1500", "SELECT count(k) FROM t WHERE k < 4000"
    more: dict[str, Any] = {"tables": {"t": str(path)}}
    assert stages(world, few, one_task_bytes=sum(sizes[:2]), **more) == 2
    assert stages(world, few, one_task_bytes=sum(sizes[:2]) + 1, **more) == 1
    assert stages(world, all_rows, one_task_bytes=sum(sizes), **more) == 2


@pytest.mark.parametrize("subqueries", [4, 6])
def test_each_exchange_over_four_lets_it_read_as_much_again(world: World, subqueries: int) -> None:
    """One exchange a subquery: each is a global aggregate, gathered."""
    footer = pq.read_metadata(world.folder / "t.parquet")
    size = footer.row_group(0).column(0).total_compressed_size * subqueries
    sql = "SELECT " + " + ".join(f"(SELECT max(k) + {at} FROM t)" for at in range(subqueries))
    bound = size // max(1, subqueries - 3)
    assert stages(world, sql, one_task_bytes=bound) > 1
    assert stages(world, sql, one_task_bytes=bound + 1) == 1
    assert world.run(sql, one_task_bytes=bound + 1) == world.expected(sql)


def test_where_one_worker_is_all_there_is_nothing_is_shared_out(
    world: World, tmp_path: Path
) -> None:
    """Up to a bound over its slots, each of which has a share of its memory."""
    path = tmp_path / "large.parquet"
    rows = 1 << 19
    noise = pa.array(np.random.default_rng(1).integers(-(2**62), 2**62, rows))
    pq.write_table(pa.table({"k": noise}), path, compression="none")
    stored = pq.read_metadata(path).row_group(0).column(0).total_compressed_size
    most = 512 * 1024 * 1024
    slots = most // stored
    more: dict[str, Any] = {"tables": {"t": str(path)}, "one_task_bytes": 1}
    sql = "SELECT k % 3 AS g, count(*) AS n FROM t GROUP BY g"

    def on(slots: int, workers: int) -> int:
        return stages(world, sql, cluster=ClusterSize(slots, workers), **more)

    assert on(1, 1) == on(slots, 1) == 1
    assert on(slots + 1, 1) == on(2, 2) == 2
    assert stages(world, sql, cluster=ClusterSize(1, 1), tables=more["tables"]) == 2, "turned off"
    (said,) = world.prepare(sql, cluster=ClusterSize(1, 1), **more).choices
    assert said.endswith(", less than 512.0 MiB")


def test_it_is_shared_out_where_that_is_turned_off_or_asked_for(world: World) -> None:
    ways: tuple[dict[str, int], ...] = (
        {},
        {"one_task_bytes": 0},
        {"one_task_bytes": BOUND, "partitions": 4},
    )
    for more in ways:
        prepared = world.prepare(GROUPED, **more)
        assert len(cut(prepared.plan).stages) == 2
        assert not any(CHOSEN in said for said in prepared.choices)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k, random() AS r FROM t",
        "WITH RECURSIVE r(n) AS (SELECT min(k) FROM t UNION ALL SELECT n + 1 FROM r, t "
        "WHERE n = k AND n < 5) SELECT sum(n) FROM r",
    ],
)
def test_what_is_computed_once_behind_an_exchange_keeps_it(world: World, sql: str) -> None:
    assert stages(world, sql, one_task_bytes=BOUND) == stages(world, sql)
    assert world.prepare(sql, one_task_bytes=BOUND).choices == ()


def test_explain_says_so(world: World) -> None:
    rows = dict(world.run(f"EXPLAIN {GROUPED}", one_task_bytes=BOUND))
    assert rows["choices"].startswith(CHOSEN)
    assert "Exchange" not in rows["physical_plan"]
