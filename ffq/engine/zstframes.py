"""Whether a zstd file is whole: DuckDB takes one that was cut off for a shorter one.

Only the headers of its blocks are looked at (RFC 8878): nothing is decompressed.
"""

from __future__ import annotations

from typing import BinaryIO, Final

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""What the magic numbers of frames without content end in; they begin with 0x50 to 0x5f."""
_DICTIONARY_BYTES: Final = (0, 1, 2, 4)
_SIZE_BYTES: Final = (0, 2, 4, 8)
_RUN: Final = 1
"""The kind of a block of one byte, however often it is repeated."""


def is_whole(file: BinaryIO, size: int) -> bool:
    """
    Args:
        size: of the file, bytes.

    Returns: False where it ends in the midst of a frame. What is no zstd is whole: whoever reads it
        says so.

    Raises:
        OSError: it cannot be read.
    """
    at = 0
    while at < size:
        head = _read(file, at, 18)
        if head[1:4] == _SKIPPABLE and head[0] >> 4 == 5:
            at += 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == _MAGIC:
            if len(head) == 4:
                return False
            at = _frame_end(file, at, head[4], size)
        else:
            return len(head) >= 4
    return at == size


def _frame_end(file: BinaryIO, at: int, descriptor: int, size: int) -> int:
    """Where a frame ends, as far as its blocks say; past `size` where they are not all there."""
    single = descriptor >> 5 & 1
    at += 5 + (not single) + _DICTIONARY_BYTES[descriptor & 3]
    at += _SIZE_BYTES[descriptor >> 6] or single
    last = False
    while not last:
        block = int.from_bytes(_read(file, at, 3), "little")
        at += 3
        if at > size:
            return at
        last = bool(block & 1)
        at += 1 if block >> 1 & 3 == _RUN else block >> 3
    return at + 4 * (descriptor >> 2 & 1)


def _read(file: BinaryIO, at: int, most: int) -> bytes:
    file.seek(at)
    return file.read(most)
