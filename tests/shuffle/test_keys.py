"""Keys that are written apart from their rows, into the partition behind the others."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan.model import KeyedPartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream
from ffq.shuffle.keys import distinct
from ffq.shuffle.mark import unmarked

KEY = AttemptKey(QueryId("7"), StageId(2), TaskId(3), Attempt(1))
SCHEMA = pa.schema(
    [("s", pa.string()), pa.field("k", pa.int64(), metadata={"as": "it is"}), ("j", pa.int32())]
)
BY = KeyedPartitioning(("k", "j", "k"), 4, 100)
KEYS = 4


def batch(*rows: tuple[int | None, int | None]) -> pa.RecordBatch:
    columns = [[f"row {row}" for row in rows], [k for k, _ in rows], [j for _, j in rows]]
    return pa.record_batch(columns, schema=SCHEMA)


def written(root: Path, memory: int, *batches: pa.RecordBatch, **options: Any) -> ShuffleStore:
    store = ShuffleStore(root, memory_bytes=memory)
    small = store.small if memory else None
    writer = MapOutputWriter(root, KEY, BY, SCHEMA, family="test", small=small, **options)
    for each in batches:
        writer.write(each)
    partitions = writer.finish()
    named = [each.reduce_partition for each in partitions if each.reduce_partition < KEYS]
    keys = [each for each in partitions if each.reduce_partition == KEYS]
    assert bool(named) == bool(keys) == any(each.num_rows for each in batches)
    for each in keys:
        read = keys_of(store)
        assert (each.rows, each.bytes) == (read.num_rows, store.piece(KEY, KEYS).size)
    return store


def keys_of(store: ShuffleStore) -> pa.Table:
    table = decode_stream(chunk.payload for chunk in store.read_range(KEY, KEYS)).read_all()
    assert table.schema.names == ["k", "j"], "each key once"
    schema = unmarked(table.schema, "test")
    assert schema.field("k").metadata == {b"as": b"it is"}, "types that Arrow lacks are marked"
    return table


ROWS = [(at % 50, at % 2) if at % 7 else (None, at % 3 or None) for at in range(4_000)]


@pytest.mark.parametrize("memory", [0, 1 << 20, 1 << 30], ids=["files", "one file", "memory"])
@pytest.mark.parametrize("buffer_bytes", [1, 1 << 30])
def test_each_key_that_a_row_has_is_there(tmp_path: Path, memory: int, buffer_bytes: int) -> None:
    batches = [batch(*ROWS[at : at + 500]) for at in range(0, len(ROWS), 500)]
    if memory == 1 << 30:
        batches = [batch(*ROWS[:300])]
    store = written(tmp_path, memory, *batches, buffer_bytes=buffer_bytes)
    read = [(row["k"], row["j"]) for row in keys_of(store).to_pylist()]
    rows = [(row["k"], row["j"]) for each in batches for row in each.to_pylist()]
    assert set(read) == set(rows)
    if buffer_bytes > 1:
        assert len(read) == len(set(rows)), "once, of what is written together"
    of_rows = []
    for partition in range(KEYS):
        chunks = store.read_range(KEY, partition)
        of_rows += decode_stream(each.payload for each in chunks).read_all().to_pylist()
    assert sorted(map(str, of_rows)) == sorted(str(row) for b in batches for row in b.to_pylist())


@pytest.mark.parametrize("memory", [0, 1 << 30])
@pytest.mark.parametrize("batches", [[], [batch()]])
def test_without_rows_there_is_a_stream_of_the_keys_columns(
    tmp_path: Path, memory: int, batches: list[pa.RecordBatch]
) -> None:
    assert keys_of(written(tmp_path, memory, *batches)).num_rows == 0


def test_values_of_any_type_are_kept() -> None:
    """Also where Arrow cannot tell which are alike."""
    nan = float("nan")
    columns: dict[str, pa.Array] = {
        "text": pa.array(["a", None, "a", "b"]),
        "float": pa.array([nan, nan, 0.0, -0.0]),
        "decimal": pa.array([decimal.Decimal("1.50"), None, None, decimal.Decimal("2.00")]),
        "list": pa.array([[1], [1], None, []]),
    }
    for column in columns.values():
        table = pa.table({"": column, "same name": column}).rename_columns(["x", "x"])
        found = distinct(table)
        assert found.schema == table.schema
        assert set(map(str, found.columns[1].to_pylist())) == set(map(str, column.to_pylist()))
