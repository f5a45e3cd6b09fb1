"""IPC streams: encoded, cut anywhere, decoded, merged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.errors import DataError, ShuffleInputError, StorageError
from ffq.shuffle import decode_stream, empty_stream, encode_stream, merge_streams
from ffq.shuffle.ipc import with_rows

SCHEMA = pa.schema([("a", pa.int64()), ("s", pa.string())])


def batches(count: int, rows: int = 10) -> list[pa.RecordBatch]:
    return [pa.record_batch([[at] * rows, [str(at)] * rows], schema=SCHEMA) for at in range(count)]


def test_an_empty_stream_has_the_schema() -> None:
    table = decode_stream([empty_stream(SCHEMA)]).read_all()
    assert (table.schema, table.num_rows) == (SCHEMA, 0)


def test_a_stream_is_encoded_batch_by_batch() -> None:
    drawn: list[int] = []

    def source() -> Iterator[pa.RecordBatch]:
        for at, batch in enumerate(batches(3)):
            drawn.append(at)
            yield batch

    pieces = encode_stream(SCHEMA, source())
    first = next(pieces)
    assert drawn == [0]
    rest = list(pieces)
    table = decode_stream([first, *rest]).read_all()
    assert table == pa.Table.from_batches(batches(3))


@given(st.lists(st.integers(0, 2000), max_size=8))
def test_chunks_may_be_cut_anywhere(cuts: list[int]) -> None:
    data = b"".join(encode_stream(SCHEMA, batches(3)))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert decode_stream(chunks).read_all() == pa.Table.from_batches(batches(3))


def test_decoding_reads_no_further_than_it_must() -> None:
    drawn = 0

    def source() -> Iterator[bytes]:
        nonlocal drawn
        for piece in encode_stream(SCHEMA, batches(20, rows=50_000)):
            drawn += 1
            yield piece

    reader = decode_stream(source())
    reader.read_next_batch()
    assert drawn < 4


@pytest.mark.parametrize(
    "data", [b"", b"no stream at all, but long enough to look at", b"\xff" * 64]
)
def test_bytes_that_are_no_stream(data: bytes) -> None:
    with pytest.raises(ShuffleInputError, match="no Arrow IPC stream"):
        decode_stream([data])


def test_what_the_chunks_raise_passes_through() -> None:
    def source() -> Iterator[bytes]:
        yield empty_stream(SCHEMA)[:20]
        raise StorageError("the disk is gone")

    with pytest.raises(StorageError, match="the disk is gone"):
        decode_stream(source())


def test_merged_streams_follow_each_other_and_open_in_turn() -> None:
    opened: list[int] = []

    def stream(at: int) -> pa.RecordBatchReader:
        opened.append(at)
        return pa.RecordBatchReader.from_batches(SCHEMA, batches(2))

    reader = merge_streams([partial(stream, at) for at in range(3)])
    assert opened == [0]
    assert reader.read_all().num_rows == 60
    assert opened == [0, 1, 2]


def reader_of(**columns: list[object]) -> pa.RecordBatchReader:
    return pa.table(columns).to_reader()


def test_columns_in_another_order_are_brought_into_the_first_ones() -> None:
    """Two columns of one type would else change places unseen."""
    streams = [lambda: reader_of(a=[1], b=[10]), lambda: reader_of(b=[20], a=[2])]
    assert merge_streams(streams).read_all().to_pydict() == {"a": [1, 2], "b": [10, 20]}


@pytest.mark.parametrize(
    "other",
    [{"a": [2.5], "b": [1]}, {"a": [1]}, {"a": [1], "c": [1]}, {"a": [1], "b": [1], "c": [1]}],
)
def test_streams_of_other_columns_do_not_merge(other: dict[str, list[object]]) -> None:
    merged = merge_streams([lambda: reader_of(a=[1], b=[1]), lambda: reader_of(**other)])
    with pytest.raises(DataError, match=r"stream 1 has columns a: .* the first one a: int64"):
        merged.read_all()


def typed(kind: pa.DataType, *values: object) -> Callable[[], pa.RecordBatchReader]:
    opens: Callable[[], pa.RecordBatchReader] = pa.table({"v": pa.array(values, kind)}).to_reader
    return opens


def struct_of(kind: pa.DataType) -> pa.DataType:
    return pa.struct([("a", kind)])


def map_of(kind: pa.DataType) -> pa.DataType:
    return pa.map_(pa.string(), kind)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.int64(), pa.int8(), pa.int64()),
        (pa.uint8(), pa.uint32(), pa.uint32()),
        (pa.int8(), pa.uint32(), pa.int64()),
        (pa.uint64(), pa.int64(), None),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.int64(), pa.float64(), None),
        (pa.decimal128(15, 2), pa.decimal128(12, 4), pa.decimal128(17, 4)),
        (pa.decimal128(38, 0), pa.decimal128(38, 2), None),
        (pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us")),
        (pa.timestamp("us"), pa.timestamp("ns"), None),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), None),
        (pa.null(), pa.string(), pa.string()),
        (pa.string(), pa.date32(), None),
        (struct_of(pa.int32()), struct_of(pa.int64()), struct_of(pa.int64())),
        (struct_of(pa.int64()), struct_of(pa.string()), None),
        (struct_of(pa.int64()), pa.struct([("b", pa.int64())]), None),
        (map_of(pa.int32()), map_of(pa.int64()), map_of(pa.int64())),
        (map_of(pa.int32()), map_of(pa.string()), None),
        (pa.list_(pa.int64()), pa.list_(pa.string()), None),
        (pa.list_(pa.int64()), struct_of(pa.int64()), None),
    ],
    ids=str,
)
def test_types_of_one_class_are_widened_for_both(
    one: pa.DataType, other: pa.DataType, both: pa.DataType | None
) -> None:
    """Files of one table may be of different widths, and each task knows its own files only."""
    for first, second in ((one, other), (other, one)):
        streams = [typed(first, None), typed(second, None), typed(first, None)]
        merged = merge_streams(streams, [stream().schema for stream in streams[1:]])
        if both is None:
            with pytest.raises(DataError, match="stream 1 has columns"):
                merged.read_all()
        else:
            table = merged.read_all()
            assert (table.schema.types, table.num_rows) == ([both], 3)


def test_values_are_kept_when_their_type_is_widened() -> None:
    for kind, one, other in (
        (pa.list_, [1, None], [2**40]),
        (struct_of, {"a": 1}, {"a": 2**40}),
        (map_of, [("a", 1)], [("b", 2**40)]),
        (lambda inner: pa.list_(struct_of(inner)), [{"a": 1}], [{"a": 2**40}, {"a": None}]),
    ):
        streams = [typed(kind(pa.int32()), one, None), typed(kind(pa.int64()), other)]
        merged = merge_streams(streams, [streams[1]().schema]).read_all()
        assert merged["v"].to_pylist() == [one, None, other]


def test_only_streams_with_rows_say_what_the_columns_are() -> None:
    """An operator that got no rows, and gave out nothing, shows its input's columns."""
    empty, full = typed(pa.string()), typed(pa.int64(), 1, 2)
    assert with_rows([empty, full, empty, full]) == [full, full]
    assert with_rows([empty, empty]) == [empty]


def test_columns_of_one_name_merge_by_position() -> None:
    table = pa.table([[1], [2]], names=["a", "a"])
    merged = merge_streams([table.to_reader, table.to_reader]).read_all()
    assert [column.to_pylist() for column in merged.columns] == [[1, 1], [2, 2]]


def test_rows_without_columns_are_counted() -> None:
    bare = pa.RecordBatch.from_arrays([pa.array([1, 2])], names=["a"]).select([])
    reader = merge_streams(
        [lambda: pa.RecordBatchReader.from_batches(bare.schema, [bare]) for _ in range(2)]
    )
    assert sum(batch.num_rows for batch in reader) == 4
