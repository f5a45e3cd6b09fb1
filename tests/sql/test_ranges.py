"""Tables whose files go by the key are joined without an exchange, and the answer is the engine's:
with nulls among the keys, keys that files and row groups share, and files in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table
from ffq.engine import Engine
from ffq.plan import cut
from ffq.plan.bound import Phase
from ffq.plan.model import Aggregate, Node, ParquetScan, RangeJoin
from ffq.plan.stages import StageGraph
from ffq.plan.walk import walk_stage
from ffq.sql.exchanges import TableEstimate
from ffq.sql.facts import Facts
from ffq.sql.planning import PlanningInstance
from tests.engine.runner import LocalRunner
from tests.sql.compared import Compared, plan_of

Key = int | None
TASKS = 3

_SPAN = 41
"""A key that ends a file of lines, fills the next one and begins a third."""
_NULLS: Sequence[Key] = [None] * 4


def _lines() -> list[list[Key]]:
    """Up to four for each order, none for some: of each file the keys, as they stand."""
    keys: list[Key] = [key for key in range(160) for _ in range(key * 7 % 5)]
    middle = keys.index(_SPAN) + 1
    first, rest = keys[:middle], keys[middle:]
    return [first, [_SPAN] * 6, [_SPAN, None, *rest[:100]], [], [*rest[100:], *_NULLS, 170, 171]]


def _orders() -> list[list[Key]]:
    """Row groups of four begin with the key that another one ends with, here and there."""
    keys: list[Key] = [key for key in range(175) if key % 9]
    return [[*keys[:50], keys[49]], [keys[49], *keys[50:90], None], [*_NULLS, *keys[90:]]]


# Row groups have four rows.
_LINES, _ORDERS = _lines(), _orders()
_SHUFFLED = [_ORDERS[at] for at in (2, 0, 1)]


def _any_order(seed: int) -> list[list[Key]]:
    keys = [each for file in _ORDERS for each in file]
    random.Random(seed).shuffle(keys)
    return [keys[:5], keys[5:90], keys[90:]]


def _write(root: Path, name: str, files: Sequence[Sequence[Key]], **options: bool) -> list[Path]:
    """With a number of each row, and what a condition may go by."""
    paths, at = [], 0
    for number, keys in enumerate(files):
        numbers = range(at, at + len(keys))
        at += len(keys)
        columns = {"k": keys, f"{name[0]}v": list(numbers), f"{name[0]}w": [n % 3 for n in numbers]}
        rows = pa.table(columns, pa.schema([(each, pa.int64()) for each in columns]))
        paths.append(root / f"{name}-{number}.parquet")
        pq.write_table(rows, paths[-1], row_group_size=4, **options)
    return paths


@attrs.define
class Made:
    compared: Compared
    tables: dict[str, list[Path]]

    def graph(self, sql: str) -> StageGraph:
        return cut(self.compared.plan(plan_of(self.compared.instance, sql)))

    def ranged(self, sql: str) -> int:
        """How many joins are by ranges; each is run so."""
        graph = self.graph(sql)
        joins = [node for node in _nodes(graph) if isinstance(node, RangeJoin)]
        follows = [scan for stage in graph.stages for scan in stage.scans if scan.follows]
        assert len(joins) == len(follows)
        return len(joins)


def _nodes(graph: StageGraph) -> Iterator[Node]:
    for stage in graph.stages:
        yield from walk_stage(stage.fragment)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Made]]:
    facts = Facts()
    opened: list[Compared] = []

    def made(**files: list[Path]) -> Made:
        con = duckdb.connect()
        catalog = Catalog.of(
            Table(name, tuple(str(path) for path in paths)) for name, paths in files.items()
        )
        known, columns = {}, {}
        for name, paths in files.items():
            listed = ", ".join(f"'{path}'" for path in paths)
            con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")
            described = con.execute(f"DESCRIBE {name}").fetchall()
            columns[name] = [(column, kind) for column, kind, *_ in described]
            found = facts.of(catalog, name)
            known[name] = TableEstimate(10**6, 10**9, footers=found)
        runner = LocalRunner(Engine(), tmp_path / "shuffles", files, TASKS)
        compared = Compared(con, PlanningInstance(columns), runner, estimates=known)
        opened.append(compared)
        return Made(compared, files)

    yield made
    for each in opened:
        each.close()
    facts.close()


_QUERIES = {
    "inner": "select l.k, lv, ov from lines l join orders o on l.k = o.k",
    "inner, of more conditions": "select lv, ov from lines l join orders o "
    "on l.k = o.k and lw < ow",
    "inner, of filters": "select lv, ov from lines l join orders o on l.k = o.k "
    "where lw = 1 and ow <> 2",
    "inner, other way round": "select lv, ov from orders o join lines l on l.k = o.k",
    "semi": "select k, ov from orders o where exists (from lines l where l.k = o.k and lw > 0)",
    "semi of the larger": "select k, lv from lines l where exists (from orders o where l.k = o.k)",
    "in": "select k, lv from lines where k in (select k from orders where ow = 0)",
    "anti": "select k, ov from orders o anti join lines l on l.k = o.k and lw <> ow",
    "left": "select l.k, lv, ov from lines l left join orders o on l.k = o.k and ow < 2",
    "left of the smaller": "select o.k, lv, ov from orders o left join lines l on l.k = o.k",
    "left of what is not null": "select l.k, lv, ov from (from lines where k is not null) l "
    "left join orders o on l.k = o.k",
    "anti of what is not null": "select k, ov from orders o anti join lines l on l.k = o.k "
    "where k is not null",
    "grouped": "select o.k, count(*), sum(lv) from lines l join orders o on l.k = o.k group by o.k",
    "of groups": "select lv, n, w from lines l join (select k, count(*) n, sum(ow) w from orders "
    "group by k) o on l.k = o.k",
    "of groups by more": "select lv, n, o.ow from lines l join (select ow, k, count(*) n, avg(ov) "
    "from orders group by k, ow) o on l.k = o.k and lw < n",
    "semi of groups": "select k, ov from orders where k in "
    "(select k from lines group by k having sum(lv) > 300 and count(*) > 2)",
    "anti of groups": "select k, ov from orders o anti join "
    "(select k from lines group by k having max(lw) < 2) l on l.k = o.k",
    "left of groups": "select l.k, lv, n from lines l left join (select k, min(ov) n from orders "
    "group by k) o on l.k = o.k",
    "of groups on the other side": "select lv, n from "
    "(select k, count(*) n from orders group by k) o join lines l on l.k = o.k",
    "ordered": "select l.k, lv, ov from lines l join orders o on l.k = o.k order by all limit 7",
}


@pytest.mark.parametrize("orders", [_ORDERS, _SHUFFLED], ids=["in order", "in another order"])
@pytest.mark.parametrize("name", list(_QUERIES))
def test_answers_are_the_engines(
    make: Callable[..., Made], tmp_path: Path, name: str, orders: Sequence[Sequence[Key]]
) -> None:
    made = make(lines=_write(tmp_path, "lines", _LINES), orders=_write(tmp_path, "orders", orders))
    assert made.ranged(_QUERIES[name]) == 1
    made.compared.check(_QUERIES[name])


@pytest.mark.parametrize("name", ["inner", "semi"])
def test_nobody_asks_whether_a_key_is_null(
    make: Callable[..., Made], tmp_path: Path, name: str
) -> None:
    """Its planner does, and from that the engine estimates too few rows."""
    made = make(lines=_write(tmp_path, "lines", _LINES), orders=_write(tmp_path, "orders", _ORDERS))
    sql = _QUERIES[name]
    assert "IsNotNull" not in repr(made.graph(sql)), "of a Form, as it is written"
    assert "IsNotNull" in repr(made.graph(_QUERIES["left of what is not null"]))


@pytest.mark.parametrize("few", ["lines", "orders"])
def test_partners_are_looked_up_among_the_rows_that_are_fewer(
    make: Callable[..., Made], tmp_path: Path, few: str
) -> None:
    """By estimate; of an inner join, whose sides may change places."""
    lines, orders = _write(tmp_path, "lines", _LINES), _write(tmp_path, "orders", _ORDERS)
    made = make(lines=lines, orders=orders)

    def looked_up(sql: str) -> list[str]:
        (join,) = (node for node in _nodes(made.graph(sql)) if isinstance(node, RangeJoin))
        return [scan.table for scan in walk_stage(join.right) if isinstance(scan, ParquetScan)]

    estimates = made.compared.estimates
    inner = [sql for name, sql in _QUERIES.items() if name.startswith(("inner", "ordered"))]
    as_planned = [looked_up(sql) for sql in inner]
    estimates[few] = attrs.evolve(estimates[few], rows=600_000)
    assert [looked_up(sql) for sql in inner[:2]] == as_planned[:2], "about as many"
    estimates[few] = attrs.evolve(estimates[few], rows=400_000)
    for sql in inner:
        assert looked_up(sql) == [few]
        made.compared.check(sql)
    assert looked_up(_QUERIES["left"]) == ["orders"]
    made.compared.check(_QUERIES["left"])


def test_a_chain_of_joins_goes_by_one_key(make: Callable[..., Made], tmp_path: Path) -> None:
    """Also where it is named by the side that follows."""
    made = make(
        lines=_write(tmp_path, "lines", _LINES),
        orders=_write(tmp_path, "orders", _ORDERS),
        parts=_write(tmp_path, "parts", _SHUFFLED),
    )
    sql = (
        "select l.k, lv, ov, pv from (from lines l join orders o on l.k = o.k) l "
        "join parts p on p.k = l.k where lw + ow < 5"
    )
    assert made.ranged(sql) == 2
    made.compared.check(sql)
    sql = (
        "select o.k, lv, ov from lines l join orders o on l.k = o.k "
        "where exists (from parts p where p.k = o.k and pw <> lw)"
    )
    assert made.ranged(sql) == 2
    made.compared.check(sql)


def test_rows_that_are_joined_where_they_lie_are_not_grouped_before(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    """They would be, of a side with many rows a group, before it is exchanged."""
    lines, orders = _write(tmp_path, "lines", _LINES), _write(tmp_path, "orders", _ORDERS)
    made = make(lines=lines, orders=orders)
    estimates = made.compared.estimates
    estimates["lines"] = attrs.evolve(estimates["lines"], rows=10**8)
    sql = "select o.k, sum(lv) from orders o left join lines l on l.k = o.k group by o.k"
    assert made.ranged(sql) == 1
    made.compared.check(sql)
    estimates["lines"] = attrs.evolve(estimates["lines"], footers=None)
    phases = [one.phase for one in _nodes(made.graph(sql)) if isinstance(one, Aggregate)]
    assert made.ranged(sql) == 0
    assert Phase.SHARE in phases


_OTHERS = {
    "not exists": "select k, lv from lines l where not exists (from orders o where l.k = o.k)",
    "full": "select l.k, lv, ov from lines l full join orders o on l.k = o.k",
    "nulls are alike": "select lv, ov from lines l join orders o on l.k is not distinct from o.k",
    "of a key that is computed": "select lv, ov from lines l join orders o on l.k + 1 = o.k",
    "of another column": "select lv, ov from lines l join orders o on lw = ow",
    "less than": "select lv, ov from lines l join orders o on l.k < o.k",
    "not in": "select k, lv from lines where k not in (select k from orders where k is not null)",
    "of a limit": "select lv, ov from lines l join (from orders order by all limit 9) o "
    "on l.k = o.k",
    "of groups by another column": "select lv, n from lines l join "
    "(select ow, count(*) n from orders group by ow) o on l.k = o.ow",
    "of groups whose rows' order counts": "select k, lv from lines where k in "
    "(select k from orders group by k having sum(ov::double) > 9)",
    "of groups on both sides": "select * from (select k, max(lv) from lines group by k) l join "
    "(select k, count(*) n from orders group by k) o on l.k = o.k",
}


@pytest.mark.parametrize("name", list(_OTHERS))
def test_other_joins_are_run_as_before(
    make: Callable[..., Made], tmp_path: Path, name: str
) -> None:
    made = make(lines=_write(tmp_path, "lines", _LINES), orders=_write(tmp_path, "orders", _ORDERS))
    assert made.ranged(_OTHERS[name]) == 0
    made.compared.check(_OTHERS[name])


def test_without_statistics_both_sides_are_exchanged(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    made = make(
        lines=_write(tmp_path, "lines", _LINES),
        orders=_write(tmp_path, "orders", _ORDERS, write_statistics=False),
    )
    assert made.ranged(_QUERIES["inner"]) == 0
    made.compared.check(_QUERIES["inner"])


def test_files_that_overlap_much_are_exchanged(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make(
        lines=_write(tmp_path, "lines", _LINES), orders=_write(tmp_path, "orders", _any_order(1))
    )
    assert made.ranged(_QUERIES["inner"]) == 0
    made.compared.check(_QUERIES["inner"])


def test_files_that_change_after_planning_are_read_where_they_must_be(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    """What the plan was made for need not be so when its scans are cut: no row is missed."""
    orders = _write(tmp_path, "orders", _ORDERS)
    made = make(lines=_write(tmp_path, "lines", _LINES), orders=orders)
    plan = made.compared.plan(plan_of(made.compared.instance, _QUERIES["inner"]))
    _write(tmp_path, "orders", _any_order(2))
    got = made.compared.runner.run(plan)
    want = made.compared.con.sql(_QUERIES["inner"]).to_arrow_table()
    assert sorted(got["lv"].to_pylist()) == sorted(want["lv"].to_pylist())
