"""What a plan asks of the rows of a scan, as far as it can be decided without reading them. Pure.

A condition may ask less than the plan does, and never more: where it is false of a row, the plan
leaves that row out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import attrs

from ffq.plan import model
from ffq.plan.bound import (
    BoundExpr,
    Call,
    Conjunction,
    Constant,
    Conversion,
    Form,
    Place,
    Special,
    SqlType,
)
from ffq.plan.model import Node, ParquetScan, ShuffleRead
from ffq.plan.terms import (
    And,
    BinaryOp,
    BinaryOperator,
    Bound,
    Column,
    Expr,
    IsNotNull,
    IsNull,
    Literal,
    Or,
)
from ffq.plan.walk import children

ConstantValue: TypeAlias = Constant | Literal


@attrs.frozen
class Compares:
    """`column sign value`; sign: one of = < <= > >=. via: the type that the column is cast to."""

    column: str
    sign: str
    value: ConstantValue
    via: SqlType | None = None


@attrs.frozen
class HasNull:
    """The column is null, or `negated`."""

    column: str
    negated: bool


@attrs.frozen
class AllOf:
    terms: tuple[Condition, ...]


@attrs.frozen
class AnyOf:
    terms: tuple[Condition, ...]


Condition: TypeAlias = Compares | HasNull | AllOf | AnyOf

_FLIPPED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SIGNS: Final = {
    BinaryOperator.EQ: "=",
    BinaryOperator.LT: "<",
    BinaryOperator.LT_EQ: "<=",
    BinaryOperator.GT: ">",
    BinaryOperator.GT_EQ: ">=",
}
_Names: TypeAlias = Callable[[int], "str | None"]


def scan_conditions(fragment: Node) -> tuple[Condition | None, ...]:
    """Of each ParquetScan of a stage, by its number, what is asked of its rows; None: nothing."""
    found: list[Condition | None] = []
    pending: list[tuple[Node, tuple[Expr, ...]]] = [(fragment, ())]
    while pending:
        node, above = pending.pop()
        match node:
            case ParquetScan():
                found.append(_of_scan(node, above))
            case ShuffleRead():
                pass
            case model.Filter(predicate=predicate):
                pending.append((node.input, (*above, predicate)))
            case model.Project(exprs=exprs):
                bound = [each.tree for each in above if isinstance(each, Bound)]
                moved = (_through([expr for expr, _ in exprs], tree) for tree in bound)
                pending.append((node.input, tuple(Bound(tree) for tree in moved if tree)))
            case model.CoalesceBatches():
                pending.append((node.input, above))
            case model.CteRef(plan=plan):
                pending.append((plan, above))
            case _:
                pending.extend((child, ()) for child in reversed(children(node)))
    return tuple(found)


def _of_scan(scan: ParquetScan, above: Sequence[Expr]) -> Condition | None:
    names = scan.projection

    def name_of(index: int) -> str | None:
        name = names[index] if names is not None and 0 <= index < len(names) else None
        return name if isinstance(name, str) else None

    terms = [_of_expr(each, lambda _: None) for each in scan.filters]
    terms += [_of_expr(each, name_of) for each in above]
    return _all([term for term in terms if term is not None])


def _all(terms: Sequence[Condition]) -> Condition | None:
    if len(terms) <= 1:
        return next(iter(terms), None)
    return AllOf(tuple(terms))


def _any(terms: Sequence[Condition | None]) -> Condition | None:
    """One that is not known may be true of any row."""
    known = [term for term in terms if term is not None]
    return AnyOf(tuple(known)) if known and len(known) == len(terms) else None


# --- expressions over columns by name --------------------------------------------------------


def _of_expr(expr: Expr, name_of: _Names) -> Condition | None:  # noqa: PLR0911
    match expr:
        case Bound(tree=tree):
            return _of_bound(tree, name_of)
        case And(left=left, right=right):
            sides = [_of_expr(left, name_of), _of_expr(right, name_of)]
            return _all([side for side in sides if side is not None])
        case Or(left=left, right=right):
            return _any([_of_expr(left, name_of), _of_expr(right, name_of)])
        case IsNull(expr=Column(name=name)):
            return HasNull(name, negated=False)
        case IsNotNull(expr=Column(name=name)):
            return HasNull(name, negated=True)
        case BinaryOp(left=Column(name=name), op=op, right=Literal() as value) if op in _SIGNS:
            return Compares(name, _SIGNS[op], value)
        case BinaryOp(left=Literal() as value, op=op, right=Column(name=name)) if op in _SIGNS:
            return Compares(name, _FLIPPED[_SIGNS[op]], value)
        case _:
            return None


# --- expressions over columns by position ----------------------------------------------------


def _of_bound(tree: BoundExpr, name_of: _Names) -> Condition | None:
    match tree:
        case Conjunction(terms=terms, any=any_):
            made = [_of_bound(term, name_of) for term in terms]
            return _any(made) if any_ else _all([each for each in made if each is not None])
        case Call(name=sign, args=(column, Constant() as value)) if sign in _FLIPPED:
            return _compares(_column(column, name_of), sign, value)
        case Call(name=sign, args=(Constant() as value, column)) if sign in _FLIPPED:
            return _compares(_column(column, name_of), _FLIPPED[sign], value)
        case Special(form=form, args=(column, *values)):
            return _special(form, _column(column, name_of), values)
        case _:
            return None


@attrs.frozen
class _Column:
    name: str
    via: SqlType | None


def _column(tree: BoundExpr, name_of: _Names) -> _Column | None:
    """A column of the scan, or one that is cast."""
    via: SqlType | None = None
    inner = tree
    if isinstance(tree, Conversion) and not tree.tries:
        inner, via = tree.expr, tree.to
    name = name_of(inner.index) if isinstance(inner, Place) else None
    return None if name is None else _Column(name, via)


def _compares(column: _Column | None, sign: str, value: BoundExpr) -> Condition | None:
    if column is None or not isinstance(value, Constant):
        return None
    return Compares(column.name, sign, value, column.via)


def _special(form: Form, column: _Column | None, values: Sequence[BoundExpr]) -> Condition | None:
    if column is None:
        return None
    match form, values:
        case Form.IS_NULL, []:
            return HasNull(column.name, negated=False)
        case Form.IS_NOT_NULL, []:
            return HasNull(column.name, negated=True)
        case Form.IN, [_, *_]:
            return _any([_compares(column, "=", value) for value in values])
        case Form.BETWEEN, [low, high]:
            sides = [_compares(column, ">=", low), _compares(column, "<=", high)]
            return _all([side for side in sides if side is not None])
        case _:
            return None


def _through(exprs: Sequence[Expr], tree: BoundExpr) -> BoundExpr | None:
    """What is asked of a projection's rows, over the rows that it is made of; None: not known.

    Of several conditions that must all hold, those that are known.
    """
    match tree:
        case Conjunction(terms=terms, any=any_):
            moved = [_through(exprs, term) for term in terms]
            known = [term for term in moved if term is not None]
            if not known or (any_ and len(known) < len(terms)):
                return None
            return Conjunction(tuple(known), any_)
        case Call(args=args) if tree.name in _FLIPPED:
            places = _places(exprs, args)
            return None if places is None else attrs.evolve(tree, args=places)
        case Special(args=args):
            places = _places(exprs, args)
            return None if places is None else attrs.evolve(tree, args=places)
        case _:
            return None


def _places(exprs: Sequence[Expr], args: Sequence[BoundExpr]) -> tuple[BoundExpr, ...] | None:
    moved: list[BoundExpr] = []
    for arg in args:
        if isinstance(arg, Place) and 0 <= arg.index < len(exprs):
            expr = exprs[arg.index]
            if not (isinstance(expr, Bound) and _is_column(expr.tree)):
                return None
            moved.append(expr.tree)
        elif isinstance(arg, Constant):
            moved.append(arg)
        else:
            return None
    return tuple(moved)


def _is_column(tree: BoundExpr) -> bool:
    inner = tree.expr if isinstance(tree, Conversion) else tree
    return isinstance(inner, Place)
