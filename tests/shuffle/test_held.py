"""Small outputs stay in memory, and are served as those on disk are."""

from __future__ import annotations

import errno
from pathlib import Path

import attrs
import pyarrow as pa
import pytest

from ffq.errors import DiskError, StorageError, UnknownId
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import OutputPartition, ShufflePart
from ffq.plan.model import HashPartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream
from ffq.shuffle.held import SMALL_OUTPUT_BYTES, SmallOutput, SmallOutputs

KEY = AttemptKey(QueryId("q"), StageId(1), TaskId(0), Attempt(1))
SMALL = pa.table({"k": [1, 2, 3], "s": ["a", None, "c"]})
LARGE = pa.table({"k": range(SMALL_OUTPUT_BYTES), "s": ["x"] * SMALL_OUTPUT_BYTES})
MANY = 7


def write(
    store: ShuffleStore,
    table: pa.Table,
    key: AttemptKey = KEY,
    *,
    many: int = MANY,
) -> tuple[OutputPartition, ...]:
    partitioning = HashPartitioning(("k",), many)
    with MapOutputWriter(
        store.root, key, partitioning, table.schema, family="f", small=store.small
    ) as writer:
        for batch in table.to_batches():
            writer.write(batch)
        return writer.finish()


def files(store: ShuffleStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def served(store: ShuffleStore, partition: int, **bounds: int) -> bytes:
    chunks = store.read_range(KEY, partition, **bounds)
    return b"".join(chunk.payload for chunk in chunks)


@pytest.fixture
def store(tmp_path: Path) -> ShuffleStore:
    return ShuffleStore(tmp_path / "memory", memory_bytes=1 << 20)


@pytest.fixture
def on_disk(tmp_path: Path) -> ShuffleStore:
    return ShuffleStore(tmp_path / "disk")


def test_R23_R24_a_small_output_is_served_as_from_disk(
    store: ShuffleStore, on_disk: ShuffleStore
) -> None:
    assert write(store, SMALL) == write(on_disk, SMALL)
    assert (files(store), len(files(on_disk)) > 1) == ([], True)
    for partition in range(MANY):
        whole = served(on_disk, partition)
        assert served(store, partition) == whole
        assert served(store, partition, start=5, max_bytes=9, chunk_bytes=2) == whole[5:14]
        far = next(store.read_range(KEY, partition, start=10**6))
        assert (far.payload, far.watermark_offset, far.finalized) == (b"", len(whole), True)


def test_an_attempt_that_is_not_here_is_unknown(store: ShuffleStore) -> None:
    write(store, SMALL)
    other = attrs.evolve(KEY, attempt=Attempt(2))
    assert (store.holds(KEY), store.holds(other)) == (True, False)
    with pytest.raises(UnknownId):
        next(store.read_range(other, 0))


def test_a_large_output_goes_to_disk(store: ShuffleStore) -> None:
    write(store, LARGE)
    assert store.holds(KEY)
    assert store.small.used == 0
    assert files(store)


def test_R23_R24_an_output_of_one_file_is_served_as_from_many(
    store: ShuffleStore, on_disk: ShuffleStore
) -> None:
    table = LARGE.slice(0, LARGE.num_rows // 3)
    assert write(store, table, many=100) == write(on_disk, table, many=100)
    (file,) = files(store)
    whole = [served(on_disk, at) for at in range(100)]
    assert file.read_bytes() == b"".join(whole)
    assert [served(store, at) for at in range(100)] == whole
    assert served(store, 3, start=5, max_bytes=9, chunk_bytes=2) == whole[3][5:14]
    parts = [ShufflePart(KEY, at) for at in (4, 5, 2, 99, 2)]
    chunks = list(store.read_parts(parts, start=10, chunk_bytes=700))
    wanted = b"".join(whole[part.reduce_partition] for part in parts)
    assert b"".join(chunk.payload for chunk in chunks) == wanted[10:]
    assert {chunk.watermark_offset for chunk in chunks} == {len(wanted)}
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StorageError, match="it ends at byte"):
        served(store, 99)


def test_an_empty_partition_of_an_output_of_one_file_has_its_schema(store: ShuffleStore) -> None:
    table = pa.table({"k": [1] * SMALL_OUTPUT_BYTES})
    (part,) = write(store, table)
    assert len(files(store)) == 1
    empty = (part.reduce_partition + 1) % MANY
    assert decode_stream([served(store, empty)]).read_all().equals(table.slice(0, 0))


def test_an_output_that_its_writer_could_not_hold_has_a_file_for_each_partition(
    store: ShuffleStore, on_disk: ShuffleStore
) -> None:
    write(on_disk, LARGE)
    with MapOutputWriter(
        store.root,
        KEY,
        HashPartitioning(("k",), MANY),
        LARGE.schema,
        family="f",
        small=store.small,
        buffer_bytes=LARGE.nbytes // 2,
    ) as writer:
        for batch in LARGE.to_batches(max_chunksize=LARGE.num_rows // 5):
            writer.write(batch)
        writer.finish()
    assert len(files(store)) == len(files(on_disk))
    for at in range(MANY):
        rows = [
            decode_stream([served(each, at)]).read_all()["k"].to_pylist()
            for each in (store, on_disk)
        ]
        assert rows[0] == rows[1]


def test_a_full_disk_leaves_nothing_of_one_file(
    store: ShuffleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(DiskError, match="No space left on device"):
        write(store, LARGE)
    assert (store.holds(KEY), files(store)) == (False, [])


def test_where_there_is_no_room_it_goes_to_disk(tmp_path: Path, on_disk: ShuffleStore) -> None:
    write(on_disk, SMALL)
    for room in (0, 2000):
        full = ShuffleStore(tmp_path / str(room), memory_bytes=room)
        assert write(full, SMALL) == write(on_disk, SMALL)
        assert full.small.used == 0
        assert [served(full, at) for at in range(MANY)] == [
            served(on_disk, at) for at in range(MANY)
        ]


@pytest.mark.parametrize(("first", "second"), [(SMALL, LARGE), (LARGE, SMALL), (SMALL, SMALL)])
def test_what_stands_under_the_key_is_replaced(
    store: ShuffleStore, on_disk: ShuffleStore, first: pa.Table, second: pa.Table
) -> None:
    write(store, first)
    write(store, second)
    write(on_disk, second)
    assert [served(store, at) for at in range(MANY)] == [served(on_disk, at) for at in range(MANY)]


def test_it_goes_with_its_query_and_no_other(store: ShuffleStore) -> None:
    other = attrs.evolve(KEY, query_id=QueryId("other"))
    write(store, SMALL)
    write(store, SMALL, other)
    store.delete_query(KEY.query_id)
    assert (store.holds(KEY), store.holds(other)) == (False, True)
    store.delete_query(other.query_id)
    assert store.small.used == 0


def test_one_that_is_given_up_leaves_nothing(store: ShuffleStore) -> None:
    with MapOutputWriter(
        store.root, KEY, HashPartitioning(("k",), MANY), SMALL.schema, family="f", small=store.small
    ) as writer:
        writer.write(SMALL.to_batches()[0])
    assert not store.holds(KEY)
    assert (files(store), store.small.used) == ([], 0)


def test_few_rows_of_many_columns_go_to_disk_where_all_partitions_together_are_large(
    tmp_path: Path, on_disk: ShuffleStore
) -> None:
    """Each partition has the schema: so an output may be much larger than its rows."""
    rows = 300
    table = pa.table({"k": range(rows), **{f"column{at}": [True] * rows for at in range(100)}})
    assert table.nbytes < SMALL_OUTPUT_BYTES
    want = write(on_disk, table, many=1000)
    size = sum(part.bytes for part in want)
    for room, stays in ((7 * size, False), (9 * size, True)):
        one = ShuffleStore(tmp_path / str(room), memory_bytes=room)
        assert write(one, table, many=1000) == want
        assert (one.small.used > 0, files(one) == []) == (stays, stays)
        for part in want:
            assert served(one, part.reduce_partition) == served(on_disk, part.reduce_partition)


def test_memory_is_bounded_whatever_is_kept() -> None:
    outputs = SmallOutputs(10_000)
    kept = []
    for number in range(50):
        key = attrs.evolve(KEY, task_id=TaskId(number))
        kept.append(outputs.keep(key, SmallOutput(b"s" * 100, {0: b"x" * (number * 50)})))
        assert outputs.used <= 10_000
    assert kept[0]
    assert not kept[-1]
    for number in range(50):
        outputs.drop(attrs.evolve(KEY, task_id=TaskId(number)))
    assert outputs.used == 0
