"""Holds a commit at its last step until a file appears, or for ever: a worker imports this module.

The variable HELD_COMMIT says when: `before` or `after` files are visible, and then the folder in
which this tells that it is held, and looks for the file `go`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec

import pyarrow as pa

from ffq.engine import operator, writes
from ffq.engine.publishing import Publishing

P = ParamSpec("P")

_when, _, _folder = os.environ["HELD_COMMIT"].partition(" ")


def _holding(make_visible: Callable[P, None]) -> Callable[P, None]:
    def held(*args: P.args, **more: P.kwargs) -> None:
        if _when == "after":
            make_visible(*args, **more)
        Path(_folder, "held").touch()
        while not Path(_folder, "go").exists():
            time.sleep(0.01)
        try:
            if _when == "before":
                make_visible(*args, **more)
        finally:
            Path(_folder, "went on").touch()

    return held


writes._make_visible = _holding(writes._make_visible)
Publishing._make_visible = _holding(Publishing._make_visible)  # type: ignore[method-assign]


@operator("test.held_commit")
def unused(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A worker imports modules for the operators that they have."""
    return batches
