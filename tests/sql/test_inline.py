"""Inline tables in SQL: whatever they are joined with, each row counts once."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog
from ffq.engine import Engine
from ffq.errors import InvalidQuery, InvalidRequest, PlanningError
from ffq.messages import PlanSql
from ffq.plan import dump_plan, parse_plan
from ffq.plan.inline import MAX_INLINE_BYTES, InlineTable
from ffq.plan.model import WithTables
from ffq.plan.stages import cut
from ffq.sql.prepare import Prepared, Preparer, Query
from tests.engine.runner import LocalRunner
from tests.profiles import IS_QUICK
from tests.sql.compared import rows_of

SMALL = pa.table(
    {
        "k": [1, 2, 2, None, 9, 10],
        "s": ["one", "two", "zwei", "none", None, "ten"],
        "v": [1.5, -0.0, 0.25, 2.0, None, 4.0],
    }
)


def inline(name: str, table: pa.Table) -> InlineTable:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    return InlineTable(name, sink.getvalue())


OWN = inline("small", SMALL)
Check = Callable[[str], Prepared]


@pytest.fixture(scope="module")
def preparer() -> Iterator[Preparer]:
    made = Preparer(Catalog.of(()))
    yield made
    made.close()


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory, preparer: Preparer) -> Iterator[Check]:
    """Asserts that three tasks of each scan give what the engine gives over the same rows."""
    folder = tmp_path_factory.mktemp("large")
    large = pa.table({"k": [at % 12 for at in range(60)], "w": list(range(60))})
    paths = [folder / f"{part}.parquet" for part in range(3)]
    for part, path in enumerate(paths):
        pq.write_table(large.slice(part * 20, 20), path)
    definition = json.dumps({"name": "large", "paths": [str(folder)]})
    engine = Engine()
    runner = LocalRunner(engine, folder / "shuffle", {"large": paths})
    with duckdb.connect() as con:
        con.register("small", SMALL)
        con.register("large", large)

        def checked(sql: str) -> Prepared:
            prepared = preparer.prepare(Query(sql, tables=(definition,), inline=(OWN,)))
            plan = parse_plan(dump_plan(prepared.plan))
            found, wanted = runner.run(plan), con.sql(sql).to_arrow_table()
            assert found.schema.remove_metadata() == wanted.schema.remove_metadata()
            assert sorted(rows_of(found), key=repr) == sorted(rows_of(wanted), key=repr)
            return prepared

        yield checked
    engine.close()


QUERIES = [
    "FROM small",
    "FROM SMALL WHERE k > 1 AND s LIKE '%e%'",
    "SELECT count(*) AS n FROM small",
    "SELECT k, count(*) AS n, sum(v) AS v FROM small GROUP BY k",
    "SELECT DISTINCT k FROM small",
    "SELECT * FROM large JOIN small USING (k)",
    "SELECT * FROM small JOIN large USING (k)",
    "SELECT * FROM large LEFT JOIN small USING (k)",
    "SELECT * FROM small LEFT JOIN large USING (k)",
    "SELECT * FROM large RIGHT JOIN small USING (k)",
    "SELECT * FROM large FULL JOIN small USING (k)",
    "SELECT * FROM small FULL JOIN large ON small.k > large.k",
    "SELECT * FROM large SEMI JOIN small USING (k)",
    "SELECT * FROM small SEMI JOIN large USING (k)",
    "SELECT * FROM large ANTI JOIN small USING (k)",
    "SELECT * FROM small ANTI JOIN large USING (k)",
    "SELECT * FROM small, large WHERE small.v < large.w AND large.w < 4",
    "SELECT k, k IN (SELECT k FROM small) AS among FROM large",
    "SELECT k, k NOT IN (SELECT k FROM large) AS beyond FROM small",
    "SELECT k, w FROM large UNION ALL SELECT k, v FROM small",
    "SELECT k FROM large UNION SELECT k FROM small",
    "SELECT k FROM small EXCEPT SELECT k FROM large",
    "SELECT k FROM large INTERSECT ALL SELECT k FROM small",
    "SELECT a.s, b.s AS t FROM small a JOIN small b USING (k)",
    "SELECT s, (SELECT sum(w) FROM large WHERE large.k = small.k) AS total FROM small",
    "SELECT w, (SELECT max(s) FROM small WHERE small.k = large.k) AS s FROM large",
    "WITH x AS (FROM small WHERE k > 1) SELECT count(*) AS n FROM x, x y, large",
    "SELECT s, row_number() OVER (PARTITION BY k ORDER BY s) AS n FROM small",
    "SELECT s, sum(w) AS total FROM small JOIN large USING (k) GROUP BY s",
    "WITH RECURSIVE r AS (SELECT 1 AS k UNION ALL "
    "SELECT small.k + 1 FROM small JOIN r USING (k) WHERE r.k < 4) FROM r",
    "SELECT * FROM small ORDER BY s NULLS FIRST LIMIT 3",
    "DESCRIBE small",
]


@pytest.mark.parametrize("sql", QUERIES[:: 9 if IS_QUICK else 1])
def test_each_row_counts_once_beside_rows_that_are_divided(check: Check, sql: str) -> None:
    check(sql)


def test_its_rows_are_in_the_plan_once_and_its_size_is_known(check: Check) -> None:
    prepared = check("SELECT a.k FROM small a, small b, small c, large WHERE a.k = large.k")
    assert isinstance(prepared.plan, WithTables)
    assert prepared.plan.inline == (OWN,)
    assert set(prepared.tables) == {"small", "large"}
    assert (prepared.sizes["small"].rows, prepared.sizes["small"].files_bytes) == (
        SMALL.num_rows,
        len(OWN.parquet),
    )
    assert "broadcast" in prepared.choices[0]


def test_rows_that_are_nowhere_divided_are_not_exchanged(preparer: Preparer) -> None:
    sql = "SELECT k, count(*) AS n FROM small JOIN small b USING (k) GROUP BY k"
    assert len(cut(preparer.prepare(Query(sql, inline=(OWN,))).plan).stages) == 1


def test_it_is_explained_with_its_rows_and_bytes(preparer: Preparer) -> None:
    prepared = preparer.prepare(Query("EXPLAIN SELECT s FROM small", inline=(OWN,)))
    plan = dump_plan(prepared.plan).decode()
    assert f"Inline small  columns s  (6 rows, {len(OWN.parquet) / 1024:.1f} KiB)" in plan


def test_it_comes_before_other_tables_of_its_name(preparer: Preparer) -> None:
    files = json.dumps({"name": "small", "paths": ["/nowhere.parquet"]})
    prepared = preparer.prepare(Query("FROM small", tables=(files,), inline=(OWN,)))
    assert isinstance(prepared.plan, WithTables)
    assert (prepared.plan.tables, prepared.plan.inline) == ((), (OWN,))


def test_other_rows_under_the_same_name_are_other_columns(preparer: Preparer) -> None:
    for kind in ("int64", "string", "date32"):
        table = inline("t", pa.table({"k": pa.array([], kind)}))
        (column,) = preparer.prepare(Query("FROM t", inline=(table,))).columns
        assert column == ("k", {"int64": "BIGINT", "string": "VARCHAR", "date32": "DATE"}[kind])


@pytest.mark.parametrize(
    ("sql", "table", "error", "message"),
    [
        ("FROM smal", OWN, InvalidQuery, "no such table: 'smal': did you mean 'small'"),
        ("SELECT x FROM small", OWN, InvalidQuery, '"x" not found'),
        ("INSERT INTO small SELECT 1", OWN, InvalidQuery, "table 'small' .* takes none"),
        ("FROM t", InlineTable("t", b""), InvalidQuery, "rows of table 't' did not come with"),
        ("FROM t", InlineTable("t", b"?"), PlanningError, "rows of table 't', .* no sound Parquet"),
    ],
)
def test_what_is_wrong_is_named(
    preparer: Preparer, sql: str, table: InlineTable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        preparer.prepare(Query(sql, inline=(table,)))


def test_a_table_without_its_rows_is_known_by_its_name(preparer: Preparer) -> None:
    unread = InlineTable("unread", b"")
    shown = preparer.prepare(Query("SHOW TABLES", inline=(OWN, unread)))
    assert b"unread" in dump_plan(shown.plan)
    assert not isinstance(shown.plan, WithTables)


def test_who_takes_no_tables_from_clients_takes_no_rows(preparer: Preparer) -> None:
    query = Query("FROM small", inline=(OWN,), client_tables=False)
    with pytest.raises(InvalidQuery, match="takes no tables from clients, and so not small"):
        preparer.prepare(query)


def test_a_request_is_bounded_and_names_each_table_once() -> None:
    most = InlineTable("a", bytes(MAX_INLINE_BYTES))
    PlanSql("FROM a", inline=(most, InlineTable("b", b"")))
    with pytest.raises(InvalidRequest, match=r"have 2,097,153 bytes .*'a' 2,097,152, 'b' 1\)"):
        PlanSql("FROM a", inline=(most, InlineTable("b", b"1")))
    for tables in ((OWN, OWN), (InlineTable("", b"1"),)):
        with pytest.raises(InvalidRequest, match="right would be a name for each"):
            PlanSql("FROM small", inline=tables)
