"""Types of bound expressions by rule, without asking the engine: where a rule is certain.

The engine is asked what no rule tells. What is refused by the engine is not refused here: whoever
goes by a rule has it asked when the whole is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ffq.engine.bound import type_sql
from ffq.engine.sql import Columns
from ffq.engine.types import FLOATS, decimal_parts
from ffq.plan.bound import (
    PLAIN_TYPES,
    BoundExpr,
    Call,
    Choice,
    Conjunction,
    Constant,
    Conversion,
    Form,
    Place,
    Special,
    SqlType,
)
from ffq.plan.terms import Bound, Expr

_PLAIN: Final = PLAIN_TYPES - {"NULL"}
_BOOLEAN: Final = "BOOLEAN"
_COMPARISONS: Final = frozenset(
    {"=", "<>", "<", ">", "<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"}
)
_CONDITIONS: Final = frozenset(
    {Form.IN, Form.NOT_IN, Form.NOT, Form.IS_NULL, Form.IS_NOT_NULL, Form.BETWEEN}
)
_CLOSED: Final = frozenset({"SMALLINT", "INTEGER", "BIGINT"}) | FLOATS
"""Types of numbers whose sums, differences and products are of the same type."""
_ARITHMETIC: Final = frozenset({"+", "-", "*"})
_OF_TEXTS: Final = {
    "~~": _BOOLEAN,
    "!~~": _BOOLEAN,
    "||": "VARCHAR",
    "lower": "VARCHAR",
    "upper": "VARCHAR",
    "trim": "VARCHAR",
    "contains": _BOOLEAN,
    "starts_with": _BOOLEAN,
    "prefix": _BOOLEAN,
    "suffix": _BOOLEAN,
}
"""Results of functions all of whose arguments are texts."""


def types_by_rule(exprs: Sequence[Expr | BoundExpr], columns: Columns) -> list[str | None]:
    """As `type_by_rule`, of each; only bound expressions are ruled on."""
    kinds = [column.type for column in columns]
    trees = [expr.tree if isinstance(expr, Bound) else expr for expr in exprs]
    return [type_by_rule(tree, kinds) for tree in trees]


def type_by_rule(expr: Expr | BoundExpr, kinds: Sequence[str]) -> str | None:  # noqa: PLR0911
    """The engine's type of an expression over columns of these types; None: no rule tells."""
    match expr:
        case Place(index=index):
            return _certain(kinds[index]) if 0 <= index < len(kinds) else None
        case Constant(type=kind) | Conversion(to=kind):
            return _written(kind)
        case Conjunction():
            return _BOOLEAN
        case Special(form=form, args=args):
            if form in _CONDITIONS:
                return _BOOLEAN
            return _same(args, kinds) if form is Form.COALESCE else None
        case Choice(branches=branches, otherwise=otherwise):
            return _same([*(then for _, then in branches), otherwise], kinds)
        case Call():
            return _call(expr, kinds)
        case _:
            return None


def _call(call: Call, kinds: Sequence[str]) -> str | None:
    if call.type.name == "DECIMAL":
        return _written(call.type)  # it is cast to this
    if call.name in _COMPARISONS and len(call.args) == 2:
        return _BOOLEAN
    args = {type_by_rule(arg, kinds) for arg in call.args}
    if len(args) != 1:
        return None
    (kind,) = args
    if kind == "VARCHAR":
        return _OF_TEXTS.get(call.name)
    closed = call.name in _ARITHMETIC and len(call.args) == 2 and kind in _CLOSED
    return kind if closed else None


def _same(values: Sequence[BoundExpr], kinds: Sequence[str]) -> str | None:
    """The type that all values have; None where one is not told, or is another."""
    found = {type_by_rule(value, kinds) for value in values}
    return found.pop() if len(found) == 1 else None


def _written(kind: SqlType) -> str | None:
    plain = kind.name in _PLAIN and not kind.arguments
    return type_sql(kind) if plain or kind.name == "DECIMAL" else None


def _certain(kind: str) -> str | None:
    """A type in words that the engine would use too."""
    return kind if kind in _PLAIN or decimal_parts(kind) else None
