"""Map output: one IPC stream per partition, visible only when whole (R22 to R24)."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ffq.errors import (
    InvalidRequest,
    PlanningError,
    ShuffleInputError,
    StorageError,
    UnknownId,
)
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import ShuffleChunk
from ffq.plan.model import HashPartitioning, SinglePartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream
from ffq.shuffle.mark import unmarked
from ffq.shuffle.writer import Compression

FAMILY = "test"
KEY = AttemptKey(QueryId("7"), StageId(2), TaskId(3), Attempt(1))
SCHEMA = pa.schema([("k", pa.int64()), ("s", pa.string())])
FOUR = HashPartitioning(("k",), 4)


def batch(start: int, rows: int) -> pa.RecordBatch:
    ids = range(start, start + rows)
    return pa.record_batch([list(ids), [f"v{at}" for at in ids]], schema=SCHEMA)


def read(store: ShuffleStore, partition: int, **ranges: int) -> pa.Table:
    chunks = store.read_range(KEY, partition, **ranges)
    return decode_stream(chunk.payload for chunk in chunks).read_all()


def write(root: Path, *batches: pa.RecordBatch, **options: Any) -> MapOutputWriter:
    writer = MapOutputWriter(root, KEY, FOUR, SCHEMA, family=FAMILY, **options)
    for one in batches:
        writer.write(one)
    return writer


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("buffer_bytes", [1, 10_000, 1 << 30])
def test_every_row_comes_back_once_from_the_partitions(
    tmp_path: Path, compression: Compression | None, buffer_bytes: int
) -> None:
    batches = [batch(at * 100, 100) for at in range(10)]
    writer = write(tmp_path, *batches, compression=compression, buffer_bytes=buffer_bytes)
    partitions = writer.finish()
    store = ShuffleStore(tmp_path)
    tables = {part.reduce_partition: read(store, part.reduce_partition) for part in partitions}
    assert sorted(tables) == [0, 1, 2, 3]
    merged = pa.concat_tables(tables.values()).sort_by("k")
    assert merged == pa.Table.from_batches(batches).combine_chunks()
    for part in partitions:
        path = tmp_path / "7" / "2" / "3" / "1" / f"part-{part.reduce_partition}.ipc"
        assert part.bytes == part.committed_offset == path.stat().st_size
        assert part.rows == tables[part.reduce_partition].num_rows
        assert part.finalized


def test_buffering_makes_large_batches_of_small_ones(tmp_path: Path) -> None:
    many = [batch(at * 10, 10) for at in range(100)]
    small = write(tmp_path / "a", *many, buffer_bytes=1).finish()
    large = write(tmp_path / "b", *many).finish()
    assert sum(part.batches for part in large) == 4
    assert sum(part.batches for part in small) > 100


def test_an_output_shows_only_when_it_is_finished(tmp_path: Path) -> None:
    store = ShuffleStore(tmp_path)
    writer = write(tmp_path, batch(0, 1000), buffer_bytes=1)
    assert not store.holds(KEY)
    with pytest.raises(UnknownId):
        next(store.read_range(KEY, 0))
    writer.finish()
    assert store.holds(KEY)
    assert [path.name for path in (tmp_path / "7" / "2" / "3").iterdir()] == ["1"]


def test_an_aborted_output_leaves_nothing(tmp_path: Path) -> None:
    writer = write(tmp_path, batch(0, 1000), buffer_bytes=1)
    writer.abort()
    writer.abort()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with write(tmp_path, batch(0, 1000), buffer_bytes=1):
        pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_leaving_the_context_after_finish_keeps_the_output(tmp_path: Path) -> None:
    with write(tmp_path, batch(0, 10)) as writer:
        writer.finish()
    assert ShuffleStore(tmp_path).holds(KEY)


def test_an_empty_partition_yields_a_stream_of_the_schema(tmp_path: Path) -> None:
    assert write(tmp_path).finish() == ()
    table = read(ShuffleStore(tmp_path), 2)
    assert (table.schema, table.num_rows) == (SCHEMA, 0)


def test_an_output_that_stands_there_already_is_replaced(tmp_path: Path) -> None:
    """Query ids of peers are small numbers: another cluster's leftovers may carry the same."""
    write(tmp_path, batch(0, 100)).finish()
    writer = MapOutputWriter(tmp_path, KEY, SinglePartitioning(), SCHEMA, family=FAMILY)
    writer.write(batch(5, 1))
    writer.finish()
    store = ShuffleStore(tmp_path)
    assert read(store, 0)["k"].to_pylist() == [5]
    assert read(store, 1).num_rows == 0


def test_columns_without_names_or_of_one_name_survive(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("a", pa.string()), ("", pa.int64())])
    with pytest.raises(PlanningError, match=r"'x\.a' is ambiguous: it may be a \(column 1\), a \("):
        MapOutputWriter(tmp_path, KEY, HashPartitioning(("x.a",), 2), schema, family=FAMILY)
    writer = MapOutputWriter(tmp_path, KEY, HashPartitioning(("",), 2), schema, family=FAMILY)
    columns = [pa.array([1]), pa.array(["x"]), pa.array([2])]
    writer.write(pa.RecordBatch.from_arrays(columns, schema=schema))
    (part,) = writer.finish()
    assert read(ShuffleStore(tmp_path), part.reduce_partition).schema == schema


def test_rows_without_columns_keep_their_number(tmp_path: Path) -> None:
    writer = MapOutputWriter(tmp_path, KEY, SinglePartitioning(), pa.schema([]), family=FAMILY)
    writer.write(batch(0, 3).select([]))
    writer.write(batch(0, 4).select([]))
    (part,) = writer.finish()
    assert part.rows == 7
    chunks = ShuffleStore(tmp_path).read_range(KEY, 0)
    reader = decode_stream(chunk.payload for chunk in chunks)
    assert sum(one.num_rows for one in reader) == 7


def test_an_unknown_hash_key_is_a_planning_error(tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match="no column 'nope'; its input has k, s"):
        MapOutputWriter(tmp_path, KEY, HashPartitioning(("nope",), 4), SCHEMA, family=FAMILY)


def test_a_hash_key_is_found_by_its_last_dotted_part_as_columns_are(tmp_path: Path) -> None:
    dotted = pa.schema([("a.k", pa.int64()), ("b.s", pa.string())])
    for key in ("a.k", "k", "other.k"):
        MapOutputWriter(tmp_path, KEY, HashPartitioning((key,), 4), dotted, family=FAMILY).abort()
    twice = pa.schema([("a.k", pa.int64()), ("b.k", pa.int64())])
    with pytest.raises(PlanningError, match=r"'k' is ambiguous: it may be a\.k \(column 1\), b\.k"):
        MapOutputWriter(tmp_path, KEY, HashPartitioning(("k",), 4), twice, family=FAMILY)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "7").write_text("a file stands in the way")
    with pytest.raises(StorageError, match="cannot write map output"):
        write(tmp_path)


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = write(tmp_path, batch(0, 100))
    real_open = Path.open

    def full(path: Path, mode: str = "r", *rest: Any) -> Any:
        if mode == "ab":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_open(path, mode, *rest)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="No space left on device"):
        writer.finish()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def chunks_of(store: ShuffleStore, **ranges: int) -> list[ShuffleChunk]:
    return list(store.read_range(KEY, 0, **ranges))


def test_chunks_are_contiguous_and_the_last_one_reaches_the_watermark(tmp_path: Path) -> None:
    write(tmp_path, batch(0, 1000)).finish()
    chunks = chunks_of(ShuffleStore(tmp_path), chunk_bytes=1000)
    assert len(chunks) > 3
    assert chunks[0].start_offset == 0
    for one, after in itertools.pairwise(chunks):
        assert one.end_offset == after.start_offset == one.start_offset + len(one.payload)
        assert one.end_offset < one.watermark_offset
    assert {chunk.watermark_offset for chunk in chunks} == {chunks[-1].end_offset}


def test_any_range_is_what_the_whole_has_there(tmp_path: Path) -> None:
    write(tmp_path, batch(0, 1000)).finish()
    store = ShuffleStore(tmp_path)
    whole = b"".join(chunk.payload for chunk in chunks_of(store))
    for start, count in ((0, 1), (10, 777), (len(whole) - 5, 100), (3, 0)):
        chunks = chunks_of(store, start=start, max_bytes=count, chunk_bytes=64)
        end = start + count if count else len(whole)
        assert b"".join(chunk.payload for chunk in chunks) == whole[start:end]
        last = chunks[-1]
        assert (last.end_offset == last.watermark_offset) == (end >= len(whole))


@pytest.mark.parametrize("past", [0, 1, 10_000])
def test_at_or_past_the_watermark_comes_one_empty_chunk(tmp_path: Path, past: int) -> None:
    write(tmp_path, batch(0, 1000)).finish()
    store = ShuffleStore(tmp_path)
    watermark = chunks_of(store)[-1].watermark_offset
    (chunk,) = chunks_of(store, start=watermark + past)
    assert chunk == ShuffleChunk(b"", watermark, watermark, watermark, finalized=True)


def test_another_attempt_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, batch(0, 10)).finish()
    other = AttemptKey(KEY.query_id, KEY.stage_id, KEY.task_id, Attempt(2))
    with pytest.raises(UnknownId, match="no map output of attempt 7/2/3/2") as raised:
        next(ShuffleStore(tmp_path).read_range(other, 0))
    assert raised.value.stable_reason == "UNKNOWN_ATTEMPT"


@pytest.mark.parametrize("query_id", ["..", ".", "a/b", "../../etc", ""])
def test_an_id_that_leaves_the_root_is_refused(tmp_path: Path, query_id: str) -> None:
    key = AttemptKey(QueryId(query_id), StageId(0), TaskId(0), Attempt(1))
    store = ShuffleStore(tmp_path / "root")
    with pytest.raises(InvalidRequest):
        next(store.read_range(key, 0))
    with pytest.raises(InvalidRequest):
        store.delete_query(QueryId(query_id))
    with pytest.raises(InvalidRequest):
        MapOutputWriter(tmp_path / "root", key, FOUR, SCHEMA, family=FAMILY)


def test_a_query_is_removed_whole(tmp_path: Path) -> None:
    store = ShuffleStore(tmp_path)
    assert store.held_queries() == ()
    write(tmp_path, batch(0, 10)).finish()
    other = AttemptKey(QueryId("8"), StageId(0), TaskId(0), Attempt(1))
    MapOutputWriter(tmp_path, other, FOUR, SCHEMA, family=FAMILY).finish()
    assert store.held_queries() == ("7", "8")
    store.delete_query(QueryId("7"))
    store.delete_query(QueryId("7"))
    assert store.held_queries() == ("8",)
    assert not store.holds(KEY)


def test_a_query_removed_while_it_is_written_ends_the_writing(tmp_path: Path) -> None:
    writer = write(tmp_path, batch(0, 1000), buffer_bytes=1)
    ShuffleStore(tmp_path).delete_query(KEY.query_id)
    with pytest.raises(StorageError):
        writer.finish()


def test_the_newest_attempt_and_the_sizes_of_its_files(tmp_path: Path) -> None:
    store = ShuffleStore(tmp_path)
    assert store.newest(KEY) is None
    assert store.sizes(KEY) == {}
    for attempt in (1, 2, 10):
        key = AttemptKey(KEY.query_id, KEY.stage_id, KEY.task_id, Attempt(attempt))
        with MapOutputWriter(tmp_path, key, FOUR, SCHEMA, family=FAMILY) as writer:
            writer.write(batch(0, attempt))
            parts = writer.finish()
    task = tmp_path / "7" / "2" / "3"
    for name in (".tmp-11-x", "012", "x", "99999999999"):
        (task / name).mkdir()
    (task / "11").write_text("a file is no attempt")
    (task / "10" / "part-x.ipc").write_text("no part")
    (task / "10" / "part-01.ipc").write_text("no part")
    assert store.newest(KEY) == key
    assert store.sizes(key) == {part.reduce_partition: part.bytes for part in parts}


@pytest.mark.parametrize("folder", ["3", "3/1"])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "7" / "2" / folder
    path.parent.mkdir(parents=True)
    path.write_text("a file")
    look = ShuffleStore(tmp_path).newest if folder == "3" else ShuffleStore(tmp_path).sizes
    with pytest.raises(StorageError, match=f"cannot list map outputs in .*/7/2/{folder}"):
        look(KEY)


def test_R31_every_stream_is_marked_with_its_family_also_an_empty_one(tmp_path: Path) -> None:
    """Rows are only in partition 0; what the mark is on leaves no trace in what is read."""
    key = HashPartitioning((), 4)
    with MapOutputWriter(tmp_path, KEY, key, SCHEMA, family=FAMILY) as writer:
        writer.write(batch(0, 10))
        writer.finish()
    for partition in (0, 3):
        schema = read(ShuffleStore(tmp_path), partition).schema
        assert unmarked(schema, FAMILY).metadata is None
        with pytest.raises(ShuffleInputError, match="family 'test'; right would be 'other'"):
            unmarked(schema, "other")
    with pytest.raises(ShuffleInputError, match="without the mark of an engine family"):
        unmarked(SCHEMA.with_metadata({"pandas": "{}"}), FAMILY)
