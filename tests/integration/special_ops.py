"""An operator that only some workers of a test load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from ffq.engine import operator


@operator("test.special")
def special(
    batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Passes rows on."""
    yield from batches
