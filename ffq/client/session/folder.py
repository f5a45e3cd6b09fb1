"""A session's own folder, which goes away with it, however it ends.

A process beside it waits for the end of its stdin, whose other end this process alone has, and
then removes the folder: also when this process was killed without a chance to.
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

import trio

from ffq.client.children import keeping_alive
from ffq.threads import run_blocking

_REMOVER = """
import os, shutil, sys, time
sys.stdin.buffer.read()
for _ in range(300):  # workers may still be ending in it
    if not os.path.exists(sys.argv[1]):
        break
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    time.sleep(0.2)
"""


@asynccontextmanager
async def own_folder() -> AsyncIterator[Path]:
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
            with keeping_alive(remover):
                yield folder
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await run_blocking(partial(shutil.rmtree, folder, ignore_errors=True))
