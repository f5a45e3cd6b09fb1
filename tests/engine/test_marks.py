"""MARK: whether a row of the other side meets a condition, with SQL's nulls, looked up by key."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pytest

from ffq.engine import Engine, EngineSettings
from ffq.engine.bound import BoundWriter
from ffq.engine.joins import mark_sql
from ffq.plan.bound import BoundExpr, Call, Conjunction, Match, Place, SqlType
from ffq.plan.model import Broadcast, Join
from tests.engine.runner import leaf, run_over

Row: TypeAlias = tuple[int | None, int | None]
Truth: TypeAlias = bool | None

_BOOLEAN = SqlType("BOOLEAN")
_VALUES = (None, 1, 2)
_ROWS: list[Row] = list(itertools.product(_VALUES, _VALUES))
_RIGHT: list[list[Row]] = [
    [],
    [(1, 1)],
    [(None, 1)],
    [(1, None), (2, 2)],
    [(None, None)],
    _ROWS,
]


def _call(sign: str, left: int, right: int) -> Call:
    return Call(sign, (Place(left), Place(right)), _BOOLEAN)


def _equal(a: object, b: object) -> Truth:
    return None if a is None or b is None else a == b


def _both(*terms: Truth) -> Truth:
    return False if False in terms else None if None in terms else True


def _any(terms: Sequence[Truth]) -> Truth:
    return True if True in terms else None if None in terms else False


_CASES: dict[str, tuple[BoundExpr | None, Callable[[Row, Row], Truth]]] = {
    "equal": (_call("=", 0, 2), lambda a, b: _equal(a[0], b[0])),
    "turned round": (_call("=", 2, 0), lambda a, b: _equal(a[0], b[0])),
    "of one side": (_call("=", 0, 1), lambda a, _: _equal(a[0], a[1])),
    "of the other side": (_call("=", 2, 3), lambda _, b: _equal(b[0], b[1])),
    "not distinct": (_call("IS NOT DISTINCT FROM", 0, 2), lambda a, b: a[0] == b[0]),
    "distinct": (_call("IS DISTINCT FROM", 0, 2), lambda a, b: a[0] != b[0]),
    "one of a group": (
        Conjunction((_call("=", 0, 2), _call("IS NOT DISTINCT FROM", 1, 3)), any=False),
        lambda a, b: _both(_equal(a[0], b[0]), a[1] == b[1]),
    ),
    "two keys": (
        Conjunction((_call("=", 0, 2), _call("=", 1, 3)), any=False),
        lambda a, b: _both(_equal(a[0], b[0]), _equal(a[1], b[1])),
    ),
    "either": (
        Conjunction((_call("=", 0, 2), _call("IS NOT DISTINCT FROM", 1, 3)), any=True),
        lambda a, b: _any([_equal(a[0], b[0]), a[1] == b[1]]),
    ),
    "nothing": (None, lambda _a, _b: True),
}


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), ()]
    return pa.table({f"c{at}": pa.array(each, pa.int64()) for at, each in enumerate(columns)})


@pytest.mark.parametrize("name", _CASES)
def test_a_mark_is_true_false_or_null_as_sql_says(name: str) -> None:
    condition, holds = _CASES[name]
    node = Join(leaf(), Broadcast(leaf()), Match.MARK, condition, ())
    engine = Engine(EngineSettings())
    try:
        for right in _RIGHT:
            found = run_over(engine, node, _table(_ROWS), _table(right))
            rows = [tuple(row.values()) for row in found.to_pylist()]
            want = [(*a, _any([holds(a, b) for b in right])) for a in _ROWS]
            assert sorted(rows, key=repr) == sorted(want, key=repr)
    finally:
        engine.close()


@pytest.mark.parametrize("name", ["equal", "not distinct", "one of a group"])
def test_rows_are_looked_up_by_what_must_be_equal(name: str) -> None:
    """Pair by pair, a few thousand rows beside a hundred thousand take seconds."""
    condition, _ = _CASES[name]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE l AS SELECT range AS c0, range AS c1 FROM range(5000)")
        con.execute("CREATE TABLE r AS SELECT range AS c2, range AS c3 FROM range(5000)")
        mark = mark_sql(condition, 2, "r", BoundWriter(4, "Join"))
        rows = con.execute(f"EXPLAIN SELECT c0, {mark} AS m FROM l").fetchall()
    plan = "".join(text for _, text in rows)
    assert "Hash Join" in plan
    for pairwise in ("Nested Loop", "Blockwise", "Cross Product"):
        assert pairwise not in plan
