"""An operator that holds its task until a file appears: tests decide when, not the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from ffq.engine import operator


@operator("test.gate")
def gate(batches: Iterator[pa.RecordBatch], config: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Passes rows on once the file `config["file"]` exists; can be interrupted while it waits."""
    file = Path(config["file"])
    for batch in batches:
        while not file.exists():
            yield batch.slice(0, 0)
            time.sleep(0.01)
        yield batch
