"""Which column a name means: one candidate is the answer, and none of several is ever picked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.errors import PlanningError
from ffq.plan.names import NamedColumn, PlainColumn, find_column, find_path, marks_of

COLUMNS: list[NamedColumn] = [
    PlainColumn("k", "l"),
    PlainColumn("name", "l"),
    PlainColumn("k", "r", merged=True),
    PlainColumn("name", "r"),
    PlainColumn("addr", "r"),
    PlainColumn("x.y"),
    PlainColumn("city"),
]
FIELDS: dict[int, Mapping[str, object]] = {
    4: {"city": {}, "geo": {"lat": {}, "l.on": {}}, "k": {}},
    6: {"lat": {}},
}


def fields(at: int) -> Mapping[str, object]:
    return FIELDS.get(at, {})


@pytest.mark.parametrize(
    ("name", "position"),
    [("k", 0), ("l.k", 0), ("r.k", 2), ("r.name", 3), ("x.y", 5), ("y", 5), ("z.y", 5)],
)
def test_a_column_is_meant_exactly_then_by_table_then_by_its_last_part(
    name: str, position: int
) -> None:
    assert find_column(name, COLUMNS, "here") == position


@pytest.mark.parametrize(
    ("name", "position", "path"),
    [
        ("k", 0, ()),
        ("r.k", 2, ()),
        ("x.y", 5, ()),
        ("addr.city", 4, ("city",)),
        ("r.addr.city", 4, ("city",)),
        ("addr.geo.lat", 4, ("geo", "lat")),
        ("addr.geo.l.on", 4, ("geo", "l.on")),
        ("city.lat", 6, ("lat",)),
    ],
)
def test_a_path_is_meant_exactly_then_by_table_then_as_a_field(
    name: str, position: int, path: tuple[str, ...]
) -> None:
    assert find_path(name, COLUMNS, fields, "here") == (position, path)


@pytest.mark.parametrize("name", ["nosuch.city", "addr.street", "l.addr", "z.y", "geo.lat", "K"])
def test_a_path_that_means_nothing_is_unknown(name: str) -> None:
    """The last part alone means nothing: `nosuch.city` is not `city`."""
    with pytest.raises(PlanningError, match=f"here: no column '{name}'"):
        find_path(name, COLUMNS, fields, "here")


@pytest.mark.parametrize("name", ["name", "q.name"])
def test_of_several_columns_none_is_picked(name: str) -> None:
    both = r"l\.name \(column 2\), r\.name \(column 4\)"
    with pytest.raises(
        PlanningError, match=rf"here: column '{name}' is ambiguous: it may be {both}"
    ):
        find_column(name, COLUMNS, "here")


def test_of_several_fields_none_is_picked() -> None:
    columns = [PlainColumn("a"), PlainColumn("a.b")]
    below: dict[int, Mapping[str, object]] = {0: {"b.c": {}}, 1: {"c": {}}}
    with pytest.raises(PlanningError, match=r"ambiguous: it may be a\.b\.c, a\.b\.c"):
        find_path("a.b.c", columns, lambda at: below[at], "here")


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(
        PlanningError, match=r"no column 'nam' \(nearest: name\); its input has k, n"
    ):
        find_column("nam", COLUMNS, "here")
    with pytest.raises(PlanningError, match=r"no column 'r.cty' \(nearest: city\)"):
        find_path("r.cty", COLUMNS, fields, "here")
    with pytest.raises(PlanningError, match="its input has no columns"):
        find_column("a", [], "here")


@given(st.text(max_size=8), st.none() | st.text(max_size=8), st.booleans())
def test_an_exchange_carries_all_that_a_name_is_found_by(
    name: str, qualifier: str | None, merged: bool
) -> None:
    column = PlainColumn(name, qualifier, merged)
    assert PlainColumn.marked(name, marks_of(column)) == column
