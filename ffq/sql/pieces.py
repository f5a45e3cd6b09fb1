"""Pieces of plans that the distribution of a query puts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    BoundKey,
    BoundWindow,
    Call,
    Conjunction,
    Constant,
    Conversion,
    Form,
    Lambda,
    Place,
    Special,
    SqlType,
)
from ffq.plan.model import Filter, Inline, Node, OverWindows, ParquetScan, Project
from ffq.plan.terms import Bound
from ffq.sql.serialized import (
    BOOLEAN,
    COMPARISONS,
    ExpressionReader,
    Json,
    read_constant,
    read_type,
    refuse,
)

VALUE_BYTES: Final = 8.0
"""Of a value of which nothing else is known."""
_BYTES: Final = {"BOOLEAN": 1.0, "DATE": 4.0, "DECIMAL": 16.0, "HUGEINT": 16.0, "INTEGER": 4.0}

Binding: TypeAlias = tuple[int, int]
"""A column as the planner numbers it before its last pass: index of its table, and of the column
in that."""
Equal: TypeAlias = tuple[BoundExpr, BoundExpr, str]
"""What must be equal: of the left row, of the right one, and the comparison's sign."""


@attrs.frozen
class Rows:
    """A node of `width` columns.

    Attributes:
        split: several tasks may have a share of its rows.
        order: what the rows are ordered by, as the query said; empty: by nature, as VALUES are;
            None: in no order that is known.
        placed: they come in an order all the same: of what it goes by, columns have been left out.
        bindings: the planner's numbers of the columns; None where nobody needs them.
        count: how many rows there are by estimate; None: not known.
        most: how many there are at most, as far as that is certain: a table has so many, whatever
            its conditions leave of them; None: not known. A join has at most as many as its larger
            side, where each row of one side has one partner.
        base: of the largest table that they are of, how many rows it has; None: not known.
        widths: bytes of a value in Arrow's form, by column; empty: 8 of each.
        shared: what a WITH defines and is read several times. The planner puts the first rows of
            such rows in place wherever a WITH that is read several times defines them.
        doubled: they are asked for partners alone, and some may be alike: of these one is enough.
    """

    node: Node
    width: int
    split: bool
    order: tuple[BoundKey, ...] | None = None
    bindings: tuple[Binding, ...] | None = None
    count: float | None = None
    most: float | None = None
    base: float | None = None
    widths: tuple[float, ...] = ()
    placed: bool = False
    shared: bool = False
    doubled: bool = False

    @property
    def row_bytes(self) -> float:
        return sum(self.widths) if self.widths else self.width * VALUE_BYTES

    @property
    def size(self) -> float | None:
        """In bytes, by estimate; None: not known."""
        return None if self.count is None else self.count * self.row_bytes

    @property
    def most_bytes(self) -> float | None:
        """In bytes, at most; None: not known."""
        return None if self.most is None else self.most * self.row_bytes

    def bytes_of(self, expr: object) -> float:
        """Of a value that is computed of these rows."""
        if isinstance(expr, Place):
            return self.widths[expr.index] if self.widths else VALUE_BYTES
        kind = getattr(expr, "to", None) or getattr(expr, "type", None)
        return _BYTES.get(kind.name, VALUE_BYTES) if isinstance(kind, SqlType) else VALUE_BYTES

    def made(self, node: Node, width: int | None = None) -> Rows:
        """Rows of a node over this one, of which no column is known."""
        return attrs.evolve(
            self,
            node=node,
            width=self.width if width is None else width,
            order=None,
            bindings=None,
            widths=(),
            placed=False,
            shared=False,
        )


# --- nodes -----------------------------------------------------------------------------------

NOTHING: Final = Constant(SqlType("INTEGER"), None)


def part_of(column: BoundExpr, kind: Json, index: Json) -> BoundExpr:
    """A column, or the part of a struct that a scan reads of it.

    Of the type that it was planned as: a file may have a narrower one, and a scan gives out what
    Arrow has (of a UUID its text).
    """
    column = Conversion(column, read_type(kind))
    while index.get("index_type") == "PUSHDOWN_EXTRACT" and index.get("child_indexes"):
        (index,) = index["child_indexes"]
        field = kind["type_info"]["child_types"][index.get("index", 0)]
        column = Special(Form.FIELD, (column, Constant(SqlType("VARCHAR"), field["first"])))
        kind = field["second"]
    return column


def project(below: Node, exprs: Sequence[BoundExpr]) -> Node:
    """Two of these are one where nothing is computed twice: a plan may nest so deep only."""
    listed = list(exprs) or [NOTHING]  # rows without a column are rows
    inner = _computed(below)
    if inner is not None and isinstance(below, Project) and not _is_of_scan(below):
        plain = [isinstance(each, Place | Constant) for each in inner]
        places = [each.index for each in listed if isinstance(each, Place)]
        once = len(places) == len(listed) and all(
            plain[at] or places.count(at) == 1 for at in places
        )
        if once or all(plain):
            return project(below.input, [over(each, inner) for each in listed])
    return Project(tuple((Bound(expr), f"c{at}") for at, expr in enumerate(listed)), below)


def _is_of_scan(node: Project) -> bool:
    """Columns of a table, as they were planned: a plan that is shown has them for the table's."""
    return isinstance(node.input, ParquetScan | Inline)


def is_plain(node: Node) -> bool:
    """Whether it is columns of all rows of a table, as many as the table is known to have."""
    while isinstance(node, Project):
        node = node.input
    return isinstance(node, ParquetScan) and not node.filters


def _computed(node: Node) -> list[BoundExpr] | None:
    """What a Project of ours gives out; None: this is none."""
    if not isinstance(node, Project):
        return None
    trees = [expr.tree for expr, _ in node.exprs if isinstance(expr, Bound)]
    return trees if len(trees) == len(node.exprs) else None


def filtered(below: Node, conditions: Sequence[BoundExpr]) -> Node:
    condition = all_of(conditions)
    return below if condition is None else Filter(Bound(condition), below)


def mapped(rows: Rows, places: Sequence[int] | None) -> Rows:
    return projected(rows, [Place(at) for at in places]) if places else rows


def projected(rows: Rows, exprs: Sequence[BoundExpr]) -> Rows:
    """Columns made of the rows' columns; an order is kept where what it goes by is among them."""
    order = rows.order
    if order:
        kept = {each.index: Place(at) for at, each in enumerate(exprs) if isinstance(each, Place)}
        order = tuple(
            attrs.evolve(key, expr=kept[key.expr.index])
            for key in order
            if isinstance(key.expr, Place) and key.expr.index in kept
        )
        order = order if len(order) == len(rows.order or ()) else None
    bindings = rows.bindings
    if bindings is not None:
        bindings = tuple(
            bindings[each.index] if isinstance(each, Place) else (-1, -1) for each in exprs
        )
    is_same = list(exprs) == [Place(at) for at in range(rows.width)]
    return attrs.evolve(
        rows,
        node=rows.node if is_same and exprs else project(rows.node, exprs),
        width=len(exprs),
        order=order,
        bindings=bindings,
        widths=tuple(map(rows.bytes_of, exprs)),
        placed=rows.placed or (order is None and rows.order is not None),
    )


def numbered(rows: Rows) -> Rows:
    """Rows whose order columns have left: by a number of each, behind the columns."""
    if not rows.placed:
        return rows
    number = BoundWindow(BoundAggregate("row_number", (), SqlType("BIGINT")), (), (), None)
    order = (BoundKey(Place(rows.width), asc=True, nulls_first=False),)
    made = rows.made(OverWindows((number,), rows.node), rows.width + 1)
    bindings = None if rows.bindings is None else (*rows.bindings, (-1, -1))
    return attrs.evolve(made, order=order, bindings=bindings)


def by_all(width: int) -> tuple[BoundKey, ...]:
    """An order in which only rows that are alike may change places."""
    return tuple(BoundKey(Place(at), asc=True, nulls_first=False) for at in range(width))


def all_of(conditions: Sequence[BoundExpr]) -> BoundExpr | None:
    if len(conditions) <= 1:
        return next(iter(conditions), None)
    return Conjunction(tuple(conditions), any=False)


# --- expressions over other columns ----------------------------------------------------------


def replaced(value: Any, place: Callable[[int], BoundExpr]) -> Any:
    """An expression over other columns, or over what they are made of."""
    if isinstance(value, Place):
        return place(value.index)
    if isinstance(value, Lambda):  # its body stands over its own parameters
        captures = tuple(replaced(each, place) for each in value.captures)
        return attrs.evolve(value, captures=captures)
    if isinstance(value, Constant | SqlType):
        return value
    if isinstance(value, tuple):
        return tuple(replaced(each, place) for each in value)
    if attrs.has(type(value)):
        changes = {
            field.name: replaced(getattr(value, field.name), place)
            for field in attrs.fields(type(value))
        }
        return attrs.evolve(value, **changes)
    return value


def over(expr: BoundExpr, inputs: Sequence[BoundExpr]) -> BoundExpr:
    """An expression over what these expressions are over."""
    made: BoundExpr = replaced(expr, lambda at: inputs[at])
    return made


def places_of(value: Any) -> frozenset[int]:
    """Of the columns that expressions are over."""
    found = set()

    def seen(at: int) -> BoundExpr:
        found.add(at)
        return Place(at)

    replaced(value, seen)
    return frozenset(found)


def renumbered(value: Any, to: Mapping[int, int] | Sequence[int]) -> Any:
    """Expressions over columns that are elsewhere now."""
    return replaced(value, lambda at: Place(to[at]))


def shifted(expr: BoundExpr, by: int) -> BoundExpr:
    moved: BoundExpr = replaced(expr, lambda at: Place(at + by))
    return moved


def moved_to(expr: BoundExpr, to: Sequence[int]) -> BoundExpr:
    moved: BoundExpr = replaced(expr, lambda at: Place(to[at]))
    return moved


def swapped(expr: BoundExpr, first: int, second: int) -> BoundExpr:
    """Over two inputs that change places; of `first` columns was the one that comes last now."""
    moved: BoundExpr = replaced(expr, lambda at: Place(at + second if at < first else at - first))
    return moved


# --- what a scan leaves out ---


def table_filter(found: Json, column: BoundExpr) -> BoundExpr | None:  # noqa: PLR0911
    """What a scan was told to leave out; None: a hint that decides nothing."""
    kind = found["filter_type"].removeprefix("LEGACY_")
    match kind:
        case "CONSTANT_COMPARISON":
            sign = COMPARISONS[found["comparison_type"]]
            return Call(sign, (column, read_constant(found["constant"])), BOOLEAN)
        case "CONJUNCTION_AND" | "CONJUNCTION_OR":
            any_ = kind == "CONJUNCTION_OR"
            parts = [table_filter(each, column) for each in found["child_filters"]]
            sure = [part for part in parts if part is not None]
            # The planner nests them pair by pair, deeper than a plan may.
            flat = [
                term
                for part in sure
                for term in (
                    part.terms if isinstance(part, Conjunction) and part.any == any_ else (part,)
                )
            ]
            if not any_:
                return all_of(flat)
            return Conjunction(tuple(flat), any=True) if len(sure) == len(parts) else None
        case "IS_NULL":
            return Special(Form.IS_NULL, (column,))
        case "IS_NOT_NULL":
            return Special(Form.IS_NOT_NULL, (column,))
        case "IN_FILTER":
            return Special(Form.IN, (column, *(read_constant(each) for each in found["values"])))
        case "OPTIONAL_FILTER" | "DYNAMIC_FILTER":
            return None
        case "EXPRESSION_FILTER":
            return over(ExpressionReader(1)(found["expr"]), [column])
        case "STRUCT_EXTRACT":
            field = Constant(SqlType("VARCHAR"), found["child_name"])
            part = Special(Form.FIELD, (column, field))
            return table_filter(found["child_filter"], part)
        case _:
            return refuse(f"a filter of kind {kind}", found)
