"""Filters of vector search, as vector stores write them: JSON over the columns of a row.

`{"must": [{"field": name, "value": v}], "must_not": [...], "should": [...]}`: all of `must`, none
of `must_not`, and one of `should` where there is any. A condition is `field` and `value`, or
`key` and `match` with a `value`, or in turn such an object. A row matches the value null where it
has none; it never matches another one there.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

import attrs

from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.codec.cursor import shown
from ffq.plan.terms import (
    And,
    BinaryOp,
    BinaryOperator,
    Column,
    Expr,
    IsNotNull,
    IsNull,
    Literal,
    LiteralType,
    Not,
    Or,
)
from ffq.plan.vector_tables import ColumnKind, TableColumn, VectorTable

RIGHT: Final = 'right would be {"must": [{"field": name, "value": value}]}, must_not or should'
_CLAUSES: Final = ("must", "must_not", "should")
_FIELD: Final = frozenset({"field", "value"})
_MATCH: Final = frozenset({"key", "match"})
_MAX_DEPTH: Final = 20
_MAX_CONDITIONS: Final = 1_000
_NUMBERS: Final = frozenset({ColumnKind.INTEGER, ColumnKind.FLOAT, ColumnKind.DECIMAL})
_TEXTS: Final = frozenset({ColumnKind.TEXT, ColumnKind.DATE})
_BOOLEANS: Final = frozenset({ColumnKind.BOOLEAN})
_INT64: Final = 2**63
_TRUE: Final = Literal(LiteralType.BOOLEAN, True)


def read_filter(text: str | None, table: VectorTable, where: str) -> Expr | None:
    """The filter as a predicate that is true or false, never null; None: every row is searched.

    Args:
        where: names the node and the field, for errors.

    Raises:
        UnsupportedPlan: it is no such filter; says what is not known and what would be right.
        PlanningError: it names a column that the table has not, or a value that cannot be in it.
    """
    if text is None or not text.strip():
        return None
    columns = {each.name: each for each in (table.id, table.vector, *table.others)}
    reader = _Reader(columns, f"{where} of table {table.name!r}")
    try:
        value = json.loads(text, object_pairs_hook=reader.pairs, parse_constant=reader.constant)
    except (ValueError, RecursionError):
        reader.refuse(f"{shown(text)} is no payload filter in JSON")
    return reader.group(value, 0)


@attrs.define
class _Reader:
    _columns: Mapping[str, TableColumn]
    _where: str
    _conditions: int = 0

    def refuse(self, problem: str) -> NoReturn:
        raise UnsupportedPlan(f"{self._where}: {problem}; {RIGHT}")

    def constant(self, name: str) -> NoReturn:
        self.refuse(f"{name} is not a JSON number")

    def pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.refuse("a key stands twice in one object")
        return found

    def group(self, value: object, depth: int) -> Expr | None:
        """None: it has no condition at all."""
        if not isinstance(value, dict):
            self.refuse(f"{shown(value)} stands where a filter should")
        if depth > _MAX_DEPTH:
            self.refuse(f"it nests deeper than {_MAX_DEPTH} levels")
        if unknown := next((key for key in value if key not in _CLAUSES), None):
            self.refuse(f"{shown(unknown)} is not known")
        must, must_not, should = (self._clause(value.get(key), key, depth) for key in _CLAUSES)
        wanted = [*must, *map(Not, must_not)]
        if should:
            wanted.append(_balanced(Or, should))
        return _balanced(And, wanted) if wanted else None

    def _clause(self, value: object, name: str, depth: int) -> list[Expr]:
        if value is None:
            return []
        # A single condition may stand without a list around it.
        conditions = value if isinstance(value, list) else [value]
        return [self._condition(each, name, depth) for each in conditions]

    def _condition(self, value: object, clause: str, depth: int) -> Expr:
        self._conditions += 1
        if self._conditions > _MAX_CONDITIONS:
            self.refuse(f"it has more than {_MAX_CONDITIONS:,} conditions")
        if not isinstance(value, dict):
            self.refuse(f"{shown(value)} stands in {clause!r} where a condition should")
        keys = frozenset(value)
        if keys == _FIELD:
            return self._equal(value["field"], value["value"])
        if keys == _MATCH:
            match = value["match"]
            if not isinstance(match, dict) or frozenset(match) != {"value"}:
                known = ", ".join(map(repr, match)) if isinstance(match, dict) else shown(match)
                self.refuse(f"a match of {known or 'nothing'} is not known: only of a 'value'")
            return self._equal(value["key"], match["value"])
        if not keys or not keys <= frozenset(_CLAUSES):
            self.refuse(f"a condition of {', '.join(map(repr, value)) or 'nothing'} is not known")
        # One without any condition is true of each row.
        return self.group(value, depth + 1) or _TRUE

    def _equal(self, name: object, value: object) -> Expr:
        column = self._columns.get(name) if isinstance(name, str) else None
        if column is None:
            raise PlanningError(
                f"{self._where}: no column {shown(name)}; the table has: "
                f"{', '.join(map(repr, self._columns))}"
            )
        place = Column(column.name)
        if value is None:
            return IsNull(place)
        literal = self._literal(value, column)
        # In SQL a null equals nothing, and is unequal to nothing either: here it just is not equal.
        return And(IsNotNull(place), BinaryOp(place, BinaryOperator.EQ, literal))

    def _literal(self, value: object, column: TableColumn) -> Literal:
        match value:
            case bool():
                wanted, literal = _BOOLEANS, Literal(LiteralType.BOOLEAN, value)
            case int() if -_INT64 <= value < _INT64:
                wanted, literal = _NUMBERS, Literal(LiteralType.INT64, value)
            case float() if math.isfinite(value):
                wanted, literal = _NUMBERS, Literal(LiteralType.FLOAT64, value)
            case str() if _is_text(value):
                wanted, literal = _TEXTS, Literal(LiteralType.UTF8, value)
            case _:
                self.refuse(f"a column {column.name!r} is not compared with {shown(value)}")
        if column.kind not in wanted:
            raise PlanningError(
                f"{self._where}: column {column.name!r} is of type {column.type}, which the value "
                f"{shown(value)} cannot be compared with"
            )
        return literal


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _balanced(both: Callable[[Expr, Expr], Expr], exprs: Sequence[Expr]) -> Expr:
    """A thousand conditions nest ten levels deep, so that the plan stays within its bound."""
    if len(exprs) <= 2:
        return functools.reduce(both, exprs)
    half = len(exprs) // 2
    return both(_balanced(both, exprs[:half]), _balanced(both, exprs[half:]))
