"""The asyncio loop that grpc.aio servers run on: a thread of its own has it, or this very one.

grpc.aio has one poller for the whole process. Loops that share it steal each other's wake-ups, so
all servers of a process share one loop: started by the first, closed with the last. In a process
whose only Trio run is a guest of such a loop (`ffq.rpc.guest`) it is that one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import trio

from ffq.rpc.forks import check_process
from ffq.rpc.waiting import wait_future
from ffq.threads import run_blocking

T = TypeVar("T")


class ServerLoop:
    """An asyncio loop. `one_thread`: Trio runs in its thread, as its guest."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, one_thread: bool) -> None:
        self.loop = loop
        self.one_thread = one_thread
        loop.set_exception_handler(_on_exception)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """From Trio: the result of a coroutine that runs on the loop."""
        return await wait_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop))


class LoopThread(ServerLoop):
    """A thread that runs an asyncio loop until it is closed."""

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop(), one_thread=False)
        self._thread = threading.Thread(target=self._run, name="ffq-grpc", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            finish(self.loop)
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def close(self) -> None:
        """Stop the loop and wait for its thread. Blocks."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


def finish(loop: asyncio.AbstractEventLoop) -> None:
    """In its thread, when it has stopped: let what is left on it end."""
    loop.run_until_complete(_finish_tasks())
    loop.run_until_complete(loop.shutdown_asyncgens())


async def _finish_tasks() -> None:
    """grpc.aio leaves tasks of its own behind a stopped server: let them end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A second loop in this process (an application's own use of grpc.aio) may have read the
    # poller's wake-up first; grpc.aio does not expect that, but nothing is lost.
    if isinstance(context.get("exception"), BlockingIOError):
        return
    loop.default_exception_handler(context)


_lock = threading.Lock()
_shared: LoopThread | None = None
_users = 0
_hosts: dict[int, ServerLoop] = {}
"""By thread: the loop whose guest is that thread's Trio run."""


@contextmanager
def hosting(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within the block the servers of this thread's Trio run share this loop, its host."""
    thread = threading.get_ident()
    _hosts[thread] = ServerLoop(loop, one_thread=True)
    try:
        yield
    finally:
        del _hosts[thread]


def _acquire() -> LoopThread:
    global _shared, _users  # noqa: PLW0603  # mirrors grpc.aio's own process-wide poller
    with _lock:
        if _shared is None:
            _shared = LoopThread()
        _users += 1
        return _shared


def _release() -> None:
    global _shared, _users  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users == 0 and _shared is not None:
            _shared.close()
            _shared = None


@asynccontextmanager
async def shared_loop() -> AsyncIterator[ServerLoop]:
    """The process's loop for grpc.aio, kept running inside the block."""
    check_process()
    host = _hosts.get(threading.get_ident())
    if host is not None:
        yield host
        return
    loop = _acquire()
    try:
        yield loop
    finally:
        with trio.CancelScope(shield=True):
            await run_blocking(_release)
