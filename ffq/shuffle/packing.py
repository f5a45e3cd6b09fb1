"""Whether map output is compressed: only where that costs less than what it saves.

It costs processor time, when it is written and when it is read. It saves bytes, which are worth the
time that they take on the way to who reads them: much on a slow link, nothing in the same host.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import attrs
import pyarrow as pa

SAMPLE_BYTES: Final = 256 * 1024
"""Of a batch's memory; a quarter of a millisecond's work."""


@attrs.frozen
class Sample:
    """What compressing does to some rows.

    Attributes:
        ratio: bytes compressed, for each byte before.
        bytes_per_s: bytes that are compressed, and made of that again, in a second of processor
            time.
    """

    ratio: float
    bytes_per_s: float


def pays(ratio: float, compress_bytes_per_s: float, link_bytes_per_s: float) -> bool:
    """Whether compressing a byte, and back, takes less time than the link does for what it saves.

    Args:
        ratio, compress_bytes_per_s: as in `Sample`.
        link_bytes_per_s: at which bytes go to who reads them; inf: they are there.
    """
    return link_bytes_per_s < (1 - ratio) * compress_bytes_per_s


def sampled(batches: Sequence[pa.RecordBatch], codec: str) -> Sample:
    """Of the first rows of at least one batch that has any, about `SAMPLE_BYTES` of them."""
    plain = pa.py_buffer(b"".join(_first_rows(batches)))
    packing = pa.Codec(codec)
    began = time.thread_time_ns()
    packed = packing.compress(plain)
    packing.decompress(packed, plain.size)
    took_ns = max(1, time.thread_time_ns() - began)
    return Sample(packed.size / plain.size, plain.size / took_ns * 1e9)


def _first_rows(batches: Sequence[pa.RecordBatch]) -> list[pa.Buffer]:
    found, left = [], SAMPLE_BYTES
    for batch in batches:
        if not batch.num_rows:
            continue  # Arrow would write all offsets that it is a slice of
        rows = min(batch.num_rows, max(1, batch.num_rows * left // max(1, batch.nbytes)))
        part = batch.slice(0, rows)
        found.append(part.serialize())
        left -= part.nbytes
        if left <= 0:
            break
    return found
