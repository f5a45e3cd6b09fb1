"""What is known of the values of columns without reading them, and what conditions that decides.

A value stands for itself as a number or a text, which have the order that the engine gives them.
What is not sure is not known: then rows are read.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeAlias

import attrs

from ffq.messages import PartitionValue
from ffq.plan.bound import Constant, SqlType
from ffq.plan.conditions import AllOf, AnyOf, Compares, Condition, ConstantValue, HasNull
from ffq.plan.terms import Literal, LiteralType

Comparable: TypeAlias = Fraction | float | str

_EPOCH: Final = datetime.date(1970, 1, 1)
_FIRST_DAY: Final = (datetime.date.min - _EPOCH).days
_LAST_DAY: Final = (datetime.date.max - _EPOCH).days
"""Between these dates are in the order of the texts that they are."""
INTEGERS: Final = frozenset(
    sign + kind for sign in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
) | {"HUGEINT", "UHUGEINT"}
_MICROS: Final = {
    "TIMESTAMP": ("timestamp", Fraction(1)),
    "TIMESTAMP_S": ("timestamp", Fraction(10**6)),
    "TIMESTAMP_MS": ("timestamp", Fraction(10**3)),
    "TIMESTAMP_NS": ("timestamp", Fraction(1, 10**3)),
    "TIMESTAMP WITH TIME ZONE": ("timestamptz", Fraction(1)),
}
_UNITS: Final = {
    "milliseconds": Fraction(10**3),
    "microseconds": Fraction(1),
    "nanoseconds": Fraction(1, 10**3),
}


@attrs.frozen
class Known:
    """What is known of a column in some rows.

    Attributes:
        kind: number, float, text, date, timestamp or timestamptz: a condition on another kind of
            value decides nothing. Empty: not known.
        low, high: between which its values are; None: not known. Of floats NaN may stand beside.
        nulls: whether there may be any.
        values: whether there may be any that are not null.
        cut: texts may have been cut off: `high` may be the beginning of a greater one.
    """

    kind: str = ""
    low: Comparable | None = None
    high: Comparable | None = None
    nulls: bool = True
    values: bool = True
    cut: bool = False


NOTHING: Final = Known()
KnownOf: TypeAlias = Callable[[str], Known]


# --- conditions ------------------------------------------------------------------------------


def may_hold(condition: Condition, known_of: KnownOf) -> bool:
    """Whether the condition may be true of one of the rows of which `known_of` knows."""
    match condition:
        case AllOf(terms=terms):
            return all(may_hold(term, known_of) for term in terms)
        case AnyOf(terms=terms):
            return any(may_hold(term, known_of) for term in terms)
        case HasNull(column=column, negated=negated):
            known = known_of(column)
            return known.values if negated else known.nulls
        case Compares():
            return _may_compare(condition, known_of(condition.column))


def _may_compare(condition: Compares, known: Known) -> bool:  # noqa: PLR0911
    if not known.values:
        return False
    if known.kind == "" or known.low is None or known.high is None:
        return True
    value = _value(condition.value, known.kind)
    if value is None or not _is_kept(condition.via, known):
        return True
    below = value < known.low  # type: ignore[operator]
    above = value > known.high  # type: ignore[operator]
    if known.cut and isinstance(value, str) and isinstance(known.high, str):
        above = above and not value.startswith(known.high)
    match condition.sign:
        case "=":
            return not (below or above)
        case "<":
            return not below and value != known.low
        case "<=":
            return not below
        case ">":
            # NaN is greater than any other number, and no statistics tell of it.
            reaches = known.kind == "float" or known.cut or value != known.high
            return known.kind == "float" or (not above and reaches)
        case _:
            return known.kind == "float" or not above


def _is_kept(via: SqlType | None, known: Known) -> bool:
    """Whether values that are cast to a type lie between the same bounds as before.

    Casts keep the order of values; so it is enough that the bounds themselves are kept.
    """
    if via is None:
        return True
    match known.kind:
        case "number" if via.name in INTEGERS:
            unit = Fraction(1)
        case "number" if via.name == "DECIMAL" and isinstance(via.arguments[1], int):
            unit = Fraction(1, 10 ** via.arguments[1])
        case "timestamp" | "timestamptz" if _MICROS.get(via.name, ("",))[0] == known.kind:
            unit = _MICROS[via.name][1]
        case kind:
            return _KEPT.get(kind) == via.name
    bounds = (known.low, known.high)
    return all(isinstance(each, Fraction) and (each / unit).denominator == 1 for each in bounds)


_KEPT: Final = {"float": "DOUBLE", "text": "VARCHAR", "date": "DATE"}
"""Casts to these change no value of the kind."""


def _value(constant: ConstantValue, kind: str) -> Comparable | None:
    """A constant as a value of this kind; None: it is none, or NaN or null."""
    found = (
        _of_constant(constant) if isinstance(constant, Constant) else _of_literal(constant, kind)
    )
    if found is None or found[0] != kind:
        return None
    value = found[1]
    return None if isinstance(value, float) and math.isnan(value) else value


def _of_constant(constant: Constant) -> tuple[str, Comparable] | None:  # noqa: PLR0911
    name, value = constant.type.name, constant.value
    match value:
        case bool():
            return None
        case int() if name in INTEGERS:
            return "number", Fraction(value)
        case int() if name == "DECIMAL" and isinstance(constant.type.arguments[1], int):
            return "number", Fraction(value, 10 ** constant.type.arguments[1])
        case int() if name == "DATE":
            return "date", Fraction(value)
        case int() if name in _MICROS:
            kind, unit = _MICROS[name]
            return kind, value * unit
        case float() if name in {"FLOAT", "DOUBLE"}:
            return "float", value
        case str() if name == "VARCHAR":
            return "text", value
    return None


def _of_literal(literal: Literal, kind: str) -> tuple[str, Comparable] | None:
    value = literal.value
    match literal.type:
        case LiteralType.INT64 if isinstance(value, int):
            return (kind, float(value)) if kind == "float" else ("number", Fraction(value))
        case LiteralType.FLOAT64 if isinstance(value, float):
            return "float", value
        case LiteralType.UTF8 if isinstance(value, str):
            days = _days(value) if kind == "date" else None
            return ("text", value) if days is None else ("date", days)
    return None


def _days(text: str) -> Fraction | None:
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    return Fraction((date - _EPOCH).days) if date.isoformat() == text else None


# --- what is known ---------------------------------------------------------------------------


def of_folder(value: PartitionValue) -> Known:
    """Of a column that a file's path adds."""
    text = value.value
    if text is None:
        return Known(values=False)
    match value.data_type:
        case "Int64":
            number = Fraction(int(text))
            return Known("number", number, number, nulls=False)
        case "Date32":
            days = _days(text)
            return Known("date", days, days, nulls=False)
        case _:
            return Known("text", text, text, nulls=False)


def of_row_group(column: Any) -> Known:
    """Of a `pq.ColumnChunkMetaData` without levels above it: no list, struct or map."""
    found = column.statistics
    if found is None:
        return NOTHING
    nulls = values = True
    if found.has_null_count:
        nulls = found.null_count > 0
        values = found.null_count < column.num_values
    if not found.has_min_max:
        return Known(nulls=nulls, values=values)
    kind, low, high = _extremes(found)
    if low is None or high is None or low > high:
        kind, low, high = "", None, None
    return Known(kind, low, high, nulls, values, cut=kind == "text")


def _extremes(found: Any) -> tuple[str, Any, Any]:  # noqa: PLR0911
    nothing = ("", None, None)
    logical = found.logical_type
    name, physical = logical.type, found.physical_type
    try:
        low, high = found.min_raw, found.max_raw
        match name, physical:
            case "NONE", "FLOAT" | "DOUBLE":
                finite = not (math.isnan(low) or math.isnan(high))
                return ("float", float(low), float(high)) if finite else nothing
            case "NONE", "INT32" | "INT64":
                return "number", Fraction(low), Fraction(high)
            case "INT", "INT32" | "INT64":
                # An unsigned one beyond the half of its range is written as a negative number.
                signed = low >= 0 or '"isSigned":true' in logical.to_json()
                return ("number", Fraction(low), Fraction(high)) if signed else nothing
            case "DATE", "INT32" if _FIRST_DAY <= low <= high <= _LAST_DAY:
                return "date", Fraction(low), Fraction(high)
            case "DECIMAL", _:
                return "number", Fraction(Decimal(found.min)), Fraction(Decimal(found.max))
            case "TIMESTAMP", "INT64":
                said = logical.to_json()
                unit = next((unit for word, unit in _UNITS.items() if word in said), None)
                kind = "timestamptz" if '"isAdjustedToUTC":true' in said else "timestamp"
                return nothing if unit is None else (kind, low * unit, high * unit)
            case "STRING", "BYTE_ARRAY":
                return "text", str(found.min), str(found.max)
    except (ValueError, ArithmeticError, TypeError, NotImplementedError):
        pass  # a text that was cut in the middle of a character, or a type that has no such value
    return nothing


def row_groups(metadata: Any, column: str) -> tuple[Known, ...]:
    """What is known of a top column in each row group of a `pq.FileMetaData`."""
    places = [
        at
        for at in range(metadata.num_columns)
        if metadata.schema.column(at).path == column
        and metadata.schema.column(at).max_repetition_level == 0
    ]
    if len(places) != 1:
        return (NOTHING,) * int(metadata.num_row_groups)
    return tuple(
        of_row_group(metadata.row_group(at).column(places[0]))
        for at in range(metadata.num_row_groups)
    )
