"""Values of parameters as literals of SQL, with their types: no text of a caller is ever pasted."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from ffq.engine.sql import identifier, text
from ffq.errors import InvalidRequest, words
from ffq.sql.parameters import MICROSECOND, Pairs, Value, decimal_type, integer_type


def literal(value: Value, name: str) -> str:
    """The value as an expression of SQL that stands where a parameter may.

    Not in brackets: of a list they would make one that has it as its only item, as in `IN (...)`.

    Raises:
        InvalidRequest: no type of SQL holds it.
    """
    try:
        return _literal(value, name)
    except OverflowError:
        raise InvalidRequest(f"{name}: {words(value, 60)} is out of range in UTC") from None


def _literal(value: Value, name: str) -> str:  # noqa: PLR0911
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return f"CAST({value} AS {integer_type(value, name)})"
        case float():
            return f"CAST('{value!r}' AS DOUBLE)"
        case str():
            return text(value)
        case bytes():
            return f"from_hex('{value.hex()}')" if value else "CAST('' AS BLOB)"
        case Decimal():
            kind = decimal_type(value, name)  # before it is written: it may say 10^999999
            return f"CAST('{value:f}' AS {kind})"
        case uuid.UUID():
            return f"CAST('{value}' AS UUID)"
        case Pairs():
            keys = ", ".join(_literal(key, name) for key, _ in value)
            values = ", ".join(_literal(one, name) for _, one in value)
            return f"MAP([{keys}], [{values}])"
        case list():
            return f"[{', '.join(_literal(one, name) for one in value)}]"
        case dict():
            fields = (f"{identifier(key)} := {_literal(one, name)}" for key, one in value.items())
            return f"struct_pack({', '.join(fields)})"
        case _:
            return _moment(value)


def _moment(value: dt.date | dt.time | dt.timedelta) -> str:
    match value:
        case dt.datetime(tzinfo=None):
            return f"CAST('{value.isoformat(' ')}' AS TIMESTAMP)"
        case dt.datetime():
            utc = value.astimezone(dt.UTC).replace(tzinfo=None)
            return f"CAST('{utc.isoformat(' ')}+00' AS TIMESTAMPTZ)"
        case dt.date():
            return f"CAST('{value.isoformat()}' AS DATE)"
        case dt.time():
            kind = "TIME" if value.tzinfo is None else "TIMETZ"
            return f"CAST('{value.isoformat()}' AS {kind})"
        case _:
            rest = value - dt.timedelta(days=value.days)
            parts = f"{value.days} days {rest // MICROSECOND} microseconds"
            return f"CAST('{parts}' AS INTERVAL)"
