"""Where expressions begin: columns, constants, conditions and functions."""

from __future__ import annotations

import attrs

from ffq.engine.sql import identifier
from ffq.errors import InvalidRequest, words
from ffq.relation.expressions import Expression, Operand, called, operand
from ffq.relation.pieces import Pieces, checked_column, joined


def lit(value: object) -> Expression:
    """A constant. Raises InvalidRequest: SQL has no type for it."""
    return Expression(operand(value).pieces, "literal")


def sql_expression(text: str) -> Expression:
    """An expression written in SQL; its columns are those of the relation that it is used in."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest(f"{words(text, 80)} is no expression of SQL")
    # On lines of its own: it may end in a comment.
    return Expression((f"(\n{text}\n)",), "expression")


def function(name: str, *arguments: Operand) -> Expression:
    """A call of any function that SQL has, of columns and values."""
    return called(name, *arguments)


def count() -> Expression:
    """The number of rows."""
    return Expression(("count(*)",), "count", call=True)


def row_number() -> Expression:
    """With `over`: 1, 2, … in its order."""
    return Expression(("row_number()",), "row_number", call=True)


def rank() -> Expression:
    """With `over`: as `row_number`, but the same for equals, and a gap after them."""
    return Expression(("rank()",), "rank", call=True)


def coalesce(*values: Operand) -> Expression:
    """The first that is not null."""
    return called("coalesce", *values)


def concat(*values: Operand) -> Expression:
    """Texts, one after the other; nulls are left out."""
    return called("concat", *values)


def struct(**fields: Operand) -> Expression:
    """A struct of these fields."""
    if not fields:
        raise InvalidRequest("a struct needs a field")
    parts: list[str | Pieces] = []
    for at, (name, value) in enumerate(fields.items()):
        comma = ", " if at else ""
        parts += [f"{comma}{identifier(checked_column(name))} := ", operand(value).pieces]
    return Expression(joined("struct_pack(", *parts, ")"), "struct")


@attrs.frozen
class When:
    """A condition that waits for its value."""

    _before: Pieces
    _condition: Pieces

    def then(self, value: Operand) -> Case:
        """The value, a column or a constant, where the condition is the first that is true."""
        pieces = joined(self._before, " WHEN ", self._condition, " THEN ", operand(value).pieces)
        name = operand(value).name
        return Case(pieces=joined("(CASE", pieces, " END)"), name=name, branches=pieces)


@attrs.frozen(eq=False, repr=False)
class Case(Expression):
    """The value of the first condition that is true; null where none is."""

    branches: Pieces = ()

    def when(self, condition: Expression) -> When:
        """Another condition, whose value `then` says."""
        return When(self.branches, operand(condition).pieces)

    def otherwise(self, value: Operand) -> Expression:
        """And this one where none is."""
        pieces = joined("(CASE", self.branches, " ELSE ", operand(value).pieces, " END)")
        return Expression(pieces, self.name or operand(value).name)


def when(condition: Expression) -> When:
    """`when(col("x") > 0).then("more").when(col("x") < 0).then("less").otherwise("none")`."""
    return When((), operand(condition).pieces)
