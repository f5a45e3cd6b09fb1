"""Data types and schemas, spelled as Arrow's Rust serializes them.

`DataType.arguments` holds, in the order of the wire: integers (precision, scale, sizes), strings
(time units, interval units, a timezone or None, a union's mode), DataType (dictionaries), Field
(lists, structs, maps), and tuples of these (a struct's fields, a union's (id, field) pairs).
"""

from __future__ import annotations

import re
from typing import Any

from ffq.errors import InvalidPlan
from ffq.plan.codec.cursor import Budget, Cursor, Json
from ffq.plan.codec.shapes import (
    BOOLEAN,
    STRING,
    Codec,
    Key,
    choice,
    integer,
    listing,
    optional,
    pair,
    positional,
    read_variant,
    record,
    single,
    unit,
    write_variant,
)
from ffq.plan.limits import DEFAULT_LIMITS
from ffq.plan.terms import DataType, Field, Schema

_PLAIN = (
    *("Null", "Boolean", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
    *("Float16", "Float32", "Float64", "Date32", "Date64", "Binary", "LargeBinary", "BinaryView"),
    *("Utf8", "LargeUtf8", "Utf8View"),
)
_TIME_UNIT = choice("time unit", "Second", "Millisecond", "Microsecond", "Nanosecond")
_INTERVAL_UNIT = choice("interval unit", "YearMonth", "DayTime", "MonthDayNano")
_SIZE = integer(0, 2**31 - 1)


def _read_type(cursor: Cursor) -> DataType:
    name, arguments = read_variant("data type", _DATA_TYPES, cursor)
    return DataType(name, arguments)


def _write_type(data_type: DataType, budget: Budget) -> Json:
    codec = _DATA_TYPES.get(data_type.name)
    if codec is None:
        raise InvalidPlan(f"unknown data type {data_type.name!r}; known: {', '.join(_DATA_TYPES)}")
    return write_variant(data_type.name, codec, data_type.arguments, budget)


DATA_TYPE: Codec[DataType] = Codec(_read_type, _write_type)

_FIELD_KEYS: Codec[Field] = record(
    Field, Key("name", STRING), Key("data_type", DATA_TYPE), Key("nullable", BOOLEAN)
)


def _write_field(field: Field, budget: Budget) -> Json:
    written = _FIELD_KEYS.write(field, budget)
    assert isinstance(written, dict)
    # Arrow's Rust wants these keys; they say nothing that a plan needs.
    return written | {"dict_id": 0, "dict_is_ordered": False, "metadata": {}}


FIELD: Codec[Field] = Codec(_FIELD_KEYS.read, _write_field)


def _decimal(max_precision: int) -> Codec[tuple[Any, ...]]:
    shape = positional(
        integer(1, max_precision), integer(-max_precision, max_precision), what="precision, scale"
    )

    def read(cursor: Cursor) -> tuple[Any, ...]:
        precision, scale = shape.read(cursor)
        if scale > precision:
            cursor.fail(f"scale {scale} is larger than precision {precision}")
        return precision, scale

    return Codec(read, shape.write)


_DATA_TYPES: dict[str, Codec[tuple[Any, ...]]] = {
    **{name: unit(()) for name in _PLAIN},
    "Timestamp": positional(_TIME_UNIT, optional(STRING), what="time unit, timezone or null"),
    "Time32": single(_TIME_UNIT),
    "Time64": single(_TIME_UNIT),
    "Duration": single(_TIME_UNIT),
    "Interval": single(_INTERVAL_UNIT),
    "FixedSizeBinary": single(_SIZE),
    "List": single(FIELD),
    "ListView": single(FIELD),
    "LargeList": single(FIELD),
    "LargeListView": single(FIELD),
    "FixedSizeList": positional(FIELD, _SIZE, what="field, size"),
    "Struct": single(listing(FIELD)),
    "Union": positional(
        listing(pair(integer(-128, 127), FIELD, "type id, field")),
        choice("union mode", "Sparse", "Dense"),
        what="fields, mode",
    ),
    "Dictionary": positional(DATA_TYPE, DATA_TYPE, what="key type, value type"),
    "Decimal32": _decimal(9),
    "Decimal64": _decimal(18),
    "Decimal128": _decimal(38),
    "Decimal256": _decimal(76),
    "Map": positional(FIELD, BOOLEAN, what="field, keys sorted"),
    "RunEndEncoded": positional(FIELD, FIELD, what="run ends, values"),
}

# `metadata` is not read, and absent fields mean an absent key: nothing to tell apart.
SCHEMA_FIELDS: Codec[tuple[Field, ...]] = listing(FIELD)


def _read_schema(cursor: Cursor) -> Schema:
    return Schema(SCHEMA_FIELDS.read(cursor.field("fields")))


def _write_schema(schema: Schema, budget: Budget) -> Json:
    return {"fields": SCHEMA_FIELDS.write(schema.fields, budget), "metadata": {}}


SCHEMA: Codec[Schema] = Codec(_read_schema, _write_schema)

_SPELLING = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")


def data_type(text: str) -> DataType:
    """A type from its short spelling: `Int64`, `Decimal128(15, 2)`, `Timestamp(Microsecond)`.

    Raises:
        InvalidPlan: no such type, or not these arguments. Nested types have no short spelling.
    """
    match = _SPELLING.fullmatch(text)
    if match is None:
        raise InvalidPlan(f"{text!r} is not a data type; right would be e.g. Decimal128(15, 2)")
    name, inside = match[1], match[2]
    value: Json = name
    if inside is not None:
        words = [word.strip() for word in inside.split(",")]
        arguments: list[Json] = [
            int(word) if re.fullmatch(r"-?\d{1,9}", word) else word for word in words
        ]
        if name == "Timestamp" and len(arguments) == 1:
            arguments.append(None)
        value = {name: arguments if len(arguments) > 1 else arguments[0]}
    return parse_type(value)


def parse_type(value: Json) -> DataType:
    """A type from its parsed JSON."""
    return DATA_TYPE.read(Cursor.root(value, "data type", DEFAULT_LIMITS))
