"""Wide columns of the first rows are read for those alone, and the answer is the engine's: whatever
joins the tables and orders the rows, and however their files are cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import attrs
import duckdb
import pytest

from ffq.engine import Engine
from ffq.messages import ClusterSize
from ffq.plan.bound import Match
from ffq.plan.model import FetchedRows, Join, NumberedScan
from ffq.plan.walk import walk_stage
from ffq.sql.distribute import distribute
from ffq.sql.exchanges import TableEstimate
from ffq.sql.planning import PlanningInstance
from ffq.sql.together import in_one_task, reads_later, scans_of
from tests.engine.runner import LocalRunner
from tests.sql.compared import Compared, plan_of

# Of `wide` some keys are null, some stand twice, some have no partner in `f`; and so the other way.
_WIDE = """
    SELECT nullif(i % 40, 7) AS k, i AS id, nullif(i % 5, 3) AS g, 'name ' || i AS name,
        CASE WHEN i % 4 > 0 THEN repeat('x', i::INT % 9) END AS text,
        {'a': i, 'b': [i::VARCHAR, NULL]} AS s, MAP {i: i / 3} AS m, [i, NULL] AS l,
        (i::HUGEINT << 70) AS huge, i::DECIMAL(20, 3) AS d, '2020-01-01'::DATE + i::INT AS day,
        CASE WHEN i % 2 = 0 THEN uuid_of(i) END AS u, i % 3 = 0 AS yes, (i || '!')::BLOB AS bytes
    FROM range(300) r(i)
"""
_UUID = "CREATE MACRO uuid_of(i) AS md5(i::VARCHAR)::UUID"
_F = "SELECT nullif(i % 45, 2) AS k, i % 6 AS j, 'f ' || i AS label FROM range(60) r(i)"
# Of the files one has no rows, and row groups are of different sizes.
_CUTS = (0, 90, 90, 91, 300)
_SIZES = {
    "wide": TableEstimate(
        10**8,
        10**11,
        widths=dict.fromkeys(("name", "text", "s", "u"), 200.0) | {"g": 8.0, "k": 8.0},
        numbered=True,
    ),
    "f": TableEstimate(10**8, 10**10, numbered=True),
}


@pytest.fixture(scope="module", params=[False, True], ids=["as planned", "sizes decide"])
def compared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("fetched")
    con = duckdb.connect()
    con.execute(_UUID)
    con.execute(f"CREATE TABLE all_wide AS {_WIDE}")
    con.execute(f"CREATE TABLE all_f AS {_F}")
    parts = [
        ("wide", f"FROM all_wide WHERE id >= {start} AND id < {end}")
        for start, end in pairwise(_CUTS)
    ]
    parts += [("f", f"FROM all_f WHERE j % 2 = {part}") for part in range(2)]
    files: dict[str, list[Path]] = {"wide": [], "f": []}
    for number, (name, sql) in enumerate(parts):
        path = root / f"{name} {number}.parquet"
        size = 2048 if number % 2 else 8192
        con.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE {size})")
        files[name].append(path)
    columns = {}
    for name, paths in files.items():
        listed = ", ".join(f"'{path}'" for path in paths)
        con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")
        described = con.execute(f"DESCRIBE {name}").fetchall()
        columns[name] = [(column, kind) for column, kind, *_ in described]
    runner = LocalRunner(Engine(), root / "shuffles", files, scan_tasks=2, inlines=request.param)
    found = Compared(con, PlanningInstance(columns), runner, estimates=_SIZES)
    yield found
    found.close()


_JOINED = "FROM wide w JOIN f ON w.k = f.k"
_LATER = {
    "all columns": f"SELECT * {_JOINED} ORDER BY id, label LIMIT 10",
    "ties, in a total order": f"SELECT w.*, label {_JOINED} ORDER BY g, yes, id, label LIMIT 33",
    "nulls first": f"SELECT w.*, label {_JOINED} ORDER BY g NULLS FIRST, id, label LIMIT 40",
    "nulls last": f"SELECT w.*, label {_JOINED} ORDER BY g DESC NULLS LAST, id, label LIMIT 40",
    "offset": f"SELECT w.*, label {_JOINED} ORDER BY id DESC, label LIMIT 7 OFFSET 12",
    "offset behind the last": f"SELECT w.* {_JOINED} ORDER BY id, label LIMIT 7 OFFSET 3000",
    "more than there are": f"SELECT w.*, label {_JOINED} ORDER BY id, label LIMIT 4000",
    "none matches": f"SELECT w.* {_JOINED} AND j > 77 ORDER BY id LIMIT 5",
    "expressions": f"SELECT upper(name) || id, len(text) + j, s.b[1], m, l[1] + 1, d * 2 {_JOINED} "
    "ORDER BY id, label LIMIT 21",
    "columns of one name": "SELECT * FROM (SELECT w.text AS a, w.name AS a, w.text AS b, f.* "
    f"{_JOINED} ORDER BY w.id, label LIMIT 12)",
    "ordered by an expression": f"SELECT name, text {_JOINED} ORDER BY id * j % 7, id, label "
    "LIMIT 20",
    "ordered by what is given out": f"SELECT name, id + j AS n, text {_JOINED} ORDER BY n DESC, "
    "id, label LIMIT 20",
    "left": "SELECT w.*, label FROM f LEFT JOIN wide w ON w.k = f.k AND w.g > 1 "
    "ORDER BY j, label, id LIMIT 50",
    "right": "SELECT w.*, label FROM wide w RIGHT JOIN f ON w.k = f.k ORDER BY j, label, id "
    "LIMIT 50",
    "full": "SELECT w.*, label FROM wide w FULL JOIN f ON w.k = f.k ORDER BY j, label, id "
    "LIMIT 400",
    "semi": "SELECT * FROM wide w WHERE k IN (SELECT k FROM f WHERE j > 2) ORDER BY id DESC "
    "LIMIT 9",
    "anti": "SELECT * FROM wide w ANTI JOIN f ON w.k = f.k AND j > w.g ORDER BY id DESC LIMIT 9",
    "with a condition": f"SELECT w.*, label {_JOINED} WHERE w.g > 0 AND day > '2020-02-01' "
    "ORDER BY id, label LIMIT 11",
    "some columns are asked for": f"SELECT w.* {_JOINED} WHERE w.text <> 'xx' AND u IS NOT NULL "
    "ORDER BY d DESC, label LIMIT 11",
    "with itself": "SELECT a.*, b.name FROM wide a JOIN wide b ON a.k = b.g ORDER BY a.id, b.id "
    "LIMIT 15",
    "with states of a group": "SELECT w.name, w.text, n FROM wide w JOIN (SELECT k, count(*) AS n "
    "FROM f GROUP BY k) f ON w.k = f.k ORDER BY n DESC, id LIMIT 8",
    "below others": f"SELECT count(*), max(name), min(text) FROM (SELECT name, text, j {_JOINED} "
    "ORDER BY id, label LIMIT 30) WHERE j > 1",
    "joined again": "SELECT t.name, f.label FROM (SELECT w.name, w.text, f.j "
    f"{_JOINED} ORDER BY id, label LIMIT 10) t JOIN f ON t.j = f.j ORDER BY ALL",
    "twice": f"SELECT name, text FROM (SELECT w.name, w.text, id {_JOINED} ORDER BY id, label "
    f"LIMIT 5) UNION ALL SELECT name, text FROM (SELECT w.name, w.text, id {_JOINED} "
    "ORDER BY id DESC, label LIMIT 5)",
}
_OTHERS = {
    "no rows are asked for": f"SELECT w.* {_JOINED} ORDER BY id LIMIT 0",
    "without a limit": f"SELECT w.*, label {_JOINED} ORDER BY id, label",
    "without an order": f"SELECT count(*) FROM (SELECT w.* {_JOINED} LIMIT 4)",
    "too many": f"SELECT w.*, label {_JOINED} ORDER BY id, label LIMIT 10001",
    "ordered by them": f"SELECT name, label {_JOINED} ORDER BY name, label LIMIT 5",
    "asked for by conditions": f"SELECT name {_JOINED} WHERE name > label ORDER BY id, label "
    "LIMIT 5",
    "keys": "SELECT a.name FROM wide a JOIN wide b USING (name) ORDER BY a.id LIMIT 5",
    "groups": f"SELECT name, count(*) {_JOINED} GROUP BY name, id ORDER BY id LIMIT 5",
    "distinct": f"SELECT * FROM (SELECT DISTINCT name, text, id {_JOINED}) ORDER BY id LIMIT 5",
    "narrow": f"SELECT w.g {_JOINED} ORDER BY id, label LIMIT 5",
    "of a correlated subquery": "SELECT * FROM wide w WHERE NOT EXISTS (FROM f WHERE f.k = w.k "
    "AND j > w.g) ORDER BY id DESC LIMIT 9",
    "in a WITH that is read twice": f"WITH t AS (SELECT w.name, w.text, id {_JOINED} ORDER BY id, "
    "label LIMIT 9) SELECT count(*), max(a.text) FROM t a, t b WHERE a.id = b.id",
}


@pytest.mark.parametrize("name", list(_LATER | _OTHERS))
def test_answers_are_the_engines(compared: Compared, name: str) -> None:
    sql = (_LATER | _OTHERS)[name]
    plan = compared.plan(plan_of(compared.instance, sql))
    assert reads_later(plan) == (name in _LATER)
    compared.check(sql)


def test_columns_are_not_scanned_that_are_read_later(compared: Compared) -> None:
    plan = compared.plan(plan_of(compared.instance, _LATER["some columns are asked for"]))
    scans = [each for each in scans_of(plan) if isinstance(each, NumberedScan)]
    (scan,) = [each for each in scans if each.table == "wide"]
    assert {"k", "d", "text", "u"} >= set(scan.projection or ()) >= {"k", "d"}
    (fetched,) = [
        node
        for node in walk_stage(plan)
        if isinstance(node, FetchedRows) and node.scan.table == "wide"
    ]
    assert "name" in (fetched.scan.projection or ())
    assert "text" not in (fetched.scan.projection or ())


def test_columns_of_several_tables_are_read_one_after_the_other(compared: Compared) -> None:
    for name, count in (("with itself", 2), ("all columns", 2), ("semi", 1)):
        plan = compared.plan(plan_of(compared.instance, _LATER[name]))
        found = [node for node in walk_stage(plan) if isinstance(node, FetchedRows)]
        assert len(found) == count, name


def test_random_values_are_not_made_anew(compared: Compared) -> None:
    sql = f"SELECT name, text, random() AS r {_JOINED} ORDER BY r LIMIT 5"
    assert not reads_later(compared.plan(plan_of(compared.instance, sql)))


def _reads_later(
    compared: Compared, sql: str, cluster: ClusterSize, **sizes: TableEstimate
) -> bool:
    choices: list[str] = []
    planned = plan_of(compared.instance, sql)
    plan = distribute(
        planned, partitions=3, estimates=_SIZES | sizes, choices=choices, cluster=cluster
    )
    assert reads_later(plan) == any("read for its" in each for each in choices)
    return reads_later(plan)


def test_it_is_done_where_it_pays(compared: Compared) -> None:
    two, known = ClusterSize(2, 2), _SIZES["wide"]
    sql = f"SELECT w.* {_JOINED} ORDER BY id, j LIMIT 10"
    assert _reads_later(compared, sql, two)
    # What each of many tasks would have a share of, one reads.
    assert not _reads_later(compared, sql, ClusterSize(2000, 2000))
    few = attrs.evolve(known, rows=10**3, bytes=10**6)
    assert not _reads_later(compared, sql, two, wide=few)
    csv = attrs.evolve(known, numbered=False)
    assert not _reads_later(compared, sql, two, wide=csv)


def test_where_nothing_is_exchanged_it_is_done_for_few_rows(compared: Compared) -> None:
    alone = "SELECT * FROM wide ORDER BY id LIMIT {}"
    two = ClusterSize(2, 2)
    assert _reads_later(compared, alone.format(10), two)
    assert not _reads_later(compared, alone.format(1000), two)
    assert _reads_later(compared, f"SELECT * {_JOINED} ORDER BY id, label LIMIT 1000", two)


def test_one_task_has_it_as_well(compared: Compared) -> None:
    plan = compared.plan(plan_of(compared.instance, _LATER["left"]))
    whole = in_one_task(plan)
    assert whole is not None
    assert [each.match for each in walk_stage(whole) if isinstance(each, Join)] == [Match.LEFT]
    compared.together = True
    try:
        for sql in _LATER.values():
            compared.check(sql)
    finally:
        compared.together = False
