"""One schema for streams of tasks whose files are of different widths.

The files of one table may have been written with other widths: INT32 here, INT64 there. A task
knows its own files only, and gives out what they have. Where several tasks' streams come together,
a column takes the narrowest type that holds the values of all. Only types whose values hash alike
are brought together (see `ffq.shuffle.hashing`), so that rows stay in the partition they are in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

_MAX_PRECISION: Final = 38
_SIGNED: Final = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_UNSIGNED: Final = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
_UNITS: Final = ("s", "ms", "us")


def wider_schema(first: pa.Schema, others: Iterable[pa.Schema]) -> pa.Schema:
    """`first`, its types widened for the others'; one with other columns is not looked at."""
    types = list(first.types)
    for schema in others:
        order = column_order(schema.names, first.names)
        if order is None:
            continue
        kinds = schema.types  # a new list each time: of wide tables it takes long
        for at, place in enumerate(order):
            types[at] = wider_type(types[at], kinds[place]) or types[at]
    fields = [first.field(at).with_type(kind) for at, kind in enumerate(types)]
    return pa.schema(fields)


def column_order(names: list[str], wanted: list[str]) -> list[int] | None:
    """Where each wanted column stands among `names`; None when they are not the same columns."""
    if names == wanted:
        return list(range(len(names)))
    if sorted(names) != sorted(wanted) or len(set(names)) < len(names):
        return None
    return [names.index(name) for name in wanted]


def wider_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:  # noqa: PLR0911
    """The narrowest type that holds all values of both; None: there is none of their class."""
    if one == other:
        return one
    if pa.types.is_null(one) or pa.types.is_null(other):
        return other if pa.types.is_null(one) else one
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        return _wider_integer(one, other)
    if pa.types.is_floating(one) and pa.types.is_floating(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    if pa.types.is_decimal128(one) and pa.types.is_decimal128(other):
        scale = max(one.scale, other.scale)
        precision = max(one.precision - one.scale, other.precision - other.scale) + scale
        return pa.decimal128(precision, scale) if precision <= _MAX_PRECISION else None
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other) and one.tz == other.tz:
        units = (one.unit, other.unit)
        finer = max(units, key=_UNITS.index) if set(units) <= set(_UNITS) else None
        return pa.timestamp(finer, one.tz) if finer is not None else None
    return _wider_nested(one, other)


def _wider_nested(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Of what a distinct count holds until it is counted; and of what operators give out."""
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields, others = list(one), list(other)
        if [field.name for field in fields] != [field.name for field in others]:
            return None
        types = [wider_type(a.type, b.type) for a, b in zip(fields, others, strict=True)]
        if any(kind is None for kind in types):
            return None
        return pa.struct([a.with_type(kind) for a, kind in zip(fields, types, strict=True)])
    if pa.types.is_map(one) and pa.types.is_map(other):
        key = wider_type(one.key_type, other.key_type)
        item = wider_type(one.item_type, other.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    for is_list, list_of in (
        (pa.types.is_large_list, pa.large_list),
        (pa.types.is_list, pa.list_),
    ):
        if is_list(one) and is_list(other):
            values = wider_type(one.value_type, other.value_type)
            return None if values is None else list_of(values)
    return None


def _wider_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    signs = pa.types.is_signed_integer(one), pa.types.is_signed_integer(other)
    if signs[0] == signs[1]:
        return (_SIGNED if signs[0] else _UNSIGNED)[max(one.bit_width, other.bit_width)]
    signed, unsigned = (one, other) if signs[0] else (other, one)
    return _SIGNED.get(max(signed.bit_width, 2 * unsigned.bit_width))
