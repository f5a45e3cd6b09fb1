"""Which columns of a scan a plan passes on as they are."""

from __future__ import annotations

import pytest

from ffq.plan import model as m
from ffq.plan.bound import BoundAggregate, Call, Conversion, Match, Phase, Place, SqlType
from ffq.plan.model import Node
from ffq.plan.terms import Bound, Column
from ffq.sql.passed import Passed, Unknown
from ffq.sql.pieces import project
from tests.engine.runner import leaf

INTEGER, BOOLEAN = SqlType("INTEGER"), SqlType("BOOLEAN")


def _scan(table: str = "t") -> m.ParquetScan:
    return m.ParquetScan(table, None, ("a", "b", "c"), ())


def _exchanged(node: Node, key: str) -> Node:
    by = m.HashPartitioning((key,), 2)
    return m.ShuffleRead(m.ShuffleWrite(node, by), by)


def _joined(left: Node, right: Node, match: Match = Match.INNER) -> Node:
    return m.Join(left, right, match, Call("=", (Place(0), Place(3)), BOOLEAN), ())


def test_columns_are_followed_to_where_they_are() -> None:
    scan = _scan()
    moved = project(project(scan, [Conversion(Place(1), INTEGER), Place(0), Place(2)]), [Place(2)])
    passed = Passed(scan)
    assert passed.columns(moved) == (2,)
    assert (passed.used, passed.exchanged) == (set(), set())


def test_what_is_computed_of_a_column_uses_it() -> None:
    scan = _scan()
    cast = project(project(scan, list(map(Place, range(3)))), [Conversion(Place(1), INTEGER)])
    passed = Passed(scan)
    assert passed.columns(cast) == (None,)
    assert passed.used == {1}
    tried = project(scan, [Conversion(Place(1), INTEGER, tries=True)])
    passed = Passed(scan)
    assert passed.columns(tried) == (None,)
    assert passed.used == {1}


def test_keys_are_used_and_all_that_other_tasks_are_sent_is_exchanged() -> None:
    scan = _scan()
    below = _exchanged(project(scan, [Place(2), Place(0), Place(1)]), "c1")
    passed = Passed(scan)
    assert passed.columns(below) == (2, 0, 1)
    assert (passed.used, passed.exchanged) == ({0}, {0, 1, 2})


@pytest.mark.parametrize(
    ("match", "columns"),
    [
        (Match.INNER, (0, 1, 2, None, None, None)),
        (Match.FULL, (0, 1, 2, None, None, None)),
        (Match.SEMI, (0, 1, 2)),
        (Match.MARK, (0, 1, 2, None)),
    ],
)
def test_joins_use_what_their_conditions_are_over(match: Match, columns: tuple[int | None]) -> None:
    scan = _scan()
    passed = Passed(scan)
    assert passed.columns(_joined(scan, _scan(), match)) == columns
    assert passed.used == {0}


def test_groups_and_aggregates_use_their_columns_and_pass_none_on() -> None:
    scan = _scan()
    passed = Passed(scan)
    node = m.Aggregate((Place(1),), (), scan)
    assert passed.columns(node) == (None,)
    assert passed.used == {1}


def test_what_merges_states_passes_nothing_on() -> None:
    """Its aggregates are over the rows that the states were made of, wherever those stood."""
    scan = _scan()
    total = BoundAggregate("sum", (Place(2),), INTEGER)
    states = m.Aggregate((Place(1),), (total,), scan, phase=Phase.STATES)
    passed = Passed(scan)
    merged = m.Aggregate((Place(0),), (total,), _exchanged(states, "c0"), phase=Phase.MERGED)
    assert passed.columns(merged) == (None, None)
    assert passed.used == {1, 2}


def test_a_scan_that_stands_there_twice_is_not_followed() -> None:
    scan = _scan()
    with pytest.raises(Unknown):
        Passed(scan).columns(_joined(scan, scan))
    assert Passed(scan).columns(_joined(_scan(), scan)) == (None, None, None, 0, 1, 2)


@pytest.mark.parametrize(
    "node",
    [
        m.CteRef("c", _scan()),
        m.UnionAll(_scan(), _scan()),
        m.Custom("op", (), _scan()),
        m.Project(((Column("a"), "a"),), _scan()),
        _exchanged(_scan(), "a"),
        m.ParquetScan("t", None, None, ()),
        m.FetchedRows(leaf(), _scan(), 0),
    ],
    ids=lambda node: type(node).__name__,
)
def test_what_is_not_known_is_not_guessed(node: Node) -> None:
    with pytest.raises(Unknown):
        Passed(_scan()).columns(node)


def test_columns_stand_for_others_where_a_project_is_told_so() -> None:
    scan = m.NumberedScan("t", None, ("a",), ())
    below = project(scan, [Place(1), Place(0)])
    passed = Passed(scan, (7, None))
    assert passed.columns(m.Filter(Bound(Call(">", (Place(1), Place(1)), BOOLEAN)), below)) == (
        7,
        None,
    )
    assert passed.used == set()
    passed.using((Place(0),), (7, None))
    assert passed.used == {7}
