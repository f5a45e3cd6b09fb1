"""Holds a commit at its last step until a file appears, or for ever: a worker imports this module.

The variable HELD_COMMIT says when: `before` or `after` files are visible, and then the folder in
which this tells that it is held, and looks for the file `go`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ffq.engine import operator, writes
from ffq.engine.staging import Staging

_when, _, _folder = os.environ["HELD_COMMIT"].partition(" ")
_make_visible = writes._make_visible


def _held(staging: Staging, made: Path) -> None:
    if _when == "after":
        _make_visible(staging, made)
    Path(_folder, "held").touch()
    while not Path(_folder, "go").exists():
        time.sleep(0.01)
    try:
        if _when == "before":
            _make_visible(staging, made)
    finally:
        Path(_folder, "went on").touch()


writes._make_visible = _held


@operator("test.held_commit")
def unused(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A worker imports modules for the operators that they have."""
    return batches
