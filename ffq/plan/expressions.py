"""Expressions for the plan builder: Python operators on columns and literals.

    (col("l_extendedprice") * (1 - col("l_discount"))).sum().alias("revenue")
    (col("o_orderdate") < "1995-03-15") & ~col("o_comment").is_null()

`Expression` wraps the model's value, because `==` here builds a comparison, while the model's
values compare by value.
"""

from __future__ import annotations

import datetime
import decimal
import math
from typing import NoReturn, TypeAlias

import attrs

from ffq.errors import InvalidPlan, InvalidRequest, words
from ffq.plan import terms
from ffq.plan.codec.shapes import MAX_I64
from ffq.plan.codec.types import data_type
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    BinaryOperator,
    DataType,
    Expr,
    LiteralType,
)

Value: TypeAlias = int | float | str | bool | decimal.Decimal | datetime.date | None
_MAX_DECIMAL_DIGITS = 38


@attrs.frozen(eq=False)
class Expression:
    """An expression under construction; `expr` is the model's value.

    `output_name` is set by `alias`, and for a plain column is the column's name.
    """

    expr: Expr
    output_name: str | None = None

    def alias(self, name: str) -> Expression:
        """The same under an output name."""
        return attrs.evolve(self, output_name=name)

    def __add__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.PLUS, other)

    def __radd__(self, other: Operand) -> Expression:
        return _binary(other, BinaryOperator.PLUS, self)

    def __sub__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.MINUS, other)

    def __rsub__(self, other: Operand) -> Expression:
        return _binary(other, BinaryOperator.MINUS, self)

    def __mul__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.MULTIPLY, other)

    def __rmul__(self, other: Operand) -> Expression:
        return _binary(other, BinaryOperator.MULTIPLY, self)

    def __truediv__(self, other: Operand) -> Expression:
        """The quotient as a float, as in Python: `lit(5) / 2` is 2.5. See `divide`."""
        return self.cast("Float64").divide(other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return Expression(as_expr(other)) / self

    def divide(self, other: Operand) -> Expression:
        """The plan's Divide: of two integers truncated toward zero, else the quotient."""
        return _binary(self, BinaryOperator.DIVIDE, other)

    def __eq__(self, other: Operand) -> Expression:  # type: ignore[override]
        return _binary(self, BinaryOperator.EQ, other)

    def __ne__(self, other: Operand) -> Expression:  # type: ignore[override]
        return _binary(self, BinaryOperator.NOT_EQ, other)

    def __lt__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.LT, other)

    def __le__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.LT_EQ, other)

    def __gt__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.GT, other)

    def __ge__(self, other: Operand) -> Expression:
        return _binary(self, BinaryOperator.GT_EQ, other)

    def __and__(self, other: Operand) -> Expression:
        return Expression(terms.And(self.expr, as_expr(other)))

    def __or__(self, other: Operand) -> Expression:
        return Expression(terms.Or(self.expr, as_expr(other)))

    def __invert__(self) -> Expression:
        return Expression(terms.Not(self.expr))

    # A chained comparison, `and`, `or` and `not` ask for a truth value. Answering would drop
    # half of the condition without a word.
    def __bool__(self) -> NoReturn:
        raise InvalidRequest(
            "an expression has no truth value while a plan is built: use &, | and ~, "
            "and write a < b < c as (a < b) & (b < c)"
        )

    __hash__ = None  # type: ignore[assignment]

    def is_null(self) -> Expression:
        """A boolean, never null."""
        return Expression(terms.IsNull(self.expr))

    def is_not_null(self) -> Expression:
        """A boolean, never null."""
        return Expression(terms.IsNotNull(self.expr))

    def cast(self, to_type: str | DataType) -> Expression:
        """Cast to a type: `"Decimal128(15, 2)"`, `"Date32"`, `"Timestamp(Microsecond)"`.

        Raises:
            InvalidRequest: no such type.
        """
        return Expression(terms.Cast(self.expr, _type_of(to_type)), self.output_name)

    def count(self) -> Aggregation:
        """Rows in which it is not null."""
        return self._aggregate(AggregateFunction.COUNT)

    def count_distinct(self) -> Aggregation:
        """How many different values are not null, an Int64."""
        return self._aggregate(AggregateFunction.COUNT_DISTINCT)

    def approx_count_distinct(self) -> Aggregation:
        """About how many different values are not null, an Int64."""
        return self._aggregate(AggregateFunction.APPROX_COUNT_DISTINCT)

    def sum(self) -> Aggregation:
        """An Int64 of integers, a decimal of decimals, a Float64 of floats; of no values null."""
        return self._aggregate(AggregateFunction.SUM)

    def min(self) -> Aggregation:
        """Of the value's own type; of no values null."""
        return self._aggregate(AggregateFunction.MIN)

    def max(self) -> Aggregation:
        """Of the value's own type; of no values null."""
        return self._aggregate(AggregateFunction.MAX)

    def avg(self) -> Aggregation:
        """A Float64; of no values null."""
        return self._aggregate(AggregateFunction.AVG)

    def _aggregate(self, function: AggregateFunction) -> Aggregation:
        name = None
        if self.output_name is not None:
            name = f"{function.name.lower()}_{self.output_name}"
        return Aggregation(AggregateExpr(function, self.expr), name)


@attrs.frozen
class Aggregation:
    """An aggregate under construction; of a plain column x it is named `sum_x` and so on."""

    aggregate: AggregateExpr
    output_name: str | None = None

    def alias(self, name: str) -> Aggregation:
        """The same under an output name."""
        return attrs.evolve(self, output_name=name)


Operand: TypeAlias = Expression | Value


def col(name: str) -> Expression:
    """A column: by its exact name, else as `table.column`, else as `struct_column.field`.

    A name that may mean several columns is refused where the query runs, and so is one that means
    none; so is an exact name that both sides of a join have, unless they were joined on it.
    """
    kind = terms.ColumnPath if "." in name else terms.Column
    return Expression(kind(name), name)


def lit(value: Value) -> Expression:
    """A literal. Dates and decimals are texts that are cast, as the plan has no such literals.

    Raises:
        InvalidRequest: a number out of range, or a value of another type.
    """
    return Expression(_literal(value))


def count() -> Aggregation:
    """Number of rows: SQL's `count(*)`."""
    return lit(1).count().alias("count")


def when(condition: Expression, then: Operand) -> Case:
    """`when(a, x).when(b, y).otherwise(z)`: SQL's CASE; without `otherwise`, null (`.end()`)."""
    return Case(((condition.expr, as_expr(then)),))


@attrs.frozen
class Case:
    """A CASE under construction."""

    _branches: tuple[tuple[Expr, Expr], ...]

    def when(self, condition: Expression, then: Operand) -> Case:
        """Another condition, and its value."""
        return Case((*self._branches, (condition.expr, as_expr(then))))

    def otherwise(self, value: Operand) -> Expression:
        """And this value where no condition is true."""
        return Expression(terms.CaseWhen(self._branches, as_expr(value)))

    def end(self) -> Expression:
        """Null where no condition is true."""
        return Expression(terms.CaseWhen(self._branches, None))


def udf(name: str, *args: Operand) -> Expression:
    """A call of a scalar function that the workers' engine knows."""
    return Expression(terms.ScalarUdf(name, tuple(as_expr(arg) for arg in args)))


def as_expr(operand: Operand) -> Expr:
    """The model's value of an operand; Python values become literals."""
    return operand.expr if isinstance(operand, Expression) else _literal(operand)


def _binary(left: Operand, op: BinaryOperator, right: Operand) -> Expression:
    return Expression(terms.BinaryOp(as_expr(left), op, as_expr(right)))


def _literal(value: Value) -> Expr:
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return terms.Cast(_literal(f"{value:f}"), _decimal_type(value))
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return terms.Cast(_literal(value.isoformat()), DataType("Date32"))
    match value:
        case None:
            literal = LiteralType.NULL
        case bool():
            literal = LiteralType.BOOLEAN
        case int() if -MAX_I64 - 1 <= value <= MAX_I64:
            literal = LiteralType.INT64
        case float() if math.isfinite(value):
            literal = LiteralType.FLOAT64
        case str():
            literal = LiteralType.UTF8
        case _:
            raise InvalidRequest(
                f"{words(value, 40)} is no literal of a plan; right would be an integer of 64 "
                "bits, a finite float or Decimal, a str, a bool, a date or None"
            )
    return terms.Literal(literal, value)


def _decimal_type(value: decimal.Decimal) -> DataType:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # a finite decimal's
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale)
    if precision > _MAX_DECIMAL_DIGITS:
        raise InvalidRequest(f"{value} needs more than {_MAX_DECIMAL_DIGITS} decimal digits")
    return DataType("Decimal128", (precision, scale))


def _type_of(to_type: str | DataType) -> DataType:
    if isinstance(to_type, DataType):
        return to_type
    try:
        return data_type(to_type)
    except InvalidPlan as error:
        raise InvalidRequest(error.message) from None
