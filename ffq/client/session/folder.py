"""What a session leaves to nobody: its own folder, and its worker processes, however it ends.

A process beside it waits for the end of its stdin, whose other end the session's process alone
has: also when that was killed without a chance to say so. Workers end by themselves then, unless
they are in code that lets no other of their process run, as a library in C may be. Those it kills,
and then it removes the folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import trio

from ffq.client.children import keeping_alive
from ffq.threads import run_blocking

_GRACE_S = 5
# A pidfd is of one process, also when its number has become another's.
_REMOVER = f"""
import os, select, shutil, signal, sys, time
workers = []
for line in sys.stdin.buffer:
    try:
        workers.append(os.pidfd_open(int(line)))
    except OSError:  # it has ended
        pass
late = time.monotonic() + {_GRACE_S}
for worker in workers:
    ends = select.poll()
    ends.register(worker, select.POLLIN)
    if not ends.poll(max(0, late - time.monotonic()) * 1000):
        try:
            signal.pidfd_send_signal(worker, signal.SIGKILL)
        except OSError:
            pass
for _ in range(300):  # workers may still be ending in it
    if not os.path.exists(sys.argv[1]):
        break
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    time.sleep(0.2)
"""


@attrs.frozen
class OwnFolder:
    """A session's folder for temporary files."""

    path: Path
    _remover: trio.Process
    _turn: trio.Lock = attrs.field(factory=trio.Lock)
    """Workers that ended together are started again together, and the pipe takes one of them."""

    async def end_with_it(self, pid: int) -> None:
        """Have a worker process of this session killed where it outlives it."""
        assert self._remover.stdin is not None
        async with self._turn:
            with suppress(trio.BrokenResourceError):  # somebody has killed what would do it
                await self._remover.stdin.send_all(b"%d\n" % pid)


@asynccontextmanager
async def own_folder() -> AsyncIterator[OwnFolder]:
    """A new one, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ffq-session-"))
    try:
        async with trio.open_nursery() as nursery:
            remover: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    [sys.executable, "-I", "-S", "-c", _REMOVER, str(folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                    start_new_session=True,
                )
            )
            with keeping_alive(remover):
                yield OwnFolder(folder, remover)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await run_blocking(partial(shutil.rmtree, folder, ignore_errors=True))
