"""Values of several types: what type holds them all, and how they are compared and hashed alike."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final

import duckdb
from duckdb.sqltypes import DuckDBPyType

from ffq.engine.types import (
    BITS,
    FLOATS,
    INTEGERS,
    MAX_DIGITS,
    NESTED,
    array_length,
    children_of,
    decimal_parts,
    is_enum,
    is_float,
    is_huge,
    is_integer,
    is_nested,
    parts_of,
)

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
    parts, other_parts = parts_of(whole), parts_of(other_whole)
    return (
        len({whole.id, other_whole.id} - {"array"}) <= 1
        and list(parts) == list(other_parts)
        and all(_inside_alike(part, other_parts[name]) for name, part in parts.items())
    )


def _inside_alike(one: str, other: str) -> bool:
    """Text and binary are not alike there: DuckDB reads the escapes in a text."""
    return {one, other} != {"VARCHAR", "BLOB"} and hash_alike(one, other)


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


def common_type_of_files(kinds: Iterable[str]) -> str | None:
    """As `common_type`; besides, whole numbers beside DOUBLE are DOUBLE, as DuckDB has it: scans
    refuse the single value that DOUBLE does not hold.
    """
    found = set(kinds)
    mixed = "DOUBLE" in found and found <= INTEGERS | FLOATS | {'"NULL"'}
    return common_type(found) or ("DOUBLE" if mixed else None)


def _common_number(found: set[str]) -> str | None:
    if found <= INTEGERS:
        sizes = [_integer_bits(kind) for kind in found]
        needed = 1 + max(bits for pair in sizes for bits in pair)
        signed = next((kind for kind in _SIGNED if BITS[kind] >= needed), None)
        if signed is not None:
            return signed
    decimals = [parts for kind in found if (parts := _as_decimal(kind)) is not None]
    if len(decimals) == len(found):
        scale = max(scale for _, scale in decimals)
        digits = max(width - scale for width, scale in decimals) + scale
        return f"DECIMAL({digits},{scale})" if digits <= MAX_DIGITS else None
    return "DOUBLE" if found <= _EXACT_IN_DOUBLE | FLOATS else None


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
    if whole.id in NESTED:
        return common_type(found) or _nested_made_one(
            [parts_of(duckdb.sqltype(kind)) for kind in found], whole
        )
    if is_huge(chosen):
        return common_type(found) or chosen
    return "DOUBLE" if chosen == "FLOAT" else chosen


def _nested_made_one(inside: list[dict[str, str]], chosen: DuckDBPyType) -> str:
    parts = parts_of(chosen)
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
    return {name: str(part) for name, part in children_of(kind).items()}


def apart(kinds: Iterable[str]) -> str:
    """Why DuckDB cannot make one type of these that keeps all values; empty where it can.

    It would cut decimals off, and fail on times beyond the year 2262 where some are of nanoseconds.
    """
    found = set(kinds)
    if nested := [parts_of(duckdb.sqltype(kind)) for kind in found if is_nested(kind)]:
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
    if kind in INTEGERS and into in INTEGERS:
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
    bits = BITS[kind.removeprefix("U")]
    return (0, bits) if kind.startswith("U") else (bits - 1, bits - 1)
