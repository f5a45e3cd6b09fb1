"""Expressions over the columns of a relation. They mean what SQL means by them.

(col("price") * (1 - col("discount"))).sum().alias("revenue")
(col("day") < datetime.date(1995, 3, 15)) & ~col("comment").is_null()
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn, TypeAlias

import attrs

from ffq.errors import InvalidRequest, words
from ffq.relation.namespaces import DateParts, Lists, Structs, Texts
from ffq.relation.pieces import Named, Over, Pieces, checked_column, joined, listed, written
from ffq.relation.types import type_words
from ffq.sql.literals import literal
from ffq.sql.parameters import plain_value

Operand: TypeAlias = "Expression | Any"
"""An expression, or a value that stands for itself."""

Text: TypeAlias = str
"""`str` is also what expressions call their texts' functions."""

_FUNCTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@attrs.frozen(eq=False, repr=False)
class Expression:
    """An expression.

    Attributes:
        pieces: its SQL.
        name: of the column that it makes: by `alias`, else of the first column in it.
        call: it is a call of an aggregate or window function, which `over` may follow.
    """

    pieces: Pieces
    name: Text = ""
    call: bool = False

    def __repr__(self) -> Text:
        text = "".join(
            f'"{p.name}"' if isinstance(p, Named) else written((p,), "") for p in self.pieces
        )
        return f"<expression {words(text, 200)[1:-1]}>"

    def alias(self, name: Text) -> Expression:
        """The same, as a column of this name."""
        return attrs.evolve(self, name=checked_column(name))

    def cast(self, to: object, *, strict: bool = True) -> Expression:
        """
        Args:
            to: a type in SQL's words, as "DECIMAL(10,2)", one of Python's, or an Arrow type.
            strict: False: null where a value cannot be cast, instead of an error.

        Raises:
            InvalidRequest: no type.
        """
        word = "CAST" if strict else "TRY_CAST"
        return self._with(f"{word}(", self.pieces, f" AS {type_words(to)})")

    def is_null(self) -> Expression:
        """A boolean, never null."""
        return self._with("(", self.pieces, " IS NULL)")

    def is_not_null(self) -> Expression:
        """A boolean, never null."""
        return self._with("(", self.pieces, " IS NOT NULL)")

    def is_in(self, values: Iterable[Operand]) -> Expression:
        """Whether it equals one of them. As SQL's IN: null where it is not known for a null."""
        if isinstance(values, str | bytes):
            raise InvalidRequest(f"is_in: {words(values, 80)}; right would be a list of values")
        choices = [operand(each).pieces for each in values]
        if not choices:
            return self._with("(", self.pieces, " IS NOT NULL AND FALSE)")
        return self._with("(", self.pieces, " IN (", listed(choices), "))")

    def between(self, low: Operand, high: Operand) -> Expression:
        """Both ends belong to it."""
        return self._with(
            "(", self.pieces, " BETWEEN ", operand(low).pieces, " AND ", operand(high).pieces, ")"
        )

    def like(self, pattern: Text) -> Expression:
        """SQL's LIKE: % is any text, _ any character."""
        return self._with("(", self.pieces, " LIKE ", constant(pattern), ")")

    def ilike(self, pattern: Text) -> Expression:
        """As `like`, whatever the case."""
        return self._with("(", self.pieces, " ILIKE ", constant(pattern), ")")

    def fill_null(self, value: Operand) -> Expression:
        """The value, or where it is null this one; of a type that holds both."""
        return self._called("coalesce", value)

    def is_nan(self) -> Expression:
        """A boolean, of floats; null of null."""
        return self._called("isnan")

    def abs(self) -> Expression:
        """Without its sign, of the number's own type."""
        return self._called("abs")

    def round(self, digits: int = 0) -> Expression:
        """To so many digits behind the point; negative: before it. Halves go away from zero."""
        return self._called("round", digits)

    def floor(self) -> Expression:
        """The next whole number below."""
        return self._called("floor")

    def ceil(self) -> Expression:
        """The next whole number above."""
        return self._called("ceil")

    def sqrt(self) -> Expression:
        """The square root, a float. Of a negative number the query fails."""
        return self._called("sqrt")

    def exp(self) -> Expression:
        """e to its power, a float."""
        return self._called("exp")

    def log(self) -> Expression:
        """The natural logarithm."""
        return self._called("ln")

    # Aggregates, over the rows of a group or, with `over`, of a window.

    def sum(self) -> Expression:
        """Of integers and decimals one of up to 38 digits, of floats a float; of none null."""
        return self._aggregate("sum")

    def mean(self) -> Expression:
        """A float. Of no values null."""
        return self._aggregate("avg")

    def min(self) -> Expression:
        """Of no values null. NaN is larger than any number."""
        return self._aggregate("min")

    def max(self) -> Expression:
        """Of no values null. NaN is larger than any number."""
        return self._aggregate("max")

    def count(self) -> Expression:
        """How many are not null."""
        return self._aggregate("count")

    def n_unique(self) -> Expression:
        """How many different values there are that are not null."""
        return self._with("count(DISTINCT ", self.pieces, ")", call=True)

    def median(self) -> Expression:
        """The middle one, of two the mean; of no values null."""
        return self._aggregate("median")

    def quantile(self, part: float) -> Expression:
        """The value below which this part of them lies, from 0 to 1, between the nearest two."""
        return self._aggregate("quantile_cont", constant(part))

    def std(self) -> Expression:
        """Of a sample."""
        return self._aggregate("stddev_samp")

    def var(self) -> Expression:
        """Of a sample."""
        return self._aggregate("var_samp")

    def first(self) -> Expression:
        """Of rows without an order: that of any."""
        return self._aggregate("first")

    def last(self) -> Expression:
        """Of rows without an order: that of any."""
        return self._aggregate("last")

    def all(self) -> Expression:
        """Whether all of those that are not null are true; of none null."""
        return self._aggregate("bool_and")

    def any(self) -> Expression:
        """Whether one of those that are not null is true; of none null."""
        return self._aggregate("bool_or")

    def implode(self) -> Expression:
        """All of them, as a list."""
        return self._aggregate("list")

    def shift(self, rows: int = 1) -> Expression:
        """The value so many rows before, of the order in `over`; after, where it is negative."""
        function = "lag" if rows >= 0 else "lead"
        return self._aggregate(function, constant(abs(rows)))

    def over(
        self,
        *by: Text | Expression,
        order_by: Text | Expression | Iterable[Text | Expression] = (),
        descending: bool = False,
    ) -> Expression:
        """An aggregate or a window function for each row, over the rows with the same `by`.

        Args:
            order_by: of each row then those up to it, as in SQL.

        Raises:
            InvalidRequest: this is no call of such a function.
        """
        if not self.call:
            raise InvalidRequest(
                f"{self!r}.over: right would be over on each aggregate, as "
                f'col("x").sum().over("k") / col("y").sum().over("k")'
            )
        clauses: list[str | Pieces] = []
        if by:
            clauses += ["PARTITION BY ", listed([column(each).pieces for each in by])]
        orders = [order_by] if isinstance(order_by, str | Expression) else list(order_by)
        if orders:
            word = " DESC" if descending else ""
            keys = [joined(column(each).pieces, word) for each in orders]
            clauses += [" ORDER BY ", listed(keys)]
        return self._with(self.pieces, Over(), *clauses, ")")

    # Parts of values.

    @property
    def dt(self) -> DateParts[Expression]:
        """What dates and timestamps have."""
        return DateParts(self._called)

    @property
    def str(self) -> Texts[Expression]:
        """What texts have."""
        return Texts(self._called)

    @property
    def list(self) -> Lists[Expression]:
        """What lists have."""
        return Lists(self._called)

    @property
    def struct(self) -> Structs[Expression]:
        """What structs have."""
        return Structs(self._field)

    # Operators.

    def __add__(self, other: Operand) -> Expression:
        return _binary(self, "+", other)

    def __radd__(self, other: Operand) -> Expression:
        return _binary(other, "+", self)

    def __sub__(self, other: Operand) -> Expression:
        return _binary(self, "-", other)

    def __rsub__(self, other: Operand) -> Expression:
        return _binary(other, "-", self)

    def __mul__(self, other: Operand) -> Expression:
        return _binary(self, "*", other)

    def __rmul__(self, other: Operand) -> Expression:
        return _binary(other, "*", self)

    def __truediv__(self, other: Operand) -> Expression:
        return _binary(self, "/", other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return _binary(other, "/", self)

    def __floordiv__(self, other: Operand) -> Expression:
        """SQL's //: of integers truncated toward zero."""
        return _binary(self, "//", other)

    def __rfloordiv__(self, other: Operand) -> Expression:
        return _binary(other, "//", self)

    def __mod__(self, other: Operand) -> Expression:
        """SQL's %: with the sign of the dividend."""
        return _binary(self, "%", other)

    def __rmod__(self, other: Operand) -> Expression:
        return _binary(other, "%", self)

    def __pow__(self, other: Operand) -> Expression:
        return _binary(self, "**", other)

    def __rpow__(self, other: Operand) -> Expression:
        return _binary(other, "**", self)

    def __neg__(self) -> Expression:
        return self._with("(-", self.pieces, ")")

    def __eq__(self, other: Operand) -> Expression:  # type: ignore[override]
        return _comparison(self, "=", other)

    def __ne__(self, other: Operand) -> Expression:  # type: ignore[override]
        return _comparison(self, "<>", other)

    def __lt__(self, other: Operand) -> Expression:
        return _comparison(self, "<", other)

    def __le__(self, other: Operand) -> Expression:
        return _comparison(self, "<=", other)

    def __gt__(self, other: Operand) -> Expression:
        return _comparison(self, ">", other)

    def __ge__(self, other: Operand) -> Expression:
        return _comparison(self, ">=", other)

    def __and__(self, other: Operand) -> Expression:
        return _binary(self, "AND", other)

    def __rand__(self, other: Operand) -> Expression:
        return _binary(other, "AND", self)

    def __or__(self, other: Operand) -> Expression:
        return _binary(self, "OR", other)

    def __ror__(self, other: Operand) -> Expression:
        return _binary(other, "OR", self)

    def __invert__(self) -> Expression:
        return self._with("(NOT ", self.pieces, ")")

    # A chained comparison, `and`, `or`, `not` and `in` ask for a truth value. Answering would drop
    # half of the condition without a word.
    def __bool__(self) -> NoReturn:
        raise InvalidRequest(
            "an expression has no truth value before the query runs: use &, | and ~, write "
            "a < b < c as (a < b) & (b < c), and x in list as x.is_in(list)"
        )

    __hash__ = None  # type: ignore[assignment]

    def _with(self, *parts: Any, call: bool = False) -> Expression:
        return Expression(joined(*parts), self.name, call)

    def _called(
        self, function: Any, /, *after: Operand, before: tuple[Operand, ...] = ()
    ) -> Expression:
        return called(function, *before, self, *after)

    def _field(self, name: Text) -> Expression:
        return called("struct_extract", self, checked_column(name)).alias(name)

    def _aggregate(self, function: Any, *constants: Any) -> Expression:
        extra = "".join(f", {each}" for each in constants)
        return self._with(f"{function}(", self.pieces, f"{extra})", call=True)


def col(name: str) -> Expression:
    """A column. Raises InvalidRequest: no name."""
    return Expression((Named(checked_column(name)),), name)


def constant(value: object) -> str:
    """SQL of a value, with its type. Raises InvalidRequest: no type of SQL holds it."""
    return literal(plain_value(value, "a constant"), "a constant")


def called(function: Any, *arguments: Operand, call: bool = False) -> Expression:
    """A call of a function of SQL's. Raises InvalidRequest: no name of one."""
    if not isinstance(function, str) or not _FUNCTION.fullmatch(function):
        raise InvalidRequest(f"{words(function, 80)} is no name of a function")
    given = [operand(each) for each in arguments]
    pieces = joined(f"{function}(", listed([each.pieces for each in given]), ")")
    return Expression(pieces, next((each.name for each in given if each.name), ""), call)


def operand(value: Operand) -> Expression:
    """An expression as it is, anything else as a constant. Raises InvalidRequest."""
    if isinstance(value, Expression):
        return value
    if type(value).__module__.startswith("ffq.plan."):
        raise InvalidRequest(
            f"a {type(value).__name__} of ffq.plan is for plans; right would be ffq.col and ffq.lit"
        )
    return Expression((constant(value),))


def column(value: str | Expression) -> Expression:
    """Where a text is a column's name. Raises InvalidRequest."""
    if isinstance(value, str):
        return col(value)
    if not isinstance(value, Expression):
        raise InvalidRequest(
            f"{words(value, 80)} is no column; right would be its name, or an expression of "
            "ffq.col and ffq.lit"
        )
    return value


def _binary(left: Operand, sign: Any, right: Operand) -> Expression:
    one, other = operand(left), operand(right)
    return Expression(
        joined("(", one.pieces, f" {sign} ", other.pieces, ")"), one.name or other.name
    )


def _comparison(left: Operand, sign: Any, right: Operand) -> Expression:
    if left is None or right is None:
        raise InvalidRequest(
            "a comparison with None is null for every row, in SQL; right would be is_null() or "
            "is_not_null()"
        )
    return _binary(left, sign, right)
