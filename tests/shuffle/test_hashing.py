"""The partition hash is a specification: golden values, and keys that SQL joins hash alike."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from ffq.errors import UnsupportedPlan
from ffq.shuffle.hashing import hash_column, hash_rows, partition_batch, partition_of_rows

LIST = pa.list_(pa.int64())
DAY = dt.date(2020, 2, 29)
MIDNIGHT = dt.datetime(2020, 2, 29)

# Pinned: a change here means that old and new workers must not share a query (ENGINE_FAMILY).
GOLDEN = [
    (pa.array([0], pa.int64()), 0x0),
    (pa.array([1], pa.int64()), 0x5692161D100B05E5),
    (pa.array([-1], pa.int64()), 0xB4D055FCF2CBBD7B),
    (pa.array([None], pa.int64()), 0x9E3779B97F4A7C15),
    (pa.array([Decimal("1.50")], pa.decimal128(15, 2)), 0x508054D66751448E),
    (pa.array([1.5], pa.float64()), 0xE72B41D4576E3468),
    (pa.array([DAY], pa.date32()), 0x437F124BBA2AA364),
    (pa.array([""], pa.string()), 0x5692161D100B05E5),
    (pa.array(["BUILDING"], pa.string()), 0x1A1B87C4C513EBF5),
    (pa.array(["grün und gelb"], pa.string()), 0x9F6E75CB65E6F09D),
    (pa.array(["x" * 129], pa.string()), 0xA3A5EED8B914DE18),
    (pa.array([2**63], pa.uint64()), 0xE8B8386959A3855D),
    (pa.array([(1, 2, 3_000)], pa.month_day_nano_interval()), 0x46C5AE7B9FFED764),
    (pa.array([[1, None]]), 0x8243B51C905FF12E),
    (pa.array([[1] * 129]), 0x65AF927DE4474A3B),
    (pa.array([{"a": 1, "b": "x"}]), 0x4F4EA33EE05E00AB),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), 0x8CA6C83E1F59A0F),
]


@pytest.mark.parametrize(("values", "expected"), GOLDEN, ids=lambda value: str(value)[:40])
def test_golden_vectors(values: pa.Array, expected: int) -> None:
    assert hex(hash_column(values)[0]) == hex(expected)


def test_golden_partitions() -> None:
    keys = [pa.array(range(20)), pa.array([f"k{at % 7}" for at in range(20)])]
    assert partition_of_rows(keys, 16).tolist() == [
        0,
        14,
        15,
        0,
        15,
        5,
        7,
        7,
        14,
        3,
        8,
        12,
        5,
        6,
        1,
        4,
        5,
        1,
        5,
        5,
    ]


EQUAL_IN_SQL = {
    "whole numbers": [
        pa.array([7], pa.int8()),
        pa.array([7], pa.int32()),
        pa.array([7], pa.int64()),
        pa.array([7], pa.uint64()),
        pa.array([Decimal("7.00")], pa.decimal128(9, 2)),
        pa.array([Decimal("7")], pa.decimal128(38, 10)),
        pa.array([Decimal("7")], pa.decimal256(60, 20)),
    ],
    "fractions": [
        pa.array([Decimal("-1.5")], pa.decimal128(9, 1)),
        pa.array([Decimal("-1.50")], pa.decimal128(15, 2)),
        pa.array([Decimal("-1.5")], pa.decimal128(38, 30)),
    ],
    "beyond int64": [
        pa.array([2**63], pa.uint64()),
        pa.array([Decimal(2**63)], pa.decimal128(38, 0)),
        pa.array([Decimal(2**63)], pa.decimal128(38, 2)),
    ],
    "true": [pa.array([True]), pa.array([1], pa.int16())],
    "dates": [
        pa.array([DAY], pa.date32()),
        pa.array([DAY], pa.date64()),
        pa.array([MIDNIGHT], pa.timestamp("s")),
        pa.array([MIDNIGHT], pa.timestamp("ms")),
        pa.array([MIDNIGHT], pa.timestamp("us")),
        pa.array([MIDNIGHT], pa.timestamp("ns")),
        pa.array([MIDNIGHT], pa.timestamp("us", tz="UTC")),
    ],
    "infinity": [
        pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
        *(pa.array([2**63 - 1], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array([2**63 - 1], pa.timestamp("us", tz="UTC")),
    ],
    "minus infinity": [
        pa.array([-(2**31) + 1], pa.int32()).view(pa.date32()),
        *(pa.array([-(2**63) + 1], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
    ],
    "times": [
        pa.array([dt.time(1, 2, 3)], pa.time32("s")),
        pa.array([dt.time(1, 2, 3)], pa.time64("us")),
        pa.array([dt.time(1, 2, 3)], pa.time64("ns")),
    ],
    "text": [
        pa.array(["BUILDING!"], pa.string()),
        pa.array(["BUILDING!"], pa.large_string()),
        pa.array(["BUILDING!"], pa.string_view()),
        pa.array([b"BUILDING!"], pa.binary()),
        pa.array([b"BUILDING!"], pa.binary(9)),
        pa.array(["BUILDING!"]).dictionary_encode(),
    ],
    "intervals": [
        pa.array([each], pa.month_day_nano_interval())
        for each in ((1, 0, 0), (0, 30, 0), (0, 0, 30 * 86_400 * 10**9), (2, -31, 86_400 * 10**9))
    ],
    "lists": [
        pa.array([[7, None]], kind)
        for kind in (
            pa.list_(pa.int8()),
            pa.large_list(pa.int64()),
            pa.list_(pa.int32(), 2),
            pa.list_view(pa.int64()),
            pa.list_(pa.decimal128(9, 2)),
        )
    ],
    "structs": [
        pa.array([{"a": 7, "b": -0.0}], pa.struct([("a", pa.int8()), ("b", pa.float32())])),
        pa.array([{"a": 7, "b": 0.0}]),
    ],
    "zero": [pa.array([0.0]), pa.array([-0.0]), pa.array([0.0], pa.float32())],
    "not a number": [
        pa.array([math.nan]),
        pa.array([-math.nan]),
        pa.array([math.nan], pa.float32()),
        pa.array(np.array([0x7FF8000000000123], np.uint64).view(np.float64)),
        pa.array(np.array([0x7FF0000000000001], np.uint64).view(np.float64)),  # a signalling one
        pa.array(np.array([0x7F800001], np.uint32).view(np.float32)),
    ],
    "null": [
        pa.nulls(1),
        pa.array([None], pa.int64()),
        pa.array([None], pa.string_view()),
        pa.array([None], pa.decimal128(38, 2)),
        pa.array([None], pa.date32()),
        pa.array([None], pa.float32()),
        pa.array([None], pa.bool_()),
    ],
}


@pytest.mark.parametrize("equal", EQUAL_IN_SQL.values(), ids=EQUAL_IN_SQL)
def test_equal_keys_hash_alike_whatever_their_type(equal: list[pa.Array]) -> None:
    assert len({int(hash_column(values)[0]) for values in equal}) == 1


def test_what_lies_under_a_null_does_not_matter() -> None:
    """Memory under nulls is whatever was there: even a NaN that signals at any float operation."""
    rows = np.array([0x7FF0000000000001, 0x3FF8000000000000], np.uint64)
    validity = pa.py_buffer(bytes([0b10]))
    values = pa.Array.from_buffers(pa.float64(), 2, [validity, pa.py_buffer(rows)])
    assert values.to_pylist() == [None, 1.5]
    assert hash_column(values).tolist() == hash_column(pa.array([None, 1.5])).tolist()


def test_unequal_neighbours_differ() -> None:
    different = [
        pa.array([1, 2, -1]),
        pa.array([Decimal("0.1"), Decimal("0.01"), Decimal("10.5")], pa.decimal128(9, 2)),
        pa.array(["", "a", "b", "a\0", "ab", "ba", "x" * 128, "x" * 129, "x" * 130]),
        pa.array([0.5, -0.5, math.inf, -math.inf, math.nan]),
        pa.array([None, 3], pa.int64()),
        pa.array([None, [], [None], [None, None], [1], [1, 2], [2, 1]], pa.list_(pa.int64())),
        pa.array(
            [[], [[]], [[], []], [None], [[1], [2]], [[1, 2]]], pa.list_(pa.list_(pa.int64()))
        ),
        pa.array([None, {"a": None}, {"a": 1}], pa.struct([("a", pa.int64())])),
        pa.array([(1, 0, 0), (0, 1, 0), (0, 0, 1_000)], pa.month_day_nano_interval()),
    ]
    for values in different:
        assert len(set(hash_column(values).tolist())) == len(values)


def test_slices_hash_as_the_whole() -> None:
    rows = 50
    columns = [
        pa.array([None if at % 5 == 0 else at for at in range(rows)]),
        pa.array([None if at % 3 == 0 else f"{'long ' * at}{at}" for at in range(rows)]),
        pa.array([f"{at}" for at in range(rows)], pa.string_view()),
        pa.array([Decimal(at) / 4 for at in range(rows)], pa.decimal128(20, 3)),
        pa.array([at % 2 == 0 for at in range(rows)]),
        pa.array([DAY] * rows, pa.date32()),
        pa.array([float(at) for at in range(rows)], pa.float32()),
        pa.array([None if at % 7 == 0 else [at] * (at % 4) for at in range(rows)]),
        pa.array([[at, -at] for at in range(rows)], pa.list_(pa.int64(), 2)),
        pa.array([None if at % 7 == 0 else {"a": at, "b": [at]} for at in range(rows)]),
        pa.array([[(f"{at}", [at])] * (at % 3) for at in range(rows)], pa.map_(pa.string(), LIST)),
        pa.array([(at, at, at) for at in range(rows)], pa.month_day_nano_interval()),
    ]
    for values in columns:
        whole = hash_column(values)
        assert hash_column(values.slice(13, 20)).tolist() == whole[13:33].tolist()
        assert hash_column(values.slice(50)).tolist() == []


def test_order_of_key_columns_counts() -> None:
    a, b = pa.array([1, 2]), pa.array([2, 1])
    assert hash_rows([a, b]).tolist() != hash_rows([b, a]).tolist()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.timedelta(1)]),
        pa.array([[dt.timedelta(1)]]),
        pa.array([{"a": dt.timedelta(1)}]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_type_without_a_hash_is_unsupported(values: pa.Array) -> None:
    with pytest.raises(UnsupportedPlan, match="cannot be partitioned by a key of type"):
        hash_column(values)


def test_no_partition_is_starved() -> None:
    counts = np.bincount(partition_of_rows([pa.array(range(64_000))], 64), minlength=64)
    assert counts.min() > 850
    assert counts.max() < 1150


def test_a_batch_is_divided_without_loss_in_ascending_order_of_partition() -> None:
    batch = pa.record_batch({"k": list(range(1000)), "v": [str(at) for at in range(1000)]})
    parts = partition_batch(batch, [0], 16)
    assert [number for number, _ in parts] == list(range(16))
    merged = pa.Table.from_batches([rows for _, rows in parts]).sort_by("k")
    assert merged.to_pydict() == batch.to_pydict()
    for number, rows in parts:
        assert set(partition_of_rows([rows["k"]], 16).tolist()) == {number}
        assert rows["k"].to_pylist() == sorted(rows["k"].to_pylist())


def test_without_keys_all_rows_go_to_partition_0() -> None:
    batch = pa.record_batch({"k": [1, 2]})
    assert partition_batch(batch, [], 16) == [(0, batch)]
    assert partition_batch(batch.slice(0, 0), [0], 16) == []


def test_another_process_computes_the_same() -> None:
    """Python's own string hash differs from process to process; ours must not."""
    script = (
        "import pyarrow as pa; from ffq.shuffle.hashing import hash_rows;"
        "print(hash_rows([pa.array(['a', 'b'*200]), pa.array([1, None])]).tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{hash_rows([pa.array(['a', 'b' * 200]), pa.array([1, None])]).tolist()}\n"}
