"""Aggregates of one side of a join: that side's rows are grouped before they are joined, and what
comes out is the same, with keys that are not unique on either side, nulls and empty sides.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from ffq.engine import Engine
from ffq.plan import cut
from ffq.plan.bound import Phase
from ffq.plan.model import Aggregate, Node
from ffq.plan.stages import Parallelism
from ffq.plan.walk import children
from ffq.sql.exchanges import TableEstimate
from ffq.sql.planning import PlanningInstance
from tests.engine.runner import LocalRunner
from tests.sql.compared import Compared, plan_of, write_tables

# Keys of `c`, `none` and `nulls` are not unique, some are null, and some have no partner.
_TABLES = {
    "c": "select nullif(i % 9, 3)::bigint as k, i % 2 as j, 'n' || (i % 4) as n, "
    "(i % 2)::double as d from range(20) r(i)",
    "none": "select 1::bigint as k, 1::bigint as j, 'n' as n, 1::double as d from range(0) r(i)",
    "nulls": "select null::bigint as k, i as j, 'n' as n, 1::double as d from range(3) r(i)",
    "o": "select nullif(i % 12, 5)::bigint as k, i % 3 as j, nullif(i, 7)::integer as v, "
    "(i / 4)::decimal(15, 2) as p, (i / 8)::double as x, nullif('s' || (i % 17), 's4') as s, "
    "date '2020-01-01' + (i % 50)::integer as t, i % 5 = 0 as b, "
    "case i % 3 when 0 then 0.0 when 1 then -0.0 else 1.0 end::double as z from range(300) r(i)",
    "empty": "select 1::bigint as k, 1::bigint as j, 1 as v from range(0) r(i)",
}
_SMALL, _LARGE = TableEstimate(10**6, 10**8), TableEstimate(10**8, 10**10)
_SIZES = {"c": _SMALL, "none": _SMALL, "nulls": _SMALL, "o": _LARGE, "empty": _LARGE}
_ALL = (
    "count(*), count(o.v), sum(o.v), sum(p), sum(x), min(s), max(s), min(t), max(v), max(b), min(p)"
)


@pytest.fixture(scope="module", params=[False, True], ids=["as planned", "sizes decide"])
def compared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("below")
    con = duckdb.connect()
    for name, sql in _TABLES.items():
        con.execute(f"CREATE TABLE {name} AS {sql}")
    files = write_tables(con, root)
    columns = {}
    for name in files:
        described = con.execute(f"DESCRIBE {name}").fetchall()
        columns[name] = [(column, kind) for column, kind, *_ in described]
    runner = LocalRunner(Engine(), root / "shuffles", files, scan_tasks=2, inlines=request.param)
    found = Compared(con, PlanningInstance(columns), runner, estimates=_SIZES)
    yield found
    found.close()


_BELOW = {
    "left": f"select c.k, {_ALL} from {{}} c left join o on o.k = c.k group by c.k",
    "inner": f"select c.k, {_ALL} from {{}} c join o on o.k = c.k group by c.k",
    "inner by the other key": f"select o.k, {_ALL} from {{}} c join o on o.k = c.k group by o.k",
    "the other way round": f"select c.k, {_ALL} from o join {{}} c on o.k = c.k group by c.k",
    "nulls are alike": f"select c.k, {_ALL} from {{}} c left join o "
    "on o.k is not distinct from c.k group by c.k",
    "by another column": f"select n, {_ALL} from {{}} c left join o on o.k = c.k group by n",
    "by what is computed": f"select c.k + 1, {_ALL} from {{}} c left join o on o.k = c.k "
    "group by c.k + 1",
    "by a column of the side": f"select o.j, c.n, {_ALL} from {{}} c left join o on o.k = c.k "
    "group by o.j, c.n",
    "by a key that is computed": f"select c.k, {_ALL} from {{}} c left join o on o.k + 1 = c.k * 2 "
    "group by c.k",
    "by two keys": f"select c.k, c.j, {_ALL} from {{}} c left join o on o.k = c.k and o.j = c.j "
    "group by c.k, c.j",
    "by one of two keys": f"select c.k, {_ALL} from {{}} c left join o on o.k = c.k and o.j = c.j "
    "group by c.k",
    "with a condition": f"select c.k, {_ALL} from {{}} c left join o on o.k = c.k and o.j > c.j "
    "group by c.k",
    "inner with a condition": f"select c.k, {_ALL} from {{}} c join o on o.k = c.k and o.j > c.j "
    "group by c.k",
    "of some rows": f"select c.k, {_ALL} from {{}} c left join (from o where v > 40) o "
    "on o.k = c.k group by c.k",
    "of nothing": "select c.k, count(*), count(o.v), sum(o.v) from {} c left join empty o "
    "on o.k = c.k group by c.k",
    "rows alone": "select c.k, count(*) from {} c left join o on o.k = c.k group by c.k",
    "having": "select c.k, sum(o.v) as total from {} c left join o on o.k = c.k group by c.k "
    "having count(*) > 3",
    "of groups": "select n, count(*) from (select c.k, count(o.v) as n from {} c left join o "
    "on o.k = c.k group by c.k) group by n order by n",
    "over another join": "select c.k, n.n, sum(o.v) from {} c left join o on o.k = c.k "
    "join c n on n.k = c.k group by c.k, n.n",
}
_OTHERS = {
    "of both sides": "select c.k, sum(o.v), max(c.j) from {} c left join o on o.k = c.k "
    "group by c.k",
    "of the left side": "select c.k, sum(c.j) from {} c left join o on o.k = c.k group by c.k",
    "of what is computed": "select c.k, count(coalesce(o.v, 1)), sum(o.v * 2) from {} c "
    "left join o on o.k = c.k group by c.k",
    "distinct": "select c.k, count(distinct o.v) from {} c left join o on o.k = c.k group by c.k",
    "with a filter": "select c.k, sum(o.v) filter (o.j > 1) from {} c left join o on o.k = c.k "
    "group by c.k",
    "lists": "select c.k, list(o.v order by o.v) from {} c left join o on o.k = c.k group by c.k",
    "averages": "select c.k, avg(o.v) from {} c left join o on o.k = c.k group by c.k",
    "without groups": "select count(*), sum(o.v) from {} c left join o on o.k = c.k",
    "grouping sets": "select c.k, c.j, sum(o.v) from {} c left join o on o.k = c.k "
    "group by rollup (c.k, c.j)",
    "right": "select o.k, sum(o.v) from {} c right join o on o.k = c.k group by o.k",
    "full": "select c.k, sum(o.v) from {} c full join o on o.k = c.k group by c.k",
    "semi": "select c.k, sum(c.j) from {} c semi join o on o.k = c.k group by c.k",
    "not by what is equal": "select c.k, sum(o.v) from {} c left join o on o.k > c.k group by c.k",
    "by a float": "select 1 / o.z, sum(o.v) from {} c left join o on o.k = c.k group by 1 / o.z",
    "without case": "select o.s collate nocase, sum(o.v) from {} c left join o on o.k = c.k "
    "group by o.s collate nocase",
    "of a part": "select c.k, sum(o.v) from (from {} where j = 1) c left join o on o.k = c.k "
    "group by c.k",
}


@pytest.mark.parametrize("table", ["c", "none", "nulls"])
@pytest.mark.parametrize("name", list(_BELOW | _OTHERS))
def test_answers_are_the_engines(compared: Compared, name: str, table: str) -> None:
    sql = (_BELOW | _OTHERS)[name].format(table)
    plan = compared.plan(plan_of(compared.instance, sql))
    assert bool(_shares(plan)) == (name in _BELOW)
    compared.check(sql)


def _shares(plan: Node) -> list[Aggregate]:
    pending, found = [plan], []
    while pending:
        node = pending.pop()
        pending += children(node)
        if isinstance(node, Aggregate) and node.phase is Phase.SHARE:
            found.append(node)
    return found


@pytest.mark.parametrize("how", ["left", "inner", "inner by the other key", "by two keys"])
def test_rows_that_meet_by_what_groups_them_are_not_exchanged_again(
    compared: Compared, how: str
) -> None:
    plan = compared.plan(plan_of(compared.instance, _BELOW[how].format("c")))
    graph = cut(plan)
    assert not graph.joins, "the sides meet whatever their sizes are"
    assert len(graph.stages) == 3
    assert graph.stages[0].parallelism is Parallelism.HASH


@pytest.mark.parametrize("how", ["by another column", "by one of two keys", "by what is computed"])
def test_others_are(compared: Compared, how: str) -> None:
    graph = cut(compared.plan(plan_of(compared.instance, _BELOW[how].format("c"))))
    assert len(graph.stages) == 4


@pytest.mark.parametrize(
    ("sizes", "below"),
    [
        ({}, True),
        ({"c": TableEstimate(10**7, 10**9)}, True),
        ({"c": TableEstimate(2 * 10**7, 10**9)}, False),
        ({"o": TableEstimate(10**6, 10**8)}, False),
        ({"c": TableEstimate(10, 100)}, False),
    ],
    ids=["as they are", "just so", "many keys", "few rows", "a side to broadcast"],
)
def test_few_rows_a_key_or_none_to_exchange_are_joined_as_they_are(
    compared: Compared, sizes: dict[str, TableEstimate], below: bool
) -> None:
    sql = _BELOW["inner"].format("c")
    found = Compared(
        compared.con, compared.instance, compared.runner, estimates={**_SIZES, **sizes}
    )
    assert bool(_shares(found.plan(plan_of(found.instance, sql)))) == below


def test_a_condition_that_gives_another_value_each_time_is_asked_of_each_row(
    compared: Compared,
) -> None:
    sql = "select c.k + floor(random()), sum(o.v) from c left join o on o.k = c.k group by 1"
    assert not _shares(compared.plan(plan_of(compared.instance, sql)))
