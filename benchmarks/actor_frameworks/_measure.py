"""How the actor benchmarks measure: the same counts for every framework."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

ASKS = 20_000
AT_ONCE = 100
TELLS = 40_000
SPAWNS = 2_000
MAILBOX = 128


class Stopwatch:
    """`with Stopwatch(count) as watch: ...` and then `watch.rate`, in operations per second."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.rate = 0.0

    def __enter__(self) -> Stopwatch:
        gc.collect()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.rate = self._count / (time.perf_counter() - self._start)


def resident_bytes() -> int:
    """Memory of this process that is in RAM, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
