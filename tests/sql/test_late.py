"""A wide table is joined after the others: the rows are the same, whichever conditions join which
tables, with keys that are not unique, nulls and tables without rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

from ffq.engine import Engine
from ffq.sql.distribute import distribute
from ffq.sql.exchanges import TableEstimate
from ffq.sql.planning import PlanningInstance
from tests.engine.runner import LocalRunner
from tests.sql.compared import Compared, plan_of, write_tables

# `wide` has keys twice, and some null; some have no partner.
_TABLES = {
    "l": "select nullif(i % 23, 7) as o, i % 5 as j, i as v from range(200) r(i)",
    "o": "select nullif(i % 25, 4) as o, nullif(i % 11, 2) as c, i % 4 as j from range(60) r(i)",
    "wide": "select nullif(i % 9, 5) as c, i % 3 as n, i % 2 as j, 'name ' || (i % 12) as name, "
    "repeat('x', i::int % 4) as text from range(18) r(i)",
    "n": "select i as n, 'nation ' || i as nation from range(3) r(i)",
    "none": "select 1::bigint as c, 1::bigint as n, 1::bigint as j, 'a' as name, 'b' as text "
    "from range(0) r(i)",
}
# By which the wide table is joined with `o` before `l` is.
SAMPLES = {
    name: pa.Table.from_pylist(rows)
    for name, rows in {
        "l": [{"o": at % 50, "j": at % 5, "v": at} for at in range(600)],
        "o": [{"o": at, "c": at % 10, "j": at % 4} for at in range(60)],
        "wide": [{"c": at, "n": at % 3, "j": 0, "name": "a", "text": "b"} for at in range(10)],
    }.items()
}
_WIDE = TableEstimate(10**5, 10**7, widths={"name": 50.0, "text": 50.0})
_SIZES = {
    "l": TableEstimate(10**6, 10**8),
    "o": TableEstimate(10**6, 10**8),
    "n": TableEstimate(30, 10**3, tiny=True),
    "wide": _WIDE,
    "none": _WIDE,
}


@pytest.fixture(scope="module", params=[False, True], ids=["as planned", "sizes decide"])
def compared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("late")
    con = duckdb.connect()
    for name, sql in _TABLES.items():
        con.execute(f"CREATE TABLE {name} AS {sql}")
    files = write_tables(con, root)
    columns = {}
    for name in files:
        described = con.execute(f"DESCRIBE {name}").fetchall()
        columns[name] = [(column, kind) for column, kind, *_ in described]
    runner = LocalRunner(Engine(), root / "shuffles", files, scan_tasks=2, inlines=request.param)
    found = Compared(con, PlanningInstance(columns, samples=SAMPLES), runner, estimates=_SIZES)
    yield found
    found.close()


_LATE = {
    "of groups": "select w.c, w.name, w.text, sum(l.v), count(*) from l, o, {} w "
    "where l.o = o.o and w.c = o.c and l.v > 20 and o.j > 1 group by all",
    "with a table of its own": "select w.c, w.name, w.text, nation, sum(l.v) from l, o, {} w, n "
    "where l.o = o.o and w.c = o.c and w.n = n.n and l.v > 20 and o.j > 1 group by all",
    "by two keys": "select w.c, w.name, w.text, sum(l.v) from l, o, {} w "
    "where l.o = o.o and w.c = o.c and w.n = o.o % 3 and l.v > 20 and o.j > 1 group by all",
    "with another condition": "select w.c, w.name, w.text, sum(l.v) from l, o, {} w "
    "where l.o = o.o and w.c = o.c and w.n < l.j and l.v > 20 and o.j > 1 group by all",
    "of what is computed": "select w.name || w.text, max(l.v + w.n) from l, o, {} w "
    "where l.o = o.o and w.c + 1 = o.c + 1 and l.v > 20 and o.j > 1 group by all",
    "of columns that a lambda names": "select w.c, w.name, w.text, sum(list_sum(list_transform("
    "[l.v], lambda x: x * w.n + o.j))) from l, o, {} w "
    "where l.o = o.o and w.c = o.c and l.v > 20 and o.j > 1 group by all",
    "rows alone": "select count(*), max(w.name), max(w.text) from l, o, {} w "
    "where l.o = o.o and w.c = o.c and l.v > 20 and o.j > 1",
    "twice the same": "select w.c, w.name, w.text, sum(l.v), sum(m.v) from l, o, {} w, l m "
    "where l.o = o.o and w.c = o.c and m.o = o.o and m.v > 150 and l.v > 20 and o.j > 1 "
    "group by all",
}
_OTHERS = {
    "narrow": "select w.c, sum(l.v) from l, o, {} w where l.o = o.o and w.c = o.c and l.v > 20 "
    "and o.j > 1 group by all",
    "with a condition of its own": "select w.c, w.name, w.text, sum(l.v) from l, o, {} w "
    "where l.o = o.o and w.c = o.c and w.n > 0 and l.v > 20 and o.j > 1 group by all",
    "of two": "select w.c, w.name, w.text, sum(o.j) from o, {} w where w.c = o.c group by all",
    "between the others": "select w.c, w.name, w.text, sum(l.v) from l, o, {} w "
    "where l.o = w.n and w.c = o.c and l.v > 20 and o.j > 1 group by all",
    "left": "select w.c, w.name, w.text, sum(l.v) from l join ({} w left join o on w.c = o.c) "
    "on l.o = o.o where l.v > 20 group by all",
    "nothing is aggregated": "select distinct w.c, w.name, w.text, l.j from l, o, {} w "
    "where l.o = o.o and w.c = o.c and l.v > 20 and o.j > 1",
    "not less": "select w.c, w.name, w.text, sum(l.v) from l, l o, {} w "
    "where l.o = o.o and w.c = o.v group by all",
}


@pytest.mark.parametrize("table", ["wide", "none"])
@pytest.mark.parametrize("name", list(_LATE | _OTHERS))
def test_answers_are_the_engines(compared: Compared, name: str, table: str) -> None:
    sql = (_LATE | _OTHERS)[name].format(table)
    choices: list[str] = []
    distribute(plan_of(compared.instance, sql), partitions=3, estimates=_SIZES, choices=choices)
    assert any("wide table" in each for each in choices) == (name in _LATE)
    compared.check(sql)
