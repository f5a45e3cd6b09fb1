"""Casts of integer literals that stand beside floats.

Some engines compute only on operands of one type, and expect a plan to say so: what a planner
writes as `x > 5` must reach them as `x > CAST(5 AS Float64)` where x is a float. Ours needs no such
cast, and answers the same with it: a number that the float's type would round makes all that stands
beside it a wider float. Where a column's type is not known, nothing is changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs

from ffq.errors import InvalidPlan
from ffq.plan import model, terms
from ffq.plan.codec import dump_plan
from ffq.plan.codec.cursor import check_size
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.model import Node
from ffq.plan.names import text_of
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    ColumnName,
    DataType,
    Expr,
    JoinType,
    LiteralType,
    Schema,
)
from ffq.plan.walk import KEEPS_COLUMNS, child_fields, children

FLOATS: Final = ("Float16", "Float32", "Float64")
"""From narrow to wide."""
_PACKED: Final = {"Float16": "<e", "Float32": "<f", "Float64": "<d"}
_DOUBLE: Final = DataType("Float64")
_ARITHMETIC: Final = frozenset(
    {
        terms.BinaryOperator.PLUS,
        terms.BinaryOperator.MINUS,
        terms.BinaryOperator.MULTIPLY,
        terms.BinaryOperator.DIVIDE,
    }
)

Columns: TypeAlias = tuple[tuple[str, DataType | None], ...] | None
"""Names and types of a node's columns: a type only where it is a float; None: nothing is known."""
Tables: TypeAlias = Callable[[str], Schema | None]
"""A table's schema; None where it is not known. Types other than floats need not be right."""

E = TypeVar("E")


def no_tables(_name: str) -> None:
    """`Tables` where none is known: only scans that say their schema have types."""


def float_holds(kind: str, number: int) -> bool:
    """Whether a float of that type is exactly the number."""
    try:
        (rounded,) = struct.unpack(_PACKED[kind], struct.pack(_PACKED[kind], float(number)))
    except OverflowError:
        return False
    return bool(rounded == number)


def whole_literal(expr: Expr) -> int | None:
    """The number that an integer literal is; None of any other expression."""
    if isinstance(expr, terms.Literal) and expr.type is LiteralType.INT64:
        return expr.value if isinstance(expr.value, int) else None
    return None


def with_literal_casts(plan: Node, tables: Tables = no_tables) -> Node:
    """The plan with an integer literal beside a float cast to a float.

    The plan itself, the same object, where there is no such literal.
    """
    return _Casting(tables).visit(plan)[0]


def write_literal_casts(
    data: bytes, plan: Node, tables: Tables = no_tables, *, limits: PlanLimits = DEFAULT_LIMITS
) -> bytes:
    """The plan's JSON with those casts; `data`, which it was read from, where there are none.

    So it is also where the casts would take the plan out of bounds: whoever needs none still runs
    it.
    """
    with_casts = with_literal_casts(plan, tables)
    if with_casts is plan:
        return data
    try:
        written = dump_plan(with_casts, limits=limits)
        check_size(written, limits)
    except InvalidPlan:
        return data
    return written


@attrs.frozen
class _Casting:
    _tables: Tables

    def visit(self, node: Node) -> tuple[Node, Columns]:  # noqa: PLR0911
        """The node with its casts, and its columns."""
        below = [self.visit(child) for child in children(node)]
        new = node
        for name, (child, _) in zip(child_fields(node), below, strict=True):
            new = _with(new, name, child)
        inputs = [columns for _, columns in below]
        match new:
            case model.ParquetScan() if type(new) is model.ParquetScan:
                return self._scan(new)
            case model.Project():
                typed = [(*_cast(expr, inputs[0]), name) for expr, name in new.exprs]
                exprs = tuple((expr, name) for expr, _, name in typed)
                columns = tuple((name, kind) for _, kind, name in typed)
                return _with(new, "exprs", exprs), columns
            case model.PartialHashAggregate():
                return _partial(new, inputs[0])
            case model.FinalHashAggregate():
                return _final(new, cast(model.FinalHashAggregate, node), inputs[0])
            case model.HashJoin():
                return new, _joined(new, *inputs)
            case model.UnionAll():
                return new, _united(*inputs)
            case model.CteRef():
                return new, inputs[0]
            case model.Window():
                known = inputs[0]
                added = tuple((each.output_name, None) for each in new.exprs)
                windows = tuple(_parts_cast(each, known) for each in new.exprs)
                return _with(new, "exprs", windows), None if known is None else (*known, *added)
            case _ if isinstance(new, KEEPS_COLUMNS):
                return _expressions_cast(new, inputs[0]), inputs[0]
            case _:
                return new, None

    def _scan(self, scan: model.ParquetScan) -> tuple[Node, Columns]:
        schema = self._tables(scan.table) if scan.schema is None else scan.schema
        if schema is None:
            return scan, None
        columns = tuple(
            (field.name, field.data_type if field.data_type.name in FLOATS else None)
            for field in schema.fields
        )
        filters = tuple(_cast(each, columns)[0] for each in scan.filters)
        projected = columns
        if scan.projection is not None:
            projected = tuple((text_of(name), _type_of(name, columns)) for name in scan.projection)
        return _with(scan, "filters", filters), projected


def _expressions_cast(node: Node, columns: Columns) -> Node:
    match node:
        case model.Filter(predicate=predicate):
            return _with(node, "predicate", _cast(predicate, columns)[0])
        case model.InSubqueryFilter(expr=expr) | model.ScalarSubqueryFilter(expr=expr):
            return _with(node, "expr", _cast(expr, columns)[0])
        case model.TopKByScore(score_expr=score):
            return _with(node, "score_expr", _cast(score, columns)[0])
        case _:
            return node


# --- what columns a node gives out -----------------------------------------------------------


def _partial(node: model.PartialHashAggregate, below: Columns) -> tuple[Node, Columns]:
    groups = [(_cast(expr, below), expr) for expr in node.group_exprs]
    typed = [(each, *_cast(each.argument, below), name) for each, name in node.aggr_exprs]
    aggregates = tuple(
        (_with(each, "argument", argument), name) for each, argument, _, name in typed
    )
    columns = (
        *((_group_name(expr), kind) for (_, kind), expr in groups),
        *((name, _state_type(each, kind)) for each, _, kind, name in typed),
    )
    new = _with(node, "group_exprs", tuple(expr for (expr, _), _ in groups))
    return _with(new, "aggr_exprs", aggregates), columns


def _final(
    node: model.FinalHashAggregate, before: model.FinalHashAggregate, below: Columns
) -> tuple[Node, Columns]:
    """Its expressions are those of the partial aggregate below: about what that one reads."""
    old, new = _partial_below(before), _partial_below(node)
    if old is not None and new is not None and old is not new:
        if old.aggr_exprs == node.aggr_exprs:
            node = _with(node, "aggr_exprs", new.aggr_exprs)
        if old.group_exprs == node.group_exprs:
            node = _with(node, "group_exprs", new.group_exprs)
    if below is None or len(below) != len(node.group_exprs) + len(node.aggr_exprs):
        return node, None
    groups = below[: len(node.group_exprs)]
    results = tuple(
        (name, _DOUBLE if each.function is AggregateFunction.AVG else kind)
        for (each, name), (_, kind) in zip(node.aggr_exprs, below[len(groups) :], strict=True)
    )
    return node, (*groups, *results)


def _partial_below(node: model.FinalHashAggregate) -> model.PartialHashAggregate | None:
    below: Node = node.input
    while isinstance(below, model.ShuffleRead | model.ShuffleWrite | model.CoalesceBatches):
        below = below.input
    return below if isinstance(below, model.PartialHashAggregate) else None


def _group_name(expr: Expr) -> str:
    return expr.name if isinstance(expr, terms.Column | terms.ColumnRef) else ""


def _state_type(aggregate: AggregateExpr, kind: DataType | None) -> DataType | None:
    match aggregate.function:
        case AggregateFunction.MIN | AggregateFunction.MAX:
            return kind
        case AggregateFunction.SUM:
            return None if kind is None else _DOUBLE
        case _:
            return None


def _joined(node: model.HashJoin, left: Columns, right: Columns) -> Columns:
    if node.join_type in {JoinType.SEMI, JoinType.ANTI}:
        return left
    return None if left is None or right is None else (*left, *right)


def _united(left: Columns, right: Columns) -> Columns:
    if left is None or right is None or len(left) != len(right):
        return None
    pairs = zip(left, right, strict=True)
    return tuple((name, kind if kind == other else None) for (name, kind), (_, other) in pairs)


def _type_of(name: ColumnName, columns: Columns) -> DataType | None:
    """Of the column of that name, or of that last dotted part; None also where several have it."""
    known = columns or ()
    found = [kind for each, kind in known if each == text_of(name)]
    if not found and isinstance(name, str):
        last = name.rpartition(".")[2]
        found = [kind for each, kind in known if each.rpartition(".")[2] == last]
    return found[0] if len(found) == 1 else None


# --- expressions -----------------------------------------------------------------------------


def _cast(  # noqa: PLR0911
    expr: Expr, columns: Columns
) -> tuple[Expr, DataType | None]:
    """The expression with its casts, and its type where that is a float."""
    match expr:
        case terms.Column(name=name):
            return expr, _type_of(name, columns)
        case terms.ColumnRef(index=index):
            return expr, columns[index][1] if columns and 0 <= index < len(columns) else None
        case terms.Literal(type=kind):
            return expr, _DOUBLE if kind is LiteralType.FLOAT64 else None
        case terms.Cast(expr=inner, to_type=to_type):
            new = _with(expr, "expr", _cast(inner, columns)[0])
            return new, to_type if to_type.name in FLOATS else None
        case terms.BinaryOp():
            return _binary(expr, columns)
        case terms.CaseWhen():
            return _case(expr, columns)
        case _:
            return _parts_cast(expr, columns), None


def _binary(expr: terms.BinaryOp, columns: Columns) -> tuple[Expr, DataType | None]:
    (left, right), kind = _beside([_cast(expr.left, columns), _cast(expr.right, columns)])
    new = _with(_with(expr, "left", left), "right", right)
    return new, kind if expr.op in _ARITHMETIC else None


def _case(expr: terms.CaseWhen, columns: Columns) -> tuple[Expr, DataType | None]:
    """Its outcomes stand beside each other."""
    outcomes = [then for _, then in expr.branches]
    if expr.else_expr is not None:
        outcomes.append(expr.else_expr)
    values, kind = _beside([_cast(each, columns) for each in outcomes])
    branches = tuple(
        (_cast(when, columns)[0], then)
        for (when, _), then in zip(expr.branches, values, strict=False)
    )
    new = _with(expr, "branches", branches)
    return new if expr.else_expr is None else _with(new, "else_expr", values[-1]), kind


def _beside(operands: Sequence[tuple[Expr, DataType | None]]) -> tuple[list[Expr], DataType | None]:
    """What stands beside each other, with its casts, and the type of all where it is a float.

    Beside a Float32 what is neither a float nor a literal makes a Float64, in our engine at least.
    """
    exprs = [expr for expr, _ in operands]
    known = [kind.name for _, kind in operands if kind is not None]
    if not known:
        return exprs, None
    widest = max(known, key=FLOATS.index)
    numbers = [n for n in map(whole_literal, exprs) if n is not None]
    wider = FLOATS[FLOATS.index(widest) :]
    wanted = next((one for one in wider if all(float_holds(one, n) for n in numbers)), FLOATS[-1])
    kind = DataType(wanted)
    cast_too = wanted != widest
    values: list[Expr] = [
        terms.Cast(expr, kind)
        if whole_literal(expr) is not None or (cast_too and of is not None)
        else expr
        for expr, of in operands
    ]
    certain = all(of is not None or isinstance(expr, terms.Literal) for expr, of in operands)
    return values, kind if certain or kind == _DOUBLE else None


def _parts_cast(whole: E, columns: Columns) -> E:
    """And, Or, Not, functions, windows and the like: the expressions that they are made of."""
    new = whole
    for field in attrs.fields(type(whole)):  # type: ignore[arg-type]
        value: Any = getattr(whole, field.name)
        if isinstance(value, tuple):
            value = tuple(
                _cast(each, columns)[0] if attrs.has(type(each)) else each for each in value
            )
        elif attrs.has(type(value)):
            value = _cast(value, columns)[0]
        new = _with(new, field.name, value)
    return new


def _with(expr: E, field: str, value: object) -> E:
    old = getattr(expr, field)
    same = value is old or (isinstance(value, tuple) and _same_parts(value, old))
    return expr if same else attrs.evolve(expr, **{field: value})  # type: ignore[misc]


def _same_parts(parts: tuple[object, ...], old: tuple[object, ...]) -> bool:
    return all(
        new is each
        or (isinstance(new, tuple) and isinstance(each, tuple) and _same_parts(new, each))
        for new, each in zip(parts, old, strict=True)
    )
