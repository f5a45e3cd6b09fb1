"""Large pieces of results on disk: a coordinator holds results in files, not in its memory.

The core keeps a piece for as long as the result is kept, and says nothing when it lets go of one.
So each file goes with the value that stands for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs

from ffq.errors import DiskError, QuotaExceeded
from ffq.messages import FromWorker, RegisterQueryResults, Rpc, StreamRpc, ToWorker
from ffq.service import LocalCoordinator, OnReply, Posted
from ffq.threads import run_blocking

C = TypeVar("C")
R = TypeVar("R")

IN_MEMORY_BYTES: Final = 256 << 10
"""Pieces below stay in memory: of a result that comes in pieces of 1 MiB, the last one."""
_PREFIX: Final = "ffq-results-"
_LOCK: Final = "lock"


@attrs.frozen(eq=False)
class _File:
    """A `StoredPayload`: the bytes of a file, which goes when nobody has this any more."""

    path: str
    size: int
    digest: bytes

    def __attrs_post_init__(self) -> None:
        weakref.finalize(self, _unlink, self.path)

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _File) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def load(self) -> bytes:
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise DiskError(f"cannot read a result: {error.strerror}") from error


@attrs.define
class PayloadFolder:
    """Where the files are."""

    folder: Path
    _written: int = 0

    def keep(self, payload: bytes) -> _File:
        """Raises QuotaExceeded: the disk is full, or not usable."""
        self._written += 1
        path = self.folder / f"{self._written}-{os.urandom(4).hex()}"
        try:
            path.write_bytes(payload)
        except OSError as error:
            _unlink(str(path))
            raise QuotaExceeded(
                f"the coordinator cannot keep results in {self.folder}: {error.strerror}"
            ) from error
        digest = hashlib.blake2b(payload, digest_size=32).digest()
        return _File(str(path), len(payload), digest)


@contextmanager
def payload_folder(place: Path | None) -> Iterator[PayloadFolder]:
    """A private folder, removed at the end; what coordinators that were killed left goes first.

    Its owner holds a lock (flock) on a file in it for as long as it lives.

    Args:
        place: where it is made; None: where temporary files are.
    """
    place = place or Path(tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield PayloadFolder(folder)
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


@attrs.frozen
class KeepsResultsOnDisk:
    """A `Coordinator` that puts large pieces of results into files before it passes them on."""

    inner: LocalCoordinator
    folder: PayloadFolder

    async def ask(self, message: Rpc[R], /) -> R:
        """Raises QuotaExceeded: the disk is full; and as the coordinator behind."""
        large = _large(message)
        if large is None:
            return await self.inner.ask(message)
        stored = await run_blocking(self.folder.keep, large.payload)
        kept: Any = attrs.evolve(large, payload=b"", stored=stored)
        return await self.inner.ask(cast(Rpc[R], kept))

    def posts(self, message: type) -> bool:
        """As the coordinator behind; what may have to be written into a file is asked."""
        return message is not RegisterQueryResults and self.inner.posts(message)

    def post(self, message: Rpc[Any], on_reply: OnReply, deadline: float) -> Posted:
        """As the coordinator behind."""
        return self.inner.post(message, on_reply, deadline)

    async def serve_exchange(
        self, incoming: AsyncIterator[FromWorker], send: Callable[[ToWorker], Awaitable[None]]
    ) -> None:
        """As the coordinator behind: the results that come on a worker's stream are small."""
        await self.inner.serve_exchange(incoming, send)

    def stream(
        self, message: StreamRpc[C, Any], /
    ) -> AbstractAsyncContextManager[AsyncIterator[C]]:
        """As the coordinator behind."""
        return self.inner.stream(message)


def _large(message: object) -> RegisterQueryResults | None:
    """A piece that is to go into a file."""
    if isinstance(message, RegisterQueryResults) and len(message.payload) >= IN_MEMORY_BYTES:
        return message
    return None


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
