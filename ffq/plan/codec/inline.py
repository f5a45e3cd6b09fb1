"""Inline tables: their bytes in base64, and never more of them than may travel."""

from __future__ import annotations

import base64
import binascii

from ffq.plan.codec.cursor import Budget, Cursor, Json
from ffq.plan.codec.shapes import NAME, Codec
from ffq.plan.inline import InlineTable, too_large


def _read(cursor: Cursor) -> tuple[InlineTable, ...]:
    found: dict[str, Cursor] = {}
    for each in cursor.items():
        each.budget.spend()
        name = NAME.read(each.field("name"))
        if name in found:
            each.fail(f"table {name!r} stands twice")
        found[name] = each.field("parquet")
    # Size before sense: nothing is decoded of what is too large.
    if reason := too_large({name: _size(text.string()) for name, text in found.items()}):
        cursor.fail(reason)
    return tuple(InlineTable(name, _decoded(text)) for name, text in found.items())


def _size(text: str) -> int:
    return len(text) // 4 * 3 - text[-2:].count("=")


def _decoded(cursor: Cursor) -> bytes:
    try:
        return base64.b64decode(cursor.string(), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: it is not even ASCII
        cursor.fail(f"no base64: {error}")


def _write(tables: tuple[InlineTable, ...], budget: Budget) -> Json:
    del budget
    return [
        {"name": each.name, "parquet": base64.b64encode(each.parquet).decode()} for each in tables
    ]


INLINE_TABLES: Codec[tuple[InlineTable, ...]] = Codec(_read, _write)
