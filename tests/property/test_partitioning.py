"""The vectorised hash agrees with its specification, written naively, for any keys."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ffq.shuffle.hashing import hash_rows, partition_batch, partition_of_rows

MASK = 2**64 - 1


def mix(x: int) -> int:
    x &= MASK
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def exact(unscaled: int, scale: int) -> int:
    while scale > 0 and unscaled % 10 == 0:
        unscaled, scale = unscaled // 10, scale - 1
    if not -(2**63) <= unscaled < 2**63:
        return digest(f"{unscaled}e-{scale}".encode())
    return mix(mix(unscaled) + scale) if scale else mix(unscaled)


def word(value: object) -> int:  # noqa: PLR0911, PLR0912
    match value:
        case None:
            return 0x9E3779B97F4A7C15
        case bool() | int():
            return exact(int(value), 0)
        case Decimal():
            sign, digits, exponent = value.as_tuple()
            unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
            return exact(unscaled * 10 ** max(0, int(exponent)), max(0, -int(exponent)))
        case float():
            if math.isnan(value):
                return mix(0x7FF8000000000000)
            return mix(struct.unpack("<Q", struct.pack("<d", value + 0.0))[0])
        case str():
            data = value.encode()
            if len(data) > 128:
                return digest(data)
            state = mix(len(data) + 1)
            for at in range(0, len(data), 8):
                chunk = int.from_bytes(data[at : at + 8], "little")
                state = mix((state ^ chunk) + 0x9E3779B97F4A7C15)
            return state
        case pa.MonthDayNano():
            days = value.months * 30 + value.days
            return mix(days * 86_400_000_000 + value.nanoseconds // 1_000)
        case dict() | tuple():  # a struct, or an entry of a map
            return row_word(value.values() if isinstance(value, dict) else value)
        case list():
            words = [word(each) for each in value]
            if len(words) > 128:
                return digest(struct.pack(f"<{len(words)}Q", *words))
            state = mix(len(words) + 1)
            for each in words:
                state = mix(state * 31 + each)
            return state
    raise AssertionError(value)


def row_word(values: Iterable[object]) -> int:
    state = 0
    for value in values:
        state = mix(state * 31 + word(value))
    return state


def naive(rows: list[tuple[object, ...]]) -> list[int]:
    return [row_word(row) for row in rows]


INTEGERS = st.none() | st.integers(-(2**63), 2**63 - 1)
STRUCTS = st.fixed_dictionaries({"f": st.none() | st.floats(), "s": st.none() | st.text()})
STRUCT = pa.struct([("f", pa.float64()), ("s", pa.string())])
INTERVALS = st.builds(
    pa.MonthDayNano,
    st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 2, st.integers(-(2**63), 2**63 - 1)),
)

KEY_COLUMNS = st.sampled_from(
    [
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float64(), st.floats()),
        (pa.bool_(), st.booleans()),
        (pa.string(), st.text(max_size=20) | st.text(min_size=100, max_size=150)),
        (pa.string_view(), st.text(max_size=20)),
        (pa.decimal128(38, 6), st.decimals(-(10**31), 10**31, places=6)),
        (pa.decimal128(15, 2), st.decimals(-(10**12), 10**12, places=2)),
        (pa.month_day_nano_interval(), INTERVALS),
        (pa.list_(pa.int64()), st.lists(INTEGERS, max_size=4)),
        (pa.large_list(pa.int16()), st.integers(127, 130).map(lambda length: [*range(length)])),
        (pa.list_(pa.bool_(), 2), st.lists(st.none() | st.booleans(), min_size=2, max_size=2)),
        (STRUCT, STRUCTS),
        (pa.list_(STRUCT), st.lists(st.none() | STRUCTS, max_size=3)),
        (
            pa.map_(pa.string(), pa.list_(pa.int64())),
            st.lists(st.tuples(st.text(), st.none() | st.lists(INTEGERS, max_size=2)), max_size=3),
        ),
    ]
)


@st.composite
def key_columns(draw: st.DrawFn) -> list[pa.Array]:
    rows = draw(st.integers(1, 20))
    columns = []
    for _ in range(draw(st.integers(1, 3))):
        kind, values = draw(KEY_COLUMNS)
        drawn = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        columns.append(pa.array(drawn, kind))
    return columns


@given(key_columns())
def test_hash_agrees_with_its_specification(columns: list[pa.Array]) -> None:
    rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
    assert hash_rows(columns).tolist() == naive(rows)


@given(key_columns(), st.integers(1, 10_000))
def test_partitioning_loses_and_doubles_nothing(columns: list[pa.Array], partitions: int) -> None:
    # The engine's output has no view types, and pyarrow cannot reorder them.
    columns = [
        column.cast(pa.string()) if pa.types.is_string_view(column.type) else column
        for column in columns
    ]
    row_ids = pa.array(range(len(columns[0])))
    names = [f"k{at}" for at in range(len(columns))]
    batch = pa.record_batch([row_ids, *columns], names=["row", *names])
    parts = partition_batch(batch, list(range(1, len(columns) + 1)), partitions)
    expected = partition_of_rows(columns, partitions).tolist()
    placed = {row: number for number, rows in parts for row in rows["row"].to_pylist()}
    assert sum(rows.num_rows for _, rows in parts) == len(expected)
    assert [placed[row] for row in range(len(expected))] == expected
    assert all(0 <= number < partitions for number in expected)
