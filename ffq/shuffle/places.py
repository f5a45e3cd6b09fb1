"""Where map output lies, told to another process of this host, which opens it there.

A path alone proves nothing: on another host, or in another container, it may be another file. So
whoever opens one looks whether it is the very file that was meant: by its inode, its device and its
size, and that it belongs to its own user.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence

from ffq.messages import FilePlace, ShuffleChunk
from ffq.shuffle.pieces import Piece, read_pieces


def places_of(pieces: Sequence[Piece]) -> tuple[FilePlace, ...] | None:
    """None: not all of them lie in files. Raises OSError."""
    found: dict[str, os.stat_result] = {}
    places = []
    for piece in pieces:
        if piece.path is None:
            return None
        path = str(piece.path.absolute())
        file = found.get(path)
        if file is None:
            file = found[path] = piece.path.stat()
        places.append(
            FilePlace(path, piece.offset, piece.size, file.st_dev, file.st_ino, file.st_size)
        )
    return tuple(places)


def read_places(
    places: Sequence[FilePlace], chunk_bytes: int
) -> Generator[ShuffleChunk, None, None]:
    """As `read_pieces`, from the first byte to the last, of files that are the ones meant.

    Raises:
        OSError: one is not, or cannot be read.
    """
    opened: dict[str, int] = {}
    try:
        pieces = []
        for place in places:
            if place.path not in opened:
                opened[place.path] = _opened(place)
            pieces.append(Piece(place.bytes, descriptor=opened[place.path], offset=place.offset))
        yield from read_pieces(pieces, 0, 0, chunk_bytes)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _opened(place: FilePlace) -> int:
    """Its descriptor. Never waits: what is no regular file is not read. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(place.path, flags)
    file = os.fstat(descriptor)
    meant = (place.device, place.inode, place.file_bytes, os.geteuid())
    found = (file.st_dev, file.st_ino, file.st_size, file.st_uid)
    if found == meant and stat.S_ISREG(file.st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(f"{place.path} is another file than the one that was meant")
