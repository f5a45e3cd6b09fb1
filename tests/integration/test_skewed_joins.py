"""One key has half of the rows: its partition is shared out where it may be; answers are equal."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.client import connect
from ffq.plan import Relation, col, scan
from ffq.plan.builder import JoinHow
from tests.processes import gateway, worker

ROWS, FILES = 4_000, 4
KINDS: dict[JoinHow, str] = {
    "inner": "t JOIN u ON t.k = u.j",
    "left": "t LEFT JOIN u ON t.k = u.j",
    "right": "t RIGHT JOIN u ON t.k = u.j",
    "full": "t FULL JOIN u ON t.k = u.j",
    "semi": "t SEMI JOIN u ON t.k = u.j",
    "anti": "t ANTI JOIN u ON t.k = u.j",
}
DIVIDED: set[JoinHow] = {"inner", "left", "semi", "anti"}


def large() -> pa.Table:
    """k: half of it 7, some null, the rest about even and without a match every other time."""
    keys = [7 if v % 2 else None if v % 10 == 0 else v % 40 for v in range(ROWS)]
    return pa.table({"k": pa.array(keys, pa.int64()), "v": list(range(ROWS))})


def small() -> pa.Table:
    keys = [7, 7, None, *range(0, 80, 4)]
    return pa.table({"j": pa.array(keys, pa.int64()), "w": list(range(len(keys)))})


def write(folder: Path) -> Path:
    (folder / "t").mkdir()
    for at in range(FILES):
        part = large().slice(at * ROWS // FILES, ROWS // FILES)
        pq.write_table(part, folder / "t" / f"{at}.parquet")
    pq.write_table(small(), folder / "u.parquet")
    tables = [{"name": "t", "uri": f"{folder}/t"}, {"name": "u", "uri": f"{folder}/u.parquet"}]
    catalog = folder / "tables.json"
    catalog.write_text(json.dumps(tables))
    return catalog


def joined(how: JoinHow) -> Relation:
    return scan("t", ["k", "v"]).join(scan("u", ["j", "w"]), on=[("k", "j")], how=how, partitions=4)


def rows(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))


def expected(how: JoinHow) -> Counter[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.register("t", large())
        connection.register("u", small())
        columns = "t.k, v" if how in {"semi", "anti"} else "t.k, v, u.j, w"
        text = f"SELECT {columns} FROM {KINDS[how]}"
        return rows(connection.sql(text).to_arrow_table())


@pytest.fixture(name="endpoint", scope="module")
def _endpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    catalog = write(tmp_path_factory.mktemp("skew"))
    env = {"FFQ_ADAPTIVE_SKEW_BYTES": "1000"}
    with (
        gateway(f"--catalog={catalog}", "--scan-target-bytes=1", env=env) as (_, endpoint),
        worker(endpoint, "w1", "--slots=2"),
        worker(endpoint, "w2", "--slots=2"),
    ):
        yield endpoint


@pytest.mark.parametrize("how", KINDS)
async def test_answers_are_equal_and_partitions_divided_where_they_may_be(
    endpoint: str, how: JoinHow
) -> None:
    async with connect(endpoint) as client:
        query = await client.submit(joined(how))
        assert rows(await query.result()) == expected(how)
        told = [text for stage in (await query.status()).stages for text in stage.decisions]
        assert [text.partition(":")[0] for text in told] == ["skew"] * (how in DIVIDED)


async def test_groups_of_a_divided_join_are_whole(endpoint: str) -> None:
    async with connect(endpoint) as client:
        plan = joined("inner").aggregate(["k"], [col("v").sum().alias("s")], partitions=2)
        query = await client.submit(plan)
        sums: Counter[Any] = Counter()
        for key, value, *_ in expected("inner").elements():
            sums[key] += value
        assert rows(await query.result()) == Counter(sums.items())
        told = [text for stage in (await query.status()).stages for text in stage.decisions]
        assert [text.partition(":")[0] for text in told] == ["skew"]
