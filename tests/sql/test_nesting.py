"""Joins of many tables, and subqueries within each other: planned and run, up to a bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ffq.errors import InvalidPlan
from ffq.messages import PlanSql
from ffq.sql.exchanges import TableEstimate
from ffq.sql.service import PlanningService
from tests.sql.compared import Compared, write_tables

TABLES = 12
DEEP = 8


def joins(kind: str) -> str:
    joined = "".join(f" {kind} t t{at} ON t{at}.k = t{at - 1}.k + 1" for at in range(1, TABLES))
    return f"SELECT t0.k, sum(t{TABLES - 1}.v) AS v FROM t t0{joined} GROUP BY t0.k"


def maxima(levels: int) -> str:
    query = "SELECT max(v) FROM t"
    for _ in range(levels):
        query = f"SELECT max(v) FROM t WHERE v < ({query})"
    return query


def correlated(levels: int) -> str:
    query = f"SELECT max(t{levels}.v) FROM t t{levels} WHERE t{levels}.k = t{levels - 1}.k"
    for at in range(levels - 1, 0, -1):
        query = (
            f"SELECT max(t{at}.v) FROM t t{at} WHERE t{at}.k = t{at - 1}.k AND t{at}.v <= ({query})"
        )
    return f"SELECT t0.k FROM t t0 WHERE t0.v <= ({query})"


def exists(levels: int) -> str:
    query = f"SELECT 1 FROM t t{levels} WHERE t{levels}.k = t{levels - 1}.k + 1"
    for at in range(levels - 1, 0, -1):
        query = f"SELECT 1 FROM t t{at} WHERE t{at}.k = t{at - 1}.k + 1 AND EXISTS ({query})"
    return f"SELECT t0.k FROM t t0 WHERE EXISTS ({query})"


def groups(levels: int) -> str:
    query = "SELECT k, v FROM t"
    for level in range(levels):
        query = f"SELECT k, sum(v) AS v FROM ({query}) GROUP BY k HAVING sum(v) > {level}"
    return query


QUERIES = {
    "inner joins": joins("JOIN"),
    "left joins": joins("LEFT JOIN"),
    "scalars": maxima(DEEP),
    "correlated scalars": correlated(DEEP),
    "exists": exists(DEEP),
    "groups": groups(DEEP),
}


@pytest.fixture(scope="module", params=["small", "large"])
def compared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compared]:
    """Of tables that are small, and of such that are estimated to be large: with exchanges."""
    root = tmp_path_factory.mktemp("nesting")
    con = duckdb.connect()
    con.execute("CREATE TABLE t AS SELECT i AS k, i * 3 AS v FROM range(20) r(i)")
    files = write_tables(con, root)
    sizes = {"t": TableEstimate(10**7, 10**9)} if request.param == "large" else {}
    found = Compared.over(con, files, root / "shuffles")
    found.estimates = sizes
    yield found
    found.close()


@pytest.mark.parametrize("name", QUERIES)
def test_it_is_planned_and_run(compared: Compared, name: str) -> None:
    assert compared.check(QUERIES[name]).num_rows


def test_what_nests_deeper_than_a_plan_may_is_refused_with_what_would_be_right(
    tmp_path: Path,
) -> None:
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 1 AS v) TO '{tmp_path / 't.parquet'}' (FORMAT parquet)")
    text = maxima(40).replace("FROM t", f"FROM '{tmp_path / 't.parquet'}'")
    with PlanningService() as service:
        with pytest.raises(InvalidPlan) as caught:
            service.plan(PlanSql(text))
        assert service.plan(PlanSql("SELECT 1"))
    assert "nests deeper than 256 JSON levels" in caught.value.message
    assert "right would be fewer queries within each other" in caught.value.message
