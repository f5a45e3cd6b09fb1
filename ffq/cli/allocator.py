"""The C library's allocator in a worker's process.

What goes between workers comes and goes in buffers of a mebibyte. As it is set by itself, glibc
asks the system for the memory of each and gives it back: every page is then cleared and mapped
anew, which takes more of the processor than to send what is in it.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_MIB: Final = 1 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""As `mallopt` numbers them."""
_SET: Final = (
    (_TRIM_THRESHOLD, 128 * _MIB),  # of what is free, so much is kept
    (_MMAP_THRESHOLD, 16 * _MIB),  # of one buffer: larger ones go straight to the system and back
)


def keep_freed_memory() -> bool:
    """Have freed memory kept for what comes next; to be called once, at the start.

    False: left as it is, for its user has set it (`MALLOC_...`, `GLIBC_TUNABLES`), or it is another
    allocator.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(what, value) == 1 for what, value in _SET)
