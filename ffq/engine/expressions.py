"""Expressions as SQL, with the plan vocabulary's rules where DuckDB's differ.

An integer divided by an integer truncates and fails on zero; casting a fraction to an integer
truncates; a text literal compared with a date means the date.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Final

import attrs
import duckdb

from ffq.engine import types
from ffq.engine.faults import binding_error
from ffq.engine.functions import function_sql
from ffq.engine.sql import ColumnInfo, Columns, select_list, text
from ffq.errors import PlanningError
from ffq.plan import model
from ffq.plan.model import BinaryOperator, Expr, LiteralType
from ffq.plan.names import find_column, find_path

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
_DISTANCES: Final = {
    "CosineSimilarity": "cosine_similarity",
    "L2Distance": "distance",
    "DotProduct": "dot_product",
}


class TypeOracle:
    """Asks DuckDB what types expressions over given columns have."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def types(self, expressions: list[str], columns: Columns, node: str) -> tuple[str, ...]:
        """Raises PlanningError: DuckDB refuses an expression; names the node."""
        if not expressions:
            return ()
        row = select_list(f"CAST(NULL AS {column.type})" for column in columns)
        sql = f"DESCRIBE SELECT {select_list(expressions)} FROM (SELECT {row})"
        try:
            return tuple(kind for _, kind, *_ in self._connection.execute(sql).fetchall())
        except duckdb.Error as error:
            raise binding_error(node, error) from error

    def check_constant(self, sql: str, kind: str, node: str) -> None:
        """Raises PlanningError: a constant that has no value of the type; names the node."""
        try:
            self._connection.execute(f"SELECT CAST({sql} AS {kind})").fetchall()
        except duckdb.Error as error:
            raise binding_error(node, error) from error


@attrs.frozen
class ExpressionWriter:
    """Writes expressions over one node's input columns; `node` is named in errors."""

    columns: Columns
    oracle: TypeOracle
    node: str
    # Looking at operands' types must not make the work exponential in the depth of a plan.
    _written: dict[int, tuple[Expr, str]] = attrs.field(factory=dict, init=False)
    _types: dict[str, str] = attrs.field(factory=dict, init=False)

    def sql(self, expr: Expr) -> str:
        """Raises PlanningError, UnsupportedPlan."""
        known = self._written.get(id(expr))
        if known is None:
            known = self._written[id(expr)] = (expr, self._write(expr))
        return known[1]

    def _write(self, expr: Expr) -> str:  # noqa: PLR0911, PLR0912
        match expr:
            case model.Column(name=name):
                return f"c{find_column(name, self.columns, self.node)}"
            case model.ColumnPath(name=name):
                return self._path(name)
            case model.ColumnRef():
                return f"c{self._position(expr)}"
            case model.Literal():
                return self._literal(expr)
            case model.BinaryOp(left=left, op=op, right=right):
                return self.binary(left, op, right)
            case model.Cast(expr=inner, to_type=to_type):
                return self._cast(inner, types.sql_type(to_type))
            case model.And(left=left, right=right):
                return f"({self.sql(left)} AND {self.sql(right)})"
            case model.Or(left=left, right=right):
                return f"({self.sql(left)} OR {self.sql(right)})"
            case model.Not(expr=inner):
                return f"(NOT {self.sql(inner)})"
            case model.IsNull(expr=inner):
                return f"({self.sql(inner)} IS NULL)"
            case model.IsNotNull(expr=inner):
                return f"({self.sql(inner)} IS NOT NULL)"
            case model.CaseWhen(branches=branches, else_expr=otherwise):
                if not branches:
                    return "NULL" if otherwise is None else self.sql(otherwise)
                whens = " ".join(f"WHEN {self.sql(a)} THEN {self.sql(b)}" for a, b in branches)
                last = "" if otherwise is None else f" ELSE {self.sql(otherwise)}"
                return f"(CASE {whens}{last} END)"
            case model.ScalarUdf(name=name, args=args):
                return function_sql(name, [self.sql(arg) for arg in args], self.type_of)
            case model.VectorDistance(function=function, vector=vector, query=query):
                return self._distance(function, self.sql(vector), self.sql(query))

    def type_of(self, sql: str) -> str:
        """DuckDB's type of an expression over these columns. Raises PlanningError."""
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
            travels = travelling_type(kind)
            sqls.append(sql if travels == kind else f"CAST({sql} AS {travels})")
            columns.append(ColumnInfo(name, travels))
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
        a = self._text_literal(left, right) or self.sql(left)
        b = self._text_literal(right, left) or self.sql(right)
        return f"({a} {sign} {b})"

    def _text_literal(self, literal: Expr, other: Expr) -> str | None:
        """A text literal as what it means beside `other`; None where it means text.

        One that means nothing is an error of the plan: found here, and not when it runs.
        """
        if not isinstance(literal, model.Literal) or literal.type is not LiteralType.UTF8:
            return None
        if isinstance(other, model.Literal):
            return None
        kind = self.type_of(self.sql(other))
        if types.is_date(kind):
            return self._date_literal(literal)
        if types.hash_class(kind) in _PARSED:
            self.oracle.check_constant(self._literal(literal), kind, self.node)
        return None

    def _date_literal(self, literal: model.Literal) -> str:
        try:
            return f"CAST('{date.fromisoformat(str(literal.value)).isoformat()}' AS DATE)"
        except ValueError:
            raise PlanningError(
                f"{self.node}: {literal.value!r} is compared with a date but is none; "
                f"right would be YYYY-MM-DD"
            ) from None

    def _operand(self, expr: Expr, other: Expr) -> str:
        """An operand of arithmetic.

        A whole literal beside a decimal takes as few digits as it needs: as a 64-bit integer it
        would count 19 and push the result past what a decimal holds.
        """
        if (
            isinstance(expr, model.Literal)
            and expr.type is LiteralType.INT64
            and isinstance(expr.value, int)
            and types.decimal_parts(self.type_of(self.sql(other)))
        ):
            return f"CAST({expr.value} AS DECIMAL({len(str(abs(expr.value)))},0))"
        return self.sql(expr)

    def _path(self, name: str) -> str:
        def fields(at: int) -> Mapping[str, object]:
            return types.struct_fields(self.columns[at].type)

        at, path = find_path(name, self.columns, fields, self.node)
        sql = f"c{at}"
        for field in path:
            sql = f"struct_extract({sql}, {text(field)})"
        return sql

    def _position(self, expr: model.ColumnRef) -> int:
        if not 0 <= expr.index < len(self.columns):
            raise PlanningError(
                f"{self.node}: column {expr.name!r} has index {expr.index}, "
                f"but its input has {len(self.columns)} columns"
            )
        return expr.index

    def _literal(self, literal: model.Literal) -> str:
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
        if types.is_integer(to_type):
            kind = self.type_of(sql)
            if types.is_float(kind) or types.decimal_parts(kind):
                sql = f"trunc({sql})"
        return f"CAST({sql} AS {to_type})"

    def _distance(self, function: str, vector: str, query: str) -> str:
        # A list made from an array of fixed length that is null is refused by the list functions.
        length = types.array_length(self.type_of(vector))
        kind, of = ("list", "FLOAT[]") if length is None else ("array", f"FLOAT[{length}]")
        return f"{kind}_{_DISTANCES[function]}(CAST({vector} AS {of}), CAST({query} AS {of}))"


def travelling_type(kind: str) -> str:
    """The type a column of `kind` is given between nodes: one that Arrow has in the same words."""
    if types.is_huge(kind):
        return "BIGINT"
    if types.is_enum(kind):
        return "VARCHAR"
    return kind


def _float(value: float) -> str:
    if math.isfinite(value):
        return f"CAST({value!r} AS DOUBLE)"
    return f"CAST('{value!r}' AS DOUBLE)"
