"""Values that are written as text or JSON: SQL that makes them, and refuses what is none.

DuckDB rounds the text 2.5 to 3 where an integer is wanted, cuts 2.5 to 2 in JSON, makes true of 5
and drops a date's time. What a sample of a file did not show must not change what stands in it, so
a value that its type does not hold is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import duckdb
from duckdb.sqltypes import DuckDBPyType

from ffq.engine.sql import identifier, text
from ffq.engine.types import INTEGERS, children_of, decimal_parts, is_float

PLACE: Final = "ffq file"
"""What the column is called that says which file a row is of."""
_ISO_DATE: Final = "%Y-%m-%d"
_ISO_TIMESTAMP: Final = r"\s*\d{4,6}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?Z?)?\s*"
_BOOLEANS: Final = "('true', 'false', 't', 'f', 'yes', 'no', 'y', 'n')"
_SHOWN: Final = 60


def read_as_it_is(kind: str) -> bool:
    """Whether DuckDB itself reads texts as values of this type, or refuses them."""
    return kind in {"VARCHAR", "JSON"} or is_float(kind)


@attrs.frozen
class ValueWriter:
    """options: of the table: the forms of dates and timestamps."""

    table: str
    options: Mapping[str, str]

    def of_text(self, value: str, kind: str, column: str) -> str:
        """A text as a value of a plain type."""
        if read_as_it_is(kind):
            return value
        return self._checked(self._of_text(value, kind), value, kind, column)

    def of_json(self, value: str, kind: str, column: str) -> str:
        """A JSON value as one of any type."""
        return self._of_json(value, duckdb.sqltype(kind), column, 0)

    def _checked(self, made: str, value: str, kind: str, column: str) -> str:
        """`made`, which is null where the value is none of the type."""
        shown = kind if len(kind) <= _SHOWN else f"{kind[:_SHOWN]}…"
        where = text(f"table {self.table!r}, column {column!r}: ")
        why = text(f" is no {shown}; right would be another type in the table's schema or options")
        said = (
            f"{where} || left(CAST({value} AS VARCHAR), {_SHOWN}) || ' in ' || "
            f"{identifier(PLACE)} || {why}"
        )
        refused = f"CASE WHEN {value} IS NOT NULL THEN CAST(error({said}) AS {kind}) END"
        return f"coalesce({made}, {refused})"

    def _of_text(self, value: str, kind: str) -> str:  # noqa: PLR0911
        made = f"TRY_CAST({value} AS {kind})"
        if kind in INTEGERS:
            exact = f"NOT contains({value}, '.') AND NOT contains(lower({value}), 'e')"
            return f"CASE WHEN {exact} THEN {made} END"
        if parts := decimal_parts(kind):
            exact = (
                f"NOT contains(lower({value}), 'e') AND "
                f"length(rtrim(split_part(trim({value}), '.', 2), '0')) <= {parts[1]}"
            )
            return f"CASE WHEN {exact} THEN {made} END"
        if kind == "DATE":
            form = self.options.get("dateformat", _ISO_DATE)
            return f"CAST(try_strptime({value}, {text(form)}) AS DATE)"
        if kind == "TIMESTAMP":
            if said := self.options.get("timestampformat"):
                return f"CAST(try_strptime({value}, {text(said)}) AS TIMESTAMP)"
            exact = f"regexp_full_match({value}, {text(_ISO_TIMESTAMP)})"
            return f"CASE WHEN {exact} THEN {made} END"
        if kind == "BOOLEAN":
            return f"CASE WHEN lower(trim({value})) IN {_BOOLEANS} THEN {made} END"
        return made

    def _of_json(self, value: str, kind: DuckDBPyType, column: str, depth: int) -> str:
        """Each part of a nested value is bound to a name: written twice, it would grow at each."""
        name = f"v{depth}"
        made = self._of_part(name, kind, column, depth)
        made = f"CASE WHEN json_type({name}) <> 'NULL' THEN {made} END"
        return f"list_transform([{value}], lambda {name}: {made})[1]"

    def _of_part(self, name: str, kind: DuckDBPyType, column: str, depth: int) -> str:
        written = str(kind)
        inside = children_of(kind)

        def part(value: str, child: str) -> str:
            return self._of_json(value, inside[child], column, depth + 1)

        wanted: tuple[str, ...]
        match kind.id:
            case "struct":
                fields = ", ".join(
                    f"{identifier(field)} := {part(f'({name} -> {_pointer(field)})', field)}"
                    for field in inside
                )
                made, wanted = f"struct_pack({fields})", ("OBJECT",)
            case "list" | "array":
                each = f"e{depth}"
                items = f"list_transform(CAST({name} AS JSON[]), lambda {each}: "
                made, wanted = f"{items}{part(each, 'child')})", ("ARRAY",)
            case "map":
                each = f"e{depth}"
                entries = f"map_entries(CAST({name} AS MAP(VARCHAR, JSON)))"
                key = f"CAST({each}.key AS {inside['key']})"
                pair = f"struct_pack(key := {key}, value := {part(f'{each}.value', 'value')})"
                made = f"map_from_entries(list_transform({entries}, lambda {each}: {pair}))"
                wanted = ("OBJECT",)
            case "boolean":
                made, wanted = f"TRY_CAST({name} AS BOOLEAN)", ("BOOLEAN",)
            case _ if written in INTEGERS:
                made, wanted = f"TRY_CAST({name} AS {written})", ("UBIGINT", "BIGINT")
            case _ if is_float(written):
                made, wanted = f"TRY_CAST({name} AS {written})", ("UBIGINT", "BIGINT", "DOUBLE")
            case _ if written == "JSON":
                return name
            case _:
                return self.of_text(f"({name} ->> '$')", written, column)
        among = ", ".join(map(text, wanted))
        made = f"CASE WHEN json_type({name}) IN ({among}) THEN CAST({made} AS {written}) END"
        return self._checked(made, name, written, column)


def _pointer(field: str) -> str:
    return text("/" + field.replace("~", "~0").replace("/", "~1"))
