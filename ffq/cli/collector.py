"""The garbage collector of a process that serves: gateway and worker.

What is there when it is ready stays as long as it does, and is looked through no more. What comes
and goes with calls is freed by its count; cycles are few. So the collector looks for them seldom: a
full look through a gateway that holds many tasks keeps all its callers waiting.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)
"""As `gc.set_threshold` takes them. Garbage in cycles is at most about the first, in objects."""


def settle() -> None:
    """To be called once, when the process is ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
