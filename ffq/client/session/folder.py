"""A session's own folder, which goes away with it, however it ends.

A process beside it waits for the end of its stdin, and then removes the folder: also when this
process was killed without a chance to. The other end this process has, and each that keeps files
there: one that is killed while they start would leave a folder to those that make theirs later.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from ffq.client.children import keeping_alive
from ffq.threads import run_blocking

_REMOVER = """
import shutil, sys
sys.stdin.buffer.read()
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@attrs.frozen
class OwnFolder:
    """lifeline: a file descriptor; the folder stays for as long as any process has it."""

    path: Path
    lifeline: int


@asynccontextmanager
async def own_folder() -> AsyncIterator[OwnFolder]:
    """A new folder for temporary files, removed at the end."""
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
            with keeping_alive(remover) as lifeline:
                yield OwnFolder(folder, lifeline)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await run_blocking(partial(shutil.rmtree, folder, ignore_errors=True))
