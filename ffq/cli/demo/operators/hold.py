"""`demo.hold`: the pause in which the demo kills a worker."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from ffq.cli.demo.queries import HOLD_OPERATOR
from ffq.engine.operators import operator

_POLL_S = 0.02


@operator(HOLD_OPERATOR)
def hold(batches: Iterator[pa.RecordBatch], config: Mapping[str, str]) -> Iterable[pa.RecordBatch]:
    """Pass every row on unchanged, once the file that `config["until"]` names exists.

    Raises:
        TimeoutError: it did not appear within `config["at_most_s"]` seconds.
    """
    gate = Path(config["until"])
    patience = float(config["at_most_s"])
    deadline = time.monotonic() + patience
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{gate} did not appear within {patience:g} s")
        time.sleep(_POLL_S)
    yield from batches
