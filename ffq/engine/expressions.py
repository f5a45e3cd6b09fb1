"""Expressions as SQL, with the plan vocabulary's rules where DuckDB's differ.

An integer divided by an integer truncates and fails on zero; casting a fraction to an integer
truncates; a text literal compared with a date means the date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Final, TypeGuard

import attrs

from ffq.engine import alike, types
from ffq.engine.bound import BoundWriter
from ffq.engine.functions import function_sql
from ffq.engine.oracle import TypeOracle
from ffq.engine.sql import ColumnInfo, Columns, text
from ffq.errors import PlanningError
from ffq.plan import terms
from ffq.plan.casts import float_holds, whole_literal
from ffq.plan.names import find_column, find_path
from ffq.plan.terms import BinaryOperator, Expr, LiteralType

COMPARISONS: Final = {
    BinaryOperator.EQ: "=",
    BinaryOperator.NOT_EQ: "<>",
    BinaryOperator.LT: "<",
    BinaryOperator.LT_EQ: "<=",
    BinaryOperator.GT: ">",
    BinaryOperator.GT_EQ: ">=",
}
_ARITHMETIC: Final = {
    BinaryOperator.PLUS: "+",
    BinaryOperator.MINUS: "-",
    BinaryOperator.MULTIPLY: "*",
}
_PARSED: Final = frozenset({"exact number", "float", "date or timestamp"})
"""Classes of types that DuckDB turns a text literal into, where the two are compared."""
_LITERAL_KINDS: Final = {
    LiteralType.INT64: "BIGINT",
    LiteralType.FLOAT64: "DOUBLE",
    LiteralType.BOOLEAN: "BOOLEAN",
    LiteralType.UTF8: "VARCHAR",
}
_A_COLUMN: Final = re.compile(r"c[0-9]+")
_END_OF_A_TIME: Final = re.compile(
    r":[0-9]{2}(?:[.](?P<digits>[0-9]+))?\s*(?P<zone>[A-Za-z/_]+|[+-][0-9:]+)?\s*$"
)
_FRACTION_DIGITS: Final = {
    "TIMESTAMP_S": 0,
    "TIMESTAMP_MS": 3,
    "TIMESTAMP_NS": 9,
    "TIMESTAMPTZ_NS": 9,
}
_ZONED: Final = frozenset({"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"})
_DISTANCES: Final = {
    "CosineSimilarity": "cosine_similarity",
    "L2Distance": "distance",
    "DotProduct": "dot_product",
}


@attrs.frozen
class ExpressionWriter:
    """Writes expressions over one node's input columns; `node` is named in errors."""

    columns: Columns
    oracle: TypeOracle
    node: str
    # Looking at operands' types must not make the work exponential in the depth of a plan.
    _written: dict[int, tuple[Expr, str]] = attrs.field(factory=dict, init=False)
    _types: dict[str, str] = attrs.field(factory=dict, init=False)
    # One for all expressions: it knows all columns, of which there may be as many.
    _bound: BoundWriter = attrs.field(
        default=attrs.Factory(
            lambda self: BoundWriter(len(self.columns), self.node), takes_self=True
        ),
        init=False,
    )

    def sql(self, expr: Expr) -> str:
        """Raises PlanningError, UnsupportedPlan."""
        known = self._written.get(id(expr))
        if known is None:
            known = self._written[id(expr)] = (expr, self._write(expr))
        return known[1]

    def _write(self, expr: Expr) -> str:  # noqa: PLR0911, PLR0912
        match expr:
            case terms.Column(name=name):
                return f"c{find_column(name, self.columns, self.node)}"
            case terms.ColumnPath(name=name):
                return self._path(name)
            case terms.ColumnRef():
                return f"c{self._position(expr)}"
            case terms.Literal():
                return self._literal(expr)
            case terms.BinaryOp(left=left, op=op, right=right):
                return self.binary(left, op, right)
            case terms.Cast(expr=inner, to_type=to_type):
                return self._cast(inner, types.sql_type(to_type))
            case terms.And(left=left, right=right):
                return f"({self.sql(left)} AND {self.sql(right)})"
            case terms.Or(left=left, right=right):
                return f"({self.sql(left)} OR {self.sql(right)})"
            case terms.Not(expr=inner):
                return f"(NOT {self.sql(inner)})"
            case terms.IsNull(expr=inner):
                return f"({self.sql(inner)} IS NULL)"
            case terms.IsNotNull(expr=inner):
                return f"({self.sql(inner)} IS NOT NULL)"
            case terms.CaseWhen(branches=branches, else_expr=otherwise):
                if not branches:
                    return "NULL" if otherwise is None else self.sql(otherwise)
                outcomes = [b for _, b in branches] + ([] if otherwise is None else [otherwise])
                write = partial(_case, [self.sql(when) for when, _ in branches])
                return write(self.made_one("CaseWhen", outcomes, write))
            case terms.ScalarUdf(name=name, args=args):
                match name.lower(), args:
                    case "coalesce", _:
                        given = self.made_one(name, args, partial(self._call, name))
                    case "nullif", (value, other):
                        return self._nullif(value, other)
                    case _:
                        given = [self.sql(arg) for arg in args]
                return self._call(name, given)
            case terms.Bound(tree=tree):
                return self._bound.sql(tree)
            case terms.VectorDistance(function=function, vector=vector, query=query):
                return self._distance(function, self.sql(vector), self.sql(query))

    def _call(self, name: str, args: list[str]) -> str:
        return function_sql(name, args, self.type_of)

    def made_one(
        self, what: str, exprs: Sequence[Expr], write: Callable[[list[str]], str]
    ) -> list[str]:
        """Values, each as the type that they become where `write` makes one value of them.

        Raises:
            PlanningError: they have no type in common.
        """
        values = [self.sql(expr) for expr in exprs]
        if any(map(_is_constant, exprs)):
            of = {self._kind(expr) for expr in exprs}
            values = [self._beside(expr, of)[0] for expr in exprs]
        typed = next((expr for expr in exprs if not isinstance(expr, terms.Literal)), None)
        if typed is not None:
            texts = [self._text_literal(expr, typed) for expr in exprs]
            values = [text or sql for text, sql in zip(texts, values, strict=True)]
        if len(values) == 1:
            return values
        kinds = self.oracle.types(values, self.columns, self.node)
        what = f"{self.node}: {what} over {', '.join(sorted(set(kinds)))}"
        wanted = self.oracle.made_one(kinds, write(values), self.columns, what)
        return [
            sql if kind == wanted else f"CAST({sql} AS {wanted})"
            for sql, kind in zip(values, kinds, strict=True)
        ]

    def _beside(self, expr: Expr, kinds: Collection[str]) -> tuple[str, str]:
        """A value among some of these types, and its own: a constant's is one that suits them."""
        sql, kind, number = self.sql(expr), self._kind(expr), whole_literal(expr)
        if number is not None:
            kind = _whole_kind(number, kinds)
            return f"CAST({number} AS {kind})", kind
        finer = alike.of_nanoseconds(kind, kinds) if _is_constant(expr) else None
        if finer is None or not self.oracle.can_be(sql, finer):
            return sql, kind
        return f"CAST({sql} AS {finer})", finer

    def _nullif(self, value: Expr, other: Expr) -> str:
        """The value where it differs from the other one, by the rules of a comparison."""
        kept = self.sql(value)
        a, b = self._sides(value, other)
        if a == kept:
            return f"nullif({a}, {b})"
        if isinstance(value, terms.Literal):
            return f"(CASE WHEN {a} = {b} THEN NULL ELSE {kept} END)"
        kind = self._kind(value)
        a, b = self.comparable(("v", kind), self._beside(other, {kind}))
        return alike.once(kept, f"CASE WHEN {a} = {b} THEN NULL ELSE v END")

    def type_of(self, sql: str) -> str:
        """DuckDB's type of an expression over these columns. Raises PlanningError."""
        if _A_COLUMN.fullmatch(sql):
            return self.columns[int(sql[1:])].type
        kind = self._types.get(sql)
        if kind is None:
            kind = self._types[sql] = self.oracle.types([sql], self.columns, self.node)[0]
        return kind

    def typed(self, expressions: list[tuple[str, str]]) -> tuple[list[str], Columns]:
        """Output columns of (SQL, name) pairs; types that do not travel are made ones that do."""
        kinds = self.oracle.types([sql for sql, _ in expressions], self.columns, self.node)
        sqls: list[str] = []
        columns: list[ColumnInfo] = []
        for (sql, name), kind in zip(expressions, kinds, strict=True):
            travels, travelling_kind = types.travelling(sql, kind)
            sqls.append(travels)
            columns.append(ColumnInfo(name, travelling_kind))
        return sqls, tuple(columns)

    def binary(self, left: Expr, op: BinaryOperator, right: Expr) -> str:
        """`left op right`. Raises PlanningError, UnsupportedPlan."""
        if op in COMPARISONS:
            return self._comparison(left, COMPARISONS[op], right)
        a, b = self._operand(left, right), self._operand(right, left)
        if op is not BinaryOperator.DIVIDE:
            return f"({a} {_ARITHMETIC[op]} {b})"
        whole = types.is_integer(self.type_of(a)) and types.is_integer(self.type_of(b))
        return f"({a} {'//' if whole else '/'} {b})"

    def _comparison(self, left: Expr, sign: str, right: Expr) -> str:
        return f"({f' {sign} '.join(self._sides(left, right))})"

    def _sides(self, left: Expr, right: Expr) -> tuple[str, str]:
        """Two values as DuckDB compares them rightly."""
        if _is_text(left) or _is_text(right):
            a = self._text_literal(left, right) or self.sql(left)
            b = self._text_literal(right, left) or self.sql(right)
            return a, b
        kinds = self._kind(left), self._kind(right)
        return self.comparable(self._beside(left, kinds), self._beside(right, kinds))

    def comparable(self, one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
        """Two values, each as (SQL, type), made such that DuckDB compares them rightly.

        Raises:
            PlanningError: a number and a text, for one, of which one would be changed.
        """
        sides = alike.comparable(one, other)
        if sides is None:
            raise PlanningError(
                f"{self.node}: a {one[1]} and a {other[1]} cannot be compared: "
                f"{alike.remedy((one[1], other[1]))}"
            )
        return sides

    def _kind(self, expr: Expr) -> str:
        """Its type; of a literal without asking."""
        known = _LITERAL_KINDS.get(expr.type) if isinstance(expr, terms.Literal) else None
        return known or self.type_of(self.sql(expr))

    def _text_literal(self, literal: Expr, other: Expr) -> str | None:
        """A text literal as what it means beside `other`; None where it means text.

        One that means nothing is an error of the plan: found here, and not when it runs.
        """
        if not _is_text(literal) or isinstance(other, terms.Literal):
            return None
        kind = self.type_of(self.sql(other))
        if types.is_date(kind):
            return self._date_literal(literal)
        if kind == "BLOB":
            return f"encode({self._literal(literal)})"
        if alike.hash_class(kind) in _PARSED:
            value = str(literal.value)
            if not _is_kept(value, kind):
                raise PlanningError(
                    f"{self.node}: {value!r} is compared with a {kind}, which cannot hold it"
                )
            self.oracle.check_constant(self._literal(literal), kind, self.node)
        return None

    def _date_literal(self, literal: terms.Literal) -> str:
        try:
            return f"CAST('{date.fromisoformat(str(literal.value)).isoformat()}' AS DATE)"
        except ValueError:
            raise PlanningError(
                f"{self.node}: {literal.value!r} is compared with a date but is none; "
                f"right would be YYYY-MM-DD"
            ) from None

    def _operand(self, expr: Expr, other: Expr) -> str:
        """An operand of arithmetic.

        A whole literal beside a decimal is one of few digits. A Float32 beside a whole number or a
        decimal is computed on as a Float64, but for a literal that it holds.
        """
        kind, number, beside = self._kind(other), whole_literal(expr), whole_literal(other)
        if number is not None and types.decimal_parts(kind):
            return f"CAST({number} AS {_whole_kind(number, {kind})})"
        if beside is not None and float_holds("Float32", beside):
            return self.sql(expr)
        return alike.unrounded(self.sql(expr), self._kind(expr), kind)

    def _path(self, name: str) -> str:
        def fields(at: int) -> Mapping[str, object]:
            return types.struct_fields(self.columns[at].type)

        at, path = find_path(name, self.columns, fields, self.node)
        sql = f"c{at}"
        for field in path:
            sql = f"struct_extract({sql}, {text(field)})"
        return sql

    def _position(self, expr: terms.ColumnRef) -> int:
        if not 0 <= expr.index < len(self.columns):
            raise PlanningError(
                f"{self.node}: column {expr.name!r} has index {expr.index}, "
                f"but its input has {len(self.columns)} columns"
            )
        return expr.index

    def _literal(self, literal: terms.Literal) -> str:
        match literal.type, literal.value:
            case LiteralType.NULL, _:
                return "NULL"
            case LiteralType.BOOLEAN, value:
                return "TRUE" if value else "FALSE"
            case LiteralType.INT64, int(value):
                return f"CAST({value} AS BIGINT)"
            case LiteralType.FLOAT64, (int() | float()) as value:
                return _float(float(value))
            case LiteralType.UTF8, str(value):
                return text(value)
            case LiteralType.VECTOR_F32, tuple(values):
                items = ", ".join(_float(float(value)) for value in values)
                return f"CAST([{items}] AS FLOAT[])"
            case _:
                raise PlanningError(
                    f"{self.node}: {literal.value!r} is no {literal.type.value} literal"
                )

    def _cast(self, inner: Expr, to_type: str) -> str:
        sql = self.sql(inner)
        kind = self._kind(inner)
        if {kind, to_type} == {"VARCHAR", "BLOB"}:  # the bytes themselves: no escapes
            return f"{'encode' if kind == 'VARCHAR' else 'decode'}({sql})"
        if types.is_integer(to_type):
            if types.is_float(kind) or types.decimal_parts(kind):
                sql = f"trunc({sql})"
            elif kind == "VARCHAR":
                sql = _whole_number(sql)
        return f"CAST({sql} AS {to_type})"

    def _distance(self, function: str, vector: str, query: str) -> str:
        # A list made from an array of fixed length that is null is refused by the list functions.
        # So is any where a null list of a file has left a null in the column's memory: [:] makes
        # the lists anew.
        length = types.array_length(self.type_of(vector))
        kind, of = ("list", "FLOAT[]") if length is None else ("array", f"FLOAT[{length}]")
        made = f"CAST({vector} AS {of}){'[:]' * (length is None)}"
        return f"{kind}_{_DISTANCES[function]}({made}, CAST({query} AS {of}))"


def _case(whens: list[str], values: list[str]) -> str:
    branches = zip(whens, values, strict=False)
    last = "" if len(values) == len(whens) else f" ELSE {values[-1]}"
    return f"(CASE {' '.join(f'WHEN {when} THEN {then}' for when, then in branches)}{last} END)"


def _whole_kind(number: int, kinds: Collection[str]) -> str:
    """The type of a whole literal among values of these types.

    A decimal of as few digits as it needs: as a 64-bit integer it would count 19, and push the
    result past what a decimal holds. A Float32 where that does not round it.
    """
    if any(map(types.decimal_parts, kinds)):
        return f"DECIMAL({len(str(abs(number)))},0)"
    if "FLOAT" in kinds and float_holds("Float32", number):
        return "FLOAT"
    return "UBIGINT" if "UBIGINT" in kinds and number >= 0 else "BIGINT"


def _whole_number(sql: str) -> str:
    """A text that becomes an integer: with a fraction it is none, and DuckDB would round it."""
    return (
        f"(CASE WHEN regexp_matches({sql}, '[.][0-9]*[1-9]|[eE]-') "
        f"THEN error('Could not convert the text ' || {sql} || ': it is no whole number') "
        f"ELSE {sql} END)"
    )


def _is_text(expr: Expr) -> TypeGuard[terms.Literal]:
    return isinstance(expr, terms.Literal) and expr.type is LiteralType.UTF8


def _is_constant(expr: Expr) -> bool:
    """A literal, or one that says its type, as a date does."""
    return isinstance(expr.expr if isinstance(expr, terms.Cast) else expr, terms.Literal)


def _is_kept(value: str, kind: str) -> bool:
    """Whether DuckDB keeps all of a text that it takes for a value of this type."""
    if kind.startswith("TIMESTAMP"):
        end = _END_OF_A_TIME.search(value)
        digits = (end["digits"] or "").rstrip("0") if end is not None else ""
        zoned = end is not None and end["zone"] is not None
        return len(digits) <= _FRACTION_DIGITS.get(kind, 6) and (not zoned or kind in _ZONED)
    decimal = types.decimal_parts(kind)
    if decimal is None and not types.is_integer(kind):
        return True
    try:
        exponent = Decimal(value.strip()).normalize().as_tuple().exponent
    except ArithmeticError:
        return True  # no number: DuckDB says so
    return not isinstance(exponent, int) or -exponent <= (decimal[1] if decimal else 0)


def _float(value: float) -> str:
    if math.isfinite(value):
        return f"CAST({value!r} AS DOUBLE)"
    return f"CAST('{value!r}' AS DOUBLE)"
