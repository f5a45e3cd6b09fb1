"""Arrow's types as its Rust library names them, in DuckDB's words, and what is inside of them."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

import duckdb
import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from ffq.engine.sql import ColumnInfo, identifier, text
from ffq.errors import DataError, UnsupportedPlan
from ffq.plan.terms import DataType

_SIMPLE: Final = {
    "Null": '"NULL"',
    "Boolean": "BOOLEAN",
    "Int8": "TINYINT",
    "Int16": "SMALLINT",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "UInt8": "UTINYINT",
    "UInt16": "USMALLINT",
    "UInt32": "UINTEGER",
    "UInt64": "UBIGINT",
    "Float16": "FLOAT",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "Utf8": "VARCHAR",
    "LargeUtf8": "VARCHAR",
    "Utf8View": "VARCHAR",
    "Binary": "BLOB",
    "LargeBinary": "BLOB",
    "BinaryView": "BLOB",
    "Date32": "DATE",
    "Date64": "DATE",
}
_TIMESTAMPS: Final = {
    "Second": "TIMESTAMP_S",
    "Millisecond": "TIMESTAMP_MS",
    "Microsecond": "TIMESTAMP",
    "Nanosecond": "TIMESTAMP_NS",
}
BITS: Final = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
INTEGERS: Final = frozenset(sign + kind for sign in ("", "U") for kind in BITS)
FLOATS: Final = frozenset({"FLOAT", "DOUBLE"})
MAX_DIGITS: Final = 38
"""Of a DECIMAL."""
_LARGEST_HUGE: Final = 2**127 - 1
NESTED: Final = frozenset({"struct", "list", "array", "map"})
_TRAVELLING: Final = {
    "varchar": "VARCHAR",  # JSON is a name of it
    "uuid": "VARCHAR",
    "enum": "VARCHAR",
    "time with time zone": "TIME",
    "geometry": "BLOB",
}
"""By DuckDB's ids, types that Arrow does not have in the same words, and what is had instead."""
_CARRIED: Final = {
    "varchar": "VARCHAR",
    "uuid": "VARCHAR",
    "enum": "VARCHAR",
    "bit": "VARCHAR",
    "hugeint": "VARCHAR",
    "uhugeint": "VARCHAR",
    "time with time zone": "VARCHAR",
}
"""Arrow has none of these, or has fewer digits of them."""
_ANY_KEY: Final = duckdb.sqltype("INTEGER")
"""Stands for that of a map without entries, which may have none: Arrow's libraries need one."""
_A_FLOAT: Final = re.compile(r"\b(FLOAT|DOUBLE)\b")
_ARRAY: Final = re.compile(r"\[(\d+)\]$")
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def sql_type(data_type: DataType) -> str:
    """Raises UnsupportedPlan: a type that DuckDB has not."""
    simple = _SIMPLE.get(data_type.name)
    if simple is not None and not data_type.arguments:
        return simple
    match data_type.name, data_type.arguments:
        case (
            ("Decimal32" | "Decimal64" | "Decimal128" | "Decimal256"),
            (int(width), int(scale)),
        ) if 0 <= scale <= width <= 38 and width > 0:
            return f"DECIMAL({width},{scale})"
        case "Timestamp", (str(unit), None) if unit in _TIMESTAMPS:
            return _TIMESTAMPS[unit]
        case "Timestamp", ("Microsecond", str()):
            return "TIMESTAMP WITH TIME ZONE"
        case (("Time32" | "Time64"), ("Second" | "Millisecond" | "Microsecond",)):
            return "TIME"
        case _:
            arguments = f"({', '.join(map(str, data_type.arguments))})" * bool(data_type.arguments)
            raise UnsupportedPlan(f"this engine has no data type {data_type.name}{arguments}")


def is_integer(kind: str) -> bool:
    return kind in INTEGERS


def is_float(kind: str) -> bool:
    return kind in FLOATS


def one_zero(sql: str, kind: str) -> str:
    """The value, -0.0 as 0.0, also inside: of values that are equal, any may be met first."""
    return _one_zero(sql, duckdb.sqltype(kind)) if _A_FLOAT.search(kind) else sql


def _one_zero(sql: str, kind: DuckDBPyType, depth: int = 0) -> str:
    if is_float(str(kind)):
        return f"(CASE WHEN {sql} = 0 THEN CAST(0 AS {kind}) ELSE {sql} END)"
    children = children_of(kind)
    each = f"e{depth}"

    def inside(part: str, name: str) -> str:
        return _one_zero(part, children[name], depth + 1)

    match kind.id:
        case "struct":
            fields = ", ".join(
                f"{identifier(name)} := {inside(f'struct_extract({sql}, {text(name)})', name)}"
                for name in children
            )
            return f"(CASE WHEN {sql} IS NOT NULL THEN struct_pack({fields}) END)"
        case "list" | "array":
            changed = f"list_transform({sql}, lambda {each}: {inside(each, 'child')})"
            return f"CAST({changed} AS {kind})"
        case "map":
            key, value = inside(f"{each}.key", "key"), inside(f"{each}.value", "value")
            entry = f"lambda {each}: struct_pack(key := {key}, value := {value})"
            return f"map_from_entries(list_transform(map_entries({sql}), {entry}))"
        case _:
            return sql


@functools.lru_cache(maxsize=1024)
def has_twin_keys(sql: str, kind: str) -> str:
    """SQL of whether a value is, or holds, a map with a key twice; empty where it cannot be."""
    return _has_twin_keys(sql, duckdb.sqltype(kind)) if "MAP(" in kind else ""


def _has_twin_keys(sql: str, kind: DuckDBPyType, depth: int = 0) -> str:
    children = children_of(kind)
    found = []

    def inside(part: str, name: str) -> None:
        if condition := _has_twin_keys(part, children[name], depth + 1):
            found.append(condition)

    def inside_any(parts: str, name: str) -> None:
        each = f"e{depth}"
        if condition := _has_twin_keys(each, children[name], depth + 1):
            found.append(f"len(list_filter({parts}, lambda {each}: {condition})) > 0")

    match kind.id:
        case "struct":
            for name in children:
                inside(f"struct_extract({sql}, {text(name)})", name)
        case "list" | "array":
            inside_any(sql, "child")
        case "map":
            found.append(f"len(list_distinct(map_keys({sql}))) < cardinality({sql})")
            inside_any(f"map_keys({sql})", "key")
            inside_any(f"map_values({sql})", "value")
    return f"({' OR '.join(found)})" if found else ""


def decimal_parts(kind: str) -> tuple[int, int] | None:
    """Width and scale of a DECIMAL; None for other types."""
    match = _DECIMAL.fullmatch(kind)
    return (int(match[1]), int(match[2])) if match else None


def is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT(", "MAP("))


def varies_in_size(kind: str) -> bool:
    """Whether values may be of any length."""
    return kind in {"VARCHAR", "BLOB"} or is_nested(kind)


def array_length(kind: str) -> int | None:
    """Length of an ARRAY's values; None for other types."""
    match = _ARRAY.search(kind)
    return int(match[1]) if match else None


def struct_fields(kind: str) -> dict[str, object]:
    """Fields of a STRUCT, and in turn of the structs in it; empty for other types."""
    if not kind.startswith("STRUCT("):
        return {}
    return _fields(duckdb.sqltype(kind))


def _fields(kind: DuckDBPyType) -> dict[str, object]:
    if kind.id != "struct":
        return {}
    return {name: _fields(child) for name, child in children_of(kind).items()}


def children_of(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """The types in a nested one, by name; an array has its size among them, which is none."""
    if kind.id not in NESTED:
        return {}
    return {name: child for name, child in kind.children if isinstance(child, DuckDBPyType)}


def travelling(sql: str, kind: str) -> tuple[str, str]:
    """A value, as (SQL, type), as it is given between nodes: of a type that comes back from Arrow.

    So it is the same before an exchange and after it.
    """
    travels = _travelling_type(kind)
    return (sql if travels == kind else f"CAST({sql} AS {travels})"), travels


@functools.lru_cache(maxsize=1024)
def _travelling_type(kind: str) -> str:
    return "BIGINT" if is_huge(kind) else str(_replaced(duckdb.sqltype(kind), _TRAVELLING))


@functools.lru_cache(maxsize=1024)
def carried(kind: str) -> str:
    """The type that values of bound expressions have in an exchange, which Arrow keeps whole.

    Behind it they are cast back, and are what they were.
    """
    return str(_replaced(duckdb.sqltype(kind), _CARRIED))


@functools.lru_cache(maxsize=1024)
def known_type(kind: str) -> str:
    """A type's name as DuckDB writes it. Raises DataError: it is none."""
    try:
        return str(duckdb.sqltype(kind))
    except duckdb.Error as error:
        raise DataError(f"an exchange has a column of the unknown type {kind[:100]!r}") from error


def _replaced(kind: DuckDBPyType, types: Mapping[str, str]) -> DuckDBPyType:
    inner = {name: _replaced(child, types) for name, child in children_of(kind).items()}
    match kind.id:
        case "struct":
            return duckdb.struct_type(inner)
        case "list" | "array":
            return duckdb.sqltype(f"{inner['child']}[{array_length(str(kind)) or ''}]")
        case "map":
            keyless = types is _CARRIED and str(inner["key"]) == '"NULL"'
            return duckdb.map_type(_ANY_KEY if keyless else inner["key"], inner["value"])
        case "tuple" if types is _CARRIED:
            parts = (_replaced(part, types) for part in _parts(kind))
            return duckdb.struct_type({f"element{at}": part for at, part in enumerate(parts, 1)})
        case "union" if types is _CARRIED:
            names = [name for name, _ in kind.children[1:]]  # the first one is its tag
            parts = (_replaced(part, types) for part in _parts(kind)[1:])
            return duckdb.union_type(dict(zip(names, parts, strict=True)))
        case other:
            return duckdb.sqltype(types.get(other, str(kind)))


def _parts(kind: DuckDBPyType) -> list[DuckDBPyType]:
    return [part for _, part in kind.children if isinstance(part, DuckDBPyType)]


@functools.lru_cache(maxsize=1024)
def holds_variants(kind: str) -> bool:
    """Whether values are, or hold, VARIANTs: Arrow makes structs of bytes of them."""
    return _holds_variants(duckdb.sqltype(kind))


def _holds_variants(kind: DuckDBPyType) -> bool:
    return kind.id == "variant" or any(map(_holds_variants, children_of(kind).values()))


def is_date(kind: str) -> bool:
    return kind == "DATE"


def is_enum(kind: str) -> bool:
    return kind.startswith("ENUM(")


def is_huge(kind: str) -> bool:
    return kind in {"HUGEINT", "UHUGEINT"}


def unkept(kind: pa.DataType) -> str:
    """Why DuckDB would change values of an Arrow type without a word; empty where it would not."""
    if pa.types.is_duration(kind):
        return "a duration loses its unit; right would be a number of a known unit, Int64"
    if pa.types.is_decimal256(kind) and kind.precision > MAX_DIGITS:
        return f"a decimal of more than {MAX_DIGITS} digits becomes a float"
    if pa.types.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        alike = Counter(name.lower() for name in names)
        twins = [name for name in names if alike[name.lower()] > 1]
        if twins:
            listed = ", ".join(map(repr, twins))
            return f"its fields {listed} differ at most in case, and would get other names"
    below = (kind.field(at).type for at in range(kind.num_fields))
    return next(filter(None, map(unkept, below)), "")


def parts_of(kind: DuckDBPyType) -> dict[str, str]:
    """The types inside a nested type; for DuckDB the case of a field's name does not count."""
    return {name.lower(): str(part) for name, part in children_of(kind).items()}


def within_digits(sql: str, column: ColumnInfo) -> str:
    """A result: Arrow has such whole numbers as decimals, and would wrap what has more digits."""
    if column.type != "UHUGEINT":
        return sql
    why = text(f"column {column.name!r}: a UHUGEINT of more than {_LARGEST_HUGE}")
    return f"CASE WHEN {sql} > {_LARGEST_HUGE}::UHUGEINT THEN error({why}) ELSE {sql} END"
