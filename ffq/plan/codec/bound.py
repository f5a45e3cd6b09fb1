"""Bound expressions: each shape once, for reading and writing."""

from __future__ import annotations

import math
from typing import Any, Final

from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    BoundFrame,
    BoundKey,
    BoundWindow,
    Call,
    Choice,
    Conjunction,
    Constant,
    Conversion,
    Form,
    FrameEdge,
    Lambda,
    Match,
    Phase,
    Place,
    Scalar,
    Special,
    SqlType,
)
from ffq.plan.codec.cursor import Budget, Cursor, Json, shown
from ffq.plan.codec.shapes import (
    BOOLEAN,
    NAME,
    STRING,
    Codec,
    Key,
    convert,
    enumeration,
    integer,
    listing,
    optional,
    pair,
    read_variant,
    record,
    write_variant,
)

_INDEX: Codec[int] = integer(0, 2**31)
_MOST_DIGITS: Final = 64
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


# --- types -----------------------------------------------------------------------------------
# "BIGINT", or {"DECIMAL": [10, 2]}, {"LIST": ["BIGINT"]}, {"STRUCT": [["a", "BIGINT"]]}.


def _read_type(cursor: Cursor) -> SqlType:
    cursor.budget.spend()
    name, payload = cursor.variant("type")
    if payload.value is None:
        return SqlType(name)
    if name == "ENUM":
        return SqlType(name, tuple(value.string() for value in payload.items()))
    return SqlType(name, tuple(map(_read_argument, payload.items())))


def _read_argument(cursor: Cursor) -> Any:
    value = cursor.value
    if isinstance(value, bool):
        cursor.fail(f"takes no {shown(value)}")
    if isinstance(value, int):
        return cursor.integer(0, 2**31)
    if isinstance(value, list):
        name, kind = cursor.exactly(2, "a pair [name, type]")
        return name.string(), _read_type(kind)
    return _read_type(cursor)


def _write_type(kind: SqlType, budget: Budget) -> Json:
    with budget.nested():
        if not kind.arguments:
            return kind.name
        return {kind.name: [_write_argument(each, budget) for each in kind.arguments]}


def _write_argument(argument: Any, budget: Budget) -> Json:
    if isinstance(argument, SqlType):
        return _write_type(argument, budget)
    if isinstance(argument, tuple):
        return [argument[0], _write_type(argument[1], budget)]
    return argument


SQL_TYPE: Codec[SqlType] = Codec(_read_type, _write_type)


# --- constants -------------------------------------------------------------------------------
# Numbers that JSON's readers may round are written as text: integers beyond 53 bits, and floats.


def _read_value(cursor: Cursor) -> Scalar:
    match cursor.value:
        case None | bool() | str():
            return cursor.value
        case int():
            return cursor.integer(-(2**53), 2**53)
        case list():
            return tuple(map(_read_value, cursor.items()))
        case dict():
            return _read_number(*cursor.variant("constant"))
        case other:
            return cursor.fail(f"want a constant, got {shown(other)}")


def _read_number(name: str, payload: Cursor) -> Scalar:
    text = payload.string()
    if name == "Int" and len(text) <= _MOST_DIGITS and text.lstrip("-").isdecimal():
        return int(text)
    if name != "Float":
        payload.fail(f"unknown constant {shown(name)} of {shown(text)}; known: Int, Float")
    try:
        return _NOT_FINITE[text] if text in _NOT_FINITE else float.fromhex(text)
    except ValueError:
        payload.fail(f"{shown(text)} is no float as hexadecimal digits")


def _write_value(value: Scalar, budget: Budget) -> Json:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else {"Int": str(value)}
    if isinstance(value, float):
        special = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value)
        return {"Float": "NaN" if math.isnan(value) else special or value.hex()}
    with budget.nested():
        return [_write_value(each, budget) for each in value]


_VALUE: Codec[Scalar] = Codec(_read_value, _write_value)


# --- expressions -----------------------------------------------------------------------------


def _read(cursor: Cursor) -> BoundExpr:
    cursor.budget.spend()
    expr: BoundExpr = read_variant("bound expression", _EXPRESSIONS, cursor)[1]
    return expr


def _write(expr: BoundExpr, budget: Budget) -> Json:
    with budget.nested():
        name = type(expr).__name__
        return write_variant(name, _EXPRESSIONS[name], expr, budget)


BOUND: Codec[BoundExpr] = Codec(_read, _write)

CONSTANT: Codec[Constant] = record(Constant, Key("type", SQL_TYPE), Key("value", _VALUE))
_EXPRESSIONS: dict[str, Codec[Any]] = {
    "Place": convert(_INDEX, Place, lambda place: place.index),
    "Constant": CONSTANT,
    "Call": record(
        Call,
        Key("name", NAME),
        Key("args", listing(BOUND)),
        Key("type", SQL_TYPE),
        Key("names", listing(STRING), default=[]),
    ),
    "Conversion": record(
        Conversion, Key("expr", BOUND), Key("to", SQL_TYPE), Key("tries", BOOLEAN, default=False)
    ),
    "Conjunction": record(Conjunction, Key("terms", listing(BOUND)), Key("any", BOOLEAN)),
    "Choice": record(
        Choice,
        Key("branches", listing(pair(BOUND, BOUND, "when, then"))),
        Key("otherwise", BOUND),
    ),
    "Lambda": record(
        Lambda,
        Key("parameters", integer(1, 8)),
        Key("body", BOUND),
        Key("captures", listing(BOUND), default=[]),
    ),
    "Special": record(Special, Key("form", enumeration(Form, "form")), Key("args", listing(BOUND))),
}

BOUND_KEY: Codec[BoundKey] = record(
    BoundKey, Key("expr", BOUND), Key("asc", BOOLEAN), Key("nulls_first", BOOLEAN)
)
BOUND_AGGREGATE: Codec[BoundAggregate] = record(
    BoundAggregate,
    Key("name", STRING),
    Key("args", listing(BOUND)),
    Key("type", SQL_TYPE),
    Key("distinct", BOOLEAN, default=False),
    Key("filter", optional(BOUND), default=None),
    Key("order", listing(BOUND_KEY), default=[]),
    Key("arg_types", listing(SQL_TYPE), default=[]),
)
PHASE: Codec[Phase] = enumeration(Phase, "phase")

MATCH: Codec[Match] = enumeration(Match, "match")
_EDGE: Codec[FrameEdge] = enumeration(FrameEdge, "frame edge")
_FRAME: Codec[BoundFrame] = record(
    BoundFrame,
    Key("units", STRING),
    Key("start", _EDGE),
    Key("end", _EDGE),
    Key("start_distance", optional(BOUND), default=None),
    Key("end_distance", optional(BOUND), default=None),
    Key("exclusion", STRING, default=""),
)
BOUND_WINDOW: Codec[BoundWindow] = record(
    BoundWindow,
    Key("function", BOUND_AGGREGATE),
    Key("partitions", listing(BOUND)),
    Key("order", listing(BOUND_KEY)),
    Key("frame", optional(_FRAME), default=None),
    Key("ignore_nulls", BOOLEAN, default=False),
)
