"""Parts while they wait: read where they lie, if that is one place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from ffq.engine import ENGINE_FAMILY
from ffq.errors import DiskError, ShuffleInputError
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan.model import SinglePartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore
from ffq.shuffle.layout import attempt_folder, part_file
from ffq.shuffle.pieces import Piece
from ffq.worker.ports import Fetched
from ffq.worker.readers import input_reader
from ffq.worker.spool import FragmentSpool, MemoryBudget
from ffq.worker.wanted import InputPart

KEY = AttemptKey(QueryId("q"), StageId(1), TaskId(0), Attempt(1))
TABLE = pa.table(
    {
        "s": pa.array(["a", None, "ccc"] * 1000),
        "d": pa.array([Decimal("1.5"), None, Decimal("-3.25")] * 1000, pa.decimal128(30, 2)),
        "l": pa.array([[1], [], None] * 1000),
    }
)


def written(root: Path, table: pa.Table) -> Path:
    with MapOutputWriter(
        root, KEY, SinglePartitioning(), table.schema, family=ENGINE_FAMILY
    ) as writer:
        for batch in table.to_batches():
            writer.write(batch)
        writer.finish()
    return attempt_folder(root, KEY) / part_file(0)


def part_of(file: Path) -> InputPart:
    return InputPart(KEY, 0, endpoint="", bytes=file.stat().st_size)


def ours(file: Path) -> FragmentSpool:
    return FragmentSpool.ours(Piece.file(file))


def read(file: Path, spool: FragmentSpool) -> pa.Table:
    return input_reader([Fetched(part_of(file), spool)], ENGINE_FAMILY)().read_all()


@pytest.mark.parametrize("rows", [3, 3000], ids=["plain", "compressed"])
@pytest.mark.parametrize("is_ours", [False, True])
def test_a_stored_part_is_read_alike_where_it_lies(
    tmp_path: Path, rows: int, is_ours: bool
) -> None:
    table = TABLE.slice(0, rows)
    file = written(tmp_path, table)
    spool = ours(file) if is_ours else FragmentSpool.stored(file, file.stat().st_size)
    assert (spool.source() is not None) == is_ours
    assert read(file, spool).equals(table)


def test_it_is_read_to_its_end_though_its_file_goes(tmp_path: Path) -> None:
    file = written(tmp_path, TABLE)
    part = Fetched(part_of(file), ours(file))
    reader = input_reader([part], ENGINE_FAMILY)()
    ShuffleStore(tmp_path).delete_query(KEY.query_id)
    assert reader.read_all().equals(TABLE)
    with pytest.raises(DiskError):
        part.spool.source()  # type: ignore[attr-defined]


def test_one_that_was_cut_off_is_told_as_lost(tmp_path: Path) -> None:
    file = written(tmp_path, TABLE)
    file.write_bytes(file.read_bytes()[:500])
    spool = ours(file)
    with pytest.raises(ShuffleInputError) as caught:
        read(file, spool)
    assert caught.value.inputs == ((KEY.stage_id, KEY.task_id, KEY.attempt),)


@pytest.mark.parametrize(("pieces", "in_one_place"), [(1, True), (2, False)])
async def test_what_was_fetched_in_one_piece_is_read_there(
    tmp_path: Path, pieces: int, in_one_place: bool
) -> None:
    file = written(tmp_path, TABLE)
    data = file.read_bytes()
    spool = FragmentSpool(tmp_path / "spool", MemoryBudget(len(data)))
    cut = -(-len(data) // pieces)
    for at in range(0, len(data), cut):
        await spool.write(data[at : at + cut])
    assert (spool.source() is not None) == in_one_place
    assert read(file, spool).equals(TABLE)


async def test_what_had_no_room_in_memory_is_read_from_all_its_places(tmp_path: Path) -> None:
    file = written(tmp_path, TABLE)
    data = file.read_bytes()
    spool = FragmentSpool(tmp_path / "spool", MemoryBudget(300))
    await spool.write(data[:300])
    await spool.write(data[300:])
    assert spool.source() is None
    assert read(file, spool).equals(TABLE)


def test_what_is_small_stays_plain(tmp_path: Path) -> None:
    """Compressed it would not be smaller by a page, and cost a hand-over between threads."""
    small, large = TABLE.slice(0, 300), pa.concat_tables([TABLE] * 10)
    for table, is_plain in ((small, True), (large, False)):
        size = written(tmp_path, table).stat().st_size
        assert (size > table.nbytes) == is_plain


async def test_numbers_of_a_part_that_came_as_a_view_are_aligned(tmp_path: Path) -> None:
    """The engine reads them where they lie."""
    came = b"1" * 5 + bytes(range(64)) * 100
    spool = FragmentSpool(tmp_path / "part", MemoryBudget(1 << 20))
    await spool.write(memoryview(came)[5:])
    source = spool.source()
    assert source is not None
    buffer = source.read_buffer()
    assert buffer.address % 16 == 0
    assert buffer.to_pybytes() == came[5:]
