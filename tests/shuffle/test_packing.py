"""When map output is compressed: by what it saves and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan.model import HashPartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream
from ffq.shuffle.packing import SAMPLE_BYTES, Sample, pays, sampled

KEY = AttemptKey(QueryId("q"), StageId(1), TaskId(0), Attempt(1))
ROWS = 100_000
TABLE = pa.table({"k": range(ROWS), "s": ["always the same"] * ROWS})
MIB = 1 << 20

rates = st.floats(1, 1e12)


@pytest.mark.parametrize(
    ("ratio", "compress_mib", "link_mib", "expected"),
    [
        (0.5, 1000, 100, True),  # saves 5 ms a MiB, costs 1
        (0.5, 1000, 499, True),
        (0.5, 1000, 501, False),
        (0.5, 1000, inf, False),
        (0.5, 1000, 0, True),
        (1.0, 1000, 1, False),  # saves nothing
        (1.0, 1000, 0, False),
        (1.1, 1000, 0, False),
    ],
)
def test_it_pays_where_it_saves_more_time_than_it_takes(
    ratio: float, compress_mib: float, link_mib: float, expected: bool
) -> None:
    assert pays(ratio, compress_mib * MIB, link_mib * MIB) == expected


@given(st.floats(0, 2), rates, rates, st.floats(1, 10))
def test_what_pays_also_pays_where_more_is_saved_or_it_costs_less(
    ratio: float, compress: float, link: float, times: float
) -> None:
    if pays(ratio, compress, link):
        assert pays(ratio / times, compress, link)
        assert pays(ratio, compress * times, link)
        assert pays(ratio, compress, link / times)


def test_a_sample_is_of_the_first_rows() -> None:
    table = pa.table({"s": ["x" * 100] * 20_000}).combine_chunks()
    noise = pa.table({"s": [f"{at * 2654435761 % 2**32:x}" for at in range(50_000)]})
    alike, other = table.to_batches()[0], noise.to_batches()[0]
    assert alike.nbytes > 2 * SAMPLE_BYTES
    first = sampled([alike, other], "lz4")
    assert first.ratio < 0.05
    assert first.bytes_per_s > 0
    assert sampled([other, alike], "lz4").ratio > 0.3
    assert sampled([alike.slice(0, 0), alike], "lz4").ratio < 0.05
    assert 0.05 < sampled([alike.slice(0, 1000), other], "lz4").ratio < 0.9, "of both"


def written(root: Path, link: float, *, buffer_bytes: int = 1 << 30) -> tuple[int, pa.Table]:
    """Bytes of an output of two partitions, and its rows."""
    with MapOutputWriter(
        root,
        KEY,
        HashPartitioning(("k",), 2),
        TABLE.schema,
        family="f",
        link_bytes_per_s=link,
        buffer_bytes=buffer_bytes,
    ) as writer:
        for batch in TABLE.to_batches(max_chunksize=ROWS // 4):
            writer.write(batch)
        parts = writer.finish()
    store = ShuffleStore(root)
    tables = []
    for part in parts:
        chunks = store.read_range(KEY, part.reduce_partition)
        tables.append(decode_stream(chunk.payload for chunk in chunks).read_all())
    return sum(part.bytes for part in parts), pa.concat_tables(tables).sort_by("k")


@pytest.mark.parametrize("buffer_bytes", [1 << 30, TABLE.nbytes // 3])
def test_an_output_is_compressed_where_it_pays_and_read_in_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int
) -> None:
    samples = []

    def of(batches: Sequence[pa.RecordBatch], codec: str) -> Sample:
        samples.append((sum(batch.num_rows for batch in batches), codec))
        return Sample(0.5, 1000)

    monkeypatch.setattr("ffq.shuffle.writer.sampled", of)
    sizes = {}
    for link in (0.0, 499.0, 501.0, inf):
        sizes[link], rows = written(tmp_path / str(link), link, buffer_bytes=buffer_bytes)
        assert rows == TABLE
    assert sizes[0.0] == sizes[499.0] < TABLE.nbytes / 2
    assert sizes[501.0] == sizes[inf] > TABLE.nbytes
    assert [codec for _, codec in samples] == ["lz4"] * 3, "once an output, where it may pay"
    assert all(rows for rows, _ in samples)
