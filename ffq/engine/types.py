"""Arrow's types as its Rust library names them, in DuckDB's words, and classes of SQL types."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

import duckdb
import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from ffq.engine.sql import identifier, text
from ffq.errors import UnsupportedPlan
from ffq.plan.model import DataType

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
_BITS: Final = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_INTEGERS: Final = frozenset(sign + kind for sign in ("", "U") for kind in _BITS)
_FLOATS: Final = frozenset({"FLOAT", "DOUBLE"})
_SIGNED: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_DIGITS: Final = {
    "TINYINT": 3,
    "UTINYINT": 3,
    "SMALLINT": 5,
    "USMALLINT": 5,
    "INTEGER": 10,
    "UINTEGER": 10,
    "BIGINT": 19,
    "UBIGINT": 20,
}
MAX_DIGITS: Final = 38
"""Of a DECIMAL."""
_EXACT_IN_DOUBLE: Final = frozenset(sign + kind for sign in ("", "U") for kind in _SIGNED[:3])
_LOSSLESS: Final = frozenset(
    {
        *((kind, "DOUBLE") for kind in _EXACT_IN_DOUBLE),
        ("FLOAT", "DOUBLE"),
        ("VARCHAR", "DATE"),
        ("TIMESTAMP_S", "TIMESTAMP"),
        ("TIMESTAMP_MS", "TIMESTAMP"),
    }
)
_CLASSES: Final = frozenset({"exact number", "float", "date or timestamp", "text or binary"})
COMPARABLE_CLASSES: Final = (
    {"exact number", "float"},
    {"text or binary", "date or timestamp"},
)
"""Classes of types whose values SQL compares although they hash differently."""
_NANOSECONDS: Final = frozenset({"TIMESTAMP_NS", "TIMESTAMPTZ_NS"})
_EPOCH: Final = "DATE '1970-01-01'"
_NESTED: Final = frozenset({"struct", "list", "array", "map"})
_TRAVELLING: Final = {
    "varchar": "VARCHAR",  # JSON is a name of it
    "uuid": "VARCHAR",
    "enum": "VARCHAR",
    "time with time zone": "TIME",
    "geometry": "BLOB",
}
"""By DuckDB's ids, types that Arrow does not have in the same words, and what is had instead."""
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
    return kind in _INTEGERS


def is_float(kind: str) -> bool:
    return kind in _FLOATS


def one_zero(sql: str, kind: str) -> str:
    """The value, -0.0 as 0.0, also inside: of values that are equal, any may be met first."""
    return _one_zero(sql, duckdb.sqltype(kind)) if _A_FLOAT.search(kind) else sql


def _one_zero(sql: str, kind: DuckDBPyType, depth: int = 0) -> str:
    if is_float(str(kind)):
        return f"(CASE WHEN {sql} = 0 THEN CAST(0 AS {kind}) ELSE {sql} END)"
    children = _children(kind)
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
    children = _children(kind)
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
    return {name: _fields(child) for name, child in _children(kind).items()}


def _children(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """The types in a nested one, by name; an array has its size among them, which is none."""
    if kind.id not in _NESTED:
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
    return "BIGINT" if is_huge(kind) else str(_travelling(duckdb.sqltype(kind)))


def _travelling(kind: DuckDBPyType) -> DuckDBPyType:
    inner = {name: _travelling(child) for name, child in _children(kind).items()}
    match kind.id:
        case "struct":
            return duckdb.struct_type(inner)
        case "list" | "array":
            return duckdb.sqltype(f"{inner['child']}[{array_length(str(kind)) or ''}]")
        case "map":
            return duckdb.map_type(inner["key"], inner["value"])
        case other:
            return duckdb.sqltype(_TRAVELLING.get(other, str(kind)))


@functools.lru_cache(maxsize=1024)
def holds_variants(kind: str) -> bool:
    """Whether values are, or hold, VARIANTs: Arrow makes structs of bytes of them."""
    return _holds_variants(duckdb.sqltype(kind))


def _holds_variants(kind: DuckDBPyType) -> bool:
    return kind.id == "variant" or any(map(_holds_variants, _children(kind).values()))


def is_date(kind: str) -> bool:
    return kind == "DATE"


def is_enum(kind: str) -> bool:
    return kind.startswith("ENUM(")


def is_huge(kind: str) -> bool:
    return kind in {"HUGEINT", "UHUGEINT"}


def hash_class(kind: str) -> str:
    """Types of one class hash alike where their values are equal (see ffq.shuffle.hashing).

    Of nested types each is a class of its own; what is inside tells (see `hash_alike`).
    """
    if is_nested(kind):
        return kind
    if is_integer(kind) or decimal_parts(kind) or kind == "BOOLEAN":
        return "exact number"
    if is_float(kind):
        return "float"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "date or timestamp"
    if kind in {"VARCHAR", "BLOB"} or is_enum(kind):
        return "text or binary"
    return kind


@functools.lru_cache(maxsize=1024)
def hash_alike(one: str, other: str) -> bool:
    """Whether values of these types hash alike where they are equal, also inside."""
    if '"NULL"' in {one, other}:
        return True
    if not (is_nested(one) and is_nested(other)):
        return hash_class(one) == hash_class(other)
    whole, other_whole = duckdb.sqltype(one), duckdb.sqltype(other)
    parts, other_parts = _parts(whole), _parts(other_whole)
    return (
        len({whole.id, other_whole.id} - {"array"}) <= 1
        and list(parts) == list(other_parts)
        and all(_inside_alike(part, other_parts[name]) for name, part in parts.items())
    )


def _inside_alike(one: str, other: str) -> bool:
    """Text and binary are not alike there: DuckDB reads the escapes in a text."""
    return {one, other} != {"VARCHAR", "BLOB"} and hash_alike(one, other)


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


def common_type(kinds: Iterable[str]) -> str | None:
    """The narrowest type that holds every value of all, in whatever order; None: there is none."""
    found = set(kinds) - {'"NULL"'}
    if not found:
        return '"NULL"'
    if len(found) > 1 or is_enum(next(iter(found))):
        texts = {kind for kind in found if kind == "VARCHAR" or is_enum(kind)}
        if texts and found - texts <= {"DATE"}:  # a text may be no date, a date is a text
            return "VARCHAR"
    for kind in sorted(found):
        if all(fits(other, kind) for other in found):
            return kind
    if all(map(is_nested, found)):
        return _common_nested([duckdb.sqltype(kind) for kind in sorted(found)])
    return _common_number(found)


def _common_number(found: set[str]) -> str | None:
    if found <= _INTEGERS:
        sizes = [_integer_bits(kind) for kind in found]
        needed = 1 + max(bits for pair in sizes for bits in pair)
        signed = next((kind for kind in _SIGNED if _BITS[kind] >= needed), None)
        if signed is not None:
            return signed
    decimals = [parts for kind in found if (parts := _as_decimal(kind)) is not None]
    if len(decimals) == len(found):
        scale = max(scale for _, scale in decimals)
        digits = max(width - scale for width, scale in decimals) + scale
        return f"DECIMAL({digits},{scale})" if digits <= MAX_DIGITS else None
    return "DOUBLE" if found <= _EXACT_IN_DOUBLE | _FLOATS else None


def _common_nested(kinds: list[DuckDBPyType]) -> str | None:
    """Lists of one length or of any, structs of the same fields, maps."""
    inside = [_exact_parts(kind) for kind in kinds]
    names = list(inside[0])
    if len({kind.id for kind in kinds} - {"array"}) > 1 or any(
        parts.keys() != set(names) for parts in inside
    ):
        return None
    common = {name: common_type(parts[name] for parts in inside) for name in names}
    if None in common.values():
        return None
    made = {name: str(part) for name, part in common.items()}
    match kinds[0].id:
        case "struct":
            return str(duckdb.struct_type({name: duckdb.sqltype(made[name]) for name in names}))
        case "map":
            return f"MAP({made['key']}, {made['value']})"
        case _:
            lengths = {array_length(str(kind)) for kind in kinds}
            length = lengths.pop() if len(lengths) == 1 else None
            return f"{made['child']}[{length or ''}]"


def made_one(kinds: Iterable[str], chosen: str) -> str:
    """The type that values of these types become, where DuckDB would make `chosen` of them.

    It makes a HUGEINT of UBIGINT and BIGINT, a type that Arrow has not, and a FLOAT of a Float32
    and an exact number, which that would round; also inside structs and lists. Of lists of one
    length and of others it makes lists of one length, which do not hold them all.
    """
    found = set(kinds) - {'"NULL"'}
    if found <= {chosen}:
        return chosen
    whole = duckdb.sqltype(chosen)
    if whole.id in _NESTED:
        return common_type(found) or _nested_made_one(
            [_parts(duckdb.sqltype(kind)) for kind in found], whole
        )
    if is_huge(chosen):
        return common_type(found) or chosen
    return "DOUBLE" if chosen == "FLOAT" else chosen


def _nested_made_one(inside: list[dict[str, str]], chosen: DuckDBPyType) -> str:
    parts = _parts(chosen)
    made = [
        made_one([kind[name] for kind in inside if name in kind], part)
        for name, part in parts.items()
    ]
    if made == list(parts.values()):
        return str(chosen)
    match chosen.id:
        case "struct":
            fields = zip(
                (name for name, _ in chosen.children), map(duckdb.sqltype, made), strict=True
            )
            return str(duckdb.struct_type(dict(fields)))
        case "map":
            return f"MAP({', '.join(made)})"
        case _:  # what follows the type of its items is its length
            return made[0] + str(chosen).removeprefix(parts["child"])


def _exact_parts(kind: DuckDBPyType) -> dict[str, str]:
    return {name: str(part) for name, part in _children(kind).items()}


def _parts(kind: DuckDBPyType) -> dict[str, str]:
    """The types inside a nested type; for DuckDB the case of a field's name does not count."""
    return {name.lower(): str(part) for name, part in _children(kind).items()}


def apart(kinds: Iterable[str]) -> str:
    """Why DuckDB cannot make one type of these that keeps all values; empty where it can.

    It would cut decimals off, and fail on times beyond the year 2262 where some are of nanoseconds.
    """
    found = set(kinds)
    if nested := [_parts(duckdb.sqltype(kind)) for kind in found if is_nested(kind)]:
        inside = ([parts[name] for parts in nested if name in parts] for name in nested[0])
        return next(filter(None, map(_apart_inside, inside)), "")
    exact = {kind for kind in found if _as_decimal(kind) is not None}
    if any(map(decimal_parts, exact)) and common_type(exact) is None:
        return f"no type in common of at most {MAX_DIGITS} digits"
    times = {kind for kind in found if hash_class(kind) == "date or timestamp"}
    if len({kind in _NANOSECONDS for kind in times}) > 1:
        return "no type in common that holds the times of all"
    return ""


def _apart_inside(kinds: list[str]) -> str:
    """As `apart`. Of a text DuckDB would also read the escapes, beside a binary, or a date."""
    if "VARCHAR" in kinds and set(kinds) - {"VARCHAR", '"NULL"'}:
        return "texts and others inside"
    return apart(kinds)


def remedy(kinds: Iterable[str]) -> str:
    """What to do about types that do not go together."""
    if any(map(is_nested, kinds)):
        return "right would be one type to begin with, as there are no casts to nested types"
    return "cast one of them"


def of_nanoseconds(kind: str, kinds: Iterable[str]) -> str | None:
    """The one of these types that is finer than a date's or time's; None where none is."""
    if hash_class(kind) != "date or timestamp" or kind in _NANOSECONDS:
        return None
    return next((each for each in kinds if each in _NANOSECONDS), None)


def comparable(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str] | None:
    """Two values, each as (SQL, type), as what DuckDB compares rightly; None: they are not alike.

    Text and binary are equal where their bytes are: DuckDB would read the escapes in a text. A
    Float32 beside a whole or decimal number is compared as a Float64: the other would be rounded.
    Exact numbers and times that have no type in common are compared in parts; lists, maps and
    structs are not compared then.
    """
    (a, a_kind), (b, b_kind) = one, other
    nested = {is_nested(kind) for kind in (a_kind, b_kind) if kind != '"NULL"'}
    if len(nested) > 1:
        return None
    if True not in nested or len({a_kind, b_kind} - {'"NULL"'}) == 1:
        return _plain_comparable(one, other)
    common = None if apart((a_kind, b_kind)) else common_type((a_kind, b_kind))
    return None if common is None else (f"CAST({a} AS {common})", f"CAST({b} AS {common})")


def _plain_comparable(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str] | None:
    (a, a_kind), (b, b_kind) = one, other
    classes = {hash_class(a_kind), hash_class(b_kind)}
    if {a_kind, b_kind} == {"VARCHAR", "BLOB"}:
        return (f"encode({a})", b) if a_kind == "VARCHAR" else (a, f"encode({b})")
    if classes == {"exact number", "float"}:
        return unrounded(a, a_kind, b_kind), unrounded(b, b_kind, a_kind)
    if classes == {"exact number"} and any(map(decimal_parts, (a_kind, b_kind))):
        if common_type((a_kind, b_kind)) is None:
            return _whole_and_fraction(a, a_kind), _whole_and_fraction(b, b_kind)
    elif classes == {"date or timestamp"} and apart((a_kind, b_kind)):
        return _nanoseconds(a, a_kind), _nanoseconds(b, b_kind)
    if len(classes) == 1 or '"NULL"' in classes or classes in COMPARABLE_CLASSES:
        return a, b
    return None if classes <= _CLASSES else (a, b)


def _whole_and_fraction(sql: str, kind: str) -> str:
    """A struct, whose order is that of the numbers: both parts have the sign."""
    whole, fraction = "v", "0"
    if decimal_parts(kind):
        whole = "trunc(v)"
        fraction = f"v - CAST(trunc(v) AS {kind})"
    return once(
        sql,
        f"struct_pack(whole := CAST({whole} AS HUGEINT), "
        f"fraction := CAST({fraction} AS DECIMAL({MAX_DIGITS},{MAX_DIGITS})))",
    )


def _nanoseconds(sql: str, kind: str) -> str:
    """Since 1970, of a time or date; an infinite one is farther than any other."""
    if kind == "DATE":
        days = f"CASE WHEN NOT isinf(v) THEN v - {_EPOCH} END"
        since = f"CAST({days} AS HUGEINT) * {24 * 3600 * 10**9}"
    elif kind in _NANOSECONDS:
        since = "CAST(epoch_ns(v) AS HUGEINT)"
    else:
        time = "v" if kind.endswith("ZONE") else "CAST(v AS TIMESTAMP)"
        since = f"CAST(epoch_us({time}) AS HUGEINT) * 1000"
    far = f"CASE WHEN v > {_EPOCH} THEN {2**126} ELSE {-(2**126)} END"
    return once(sql, f"coalesce({since}, {far})")


def once(sql: str, made: str) -> str:
    """What is made of a value `v`, null of null.

    Written twice at each depth of a plan, values would make its SQL exponentially long.
    """
    made = f"CASE WHEN v IS NOT NULL THEN {made} END"
    return f"list_transform([{sql}], lambda v: {made})[1]"


def unrounded(sql: str, kind: str, beside: str) -> str:
    """A value beside one of another type: a Float32 that would round it as a Float64."""
    wanted = kind == "FLOAT" and hash_class(beside) == "exact number"
    return f"CAST({sql} AS DOUBLE)" if wanted else sql


def _as_decimal(kind: str) -> tuple[int, int] | None:
    """Width and scale of the decimal that holds an exact number."""
    digits = _DIGITS.get(kind)
    return decimal_parts(kind) if digits is None else (digits, 0)


def fits(kind: str, into: str) -> bool:
    """Whether a cast from `kind` to `into` keeps every value; text may turn out to be no date."""
    if is_nested(kind) and is_nested(into):
        return _nested_fits(kind, into)
    return kind in {into, '"NULL"'} or _plain_fits(kind, into)


def _plain_fits(kind: str, into: str) -> bool:
    if kind in _INTEGERS and into in _INTEGERS:
        low, high = _integer_bits(kind)
        into_low, into_high = _integer_bits(into)
        return low <= into_low and high <= into_high
    from_decimal, to_decimal = decimal_parts(kind), decimal_parts(into)
    if to_decimal and kind in _DIGITS:
        return _DIGITS[kind] <= to_decimal[0] - to_decimal[1]
    if from_decimal and to_decimal:
        whole = from_decimal[0] - from_decimal[1]
        return from_decimal[1] <= to_decimal[1] and whole <= to_decimal[0] - to_decimal[1]
    if into == "VARCHAR":
        return kind == "DATE" or is_enum(kind)
    return (kind, into) in _LOSSLESS


@functools.lru_cache(maxsize=1024)
def _nested_fits(kind: str, into: str) -> bool:
    whole, into_whole = duckdb.sqltype(kind), duckdb.sqltype(into)
    if into_whole.id != whole.id and (whole.id, into_whole.id) != ("array", "list"):
        return False
    if array_length(into) not in {None, array_length(kind)}:
        return False
    parts, into_parts = _exact_parts(whole), _exact_parts(into_whole)
    return parts.keys() == into_parts.keys() and all(
        fits(part, into_parts[name]) and (part, into_parts[name]) != ("VARCHAR", "DATE")
        for name, part in parts.items()
    )


def _integer_bits(kind: str) -> tuple[int, int]:
    """Bits below zero and above it."""
    bits = _BITS[kind.removeprefix("U")]
    return (0, bits) if kind.startswith("U") else (bits - 1, bits - 1)
