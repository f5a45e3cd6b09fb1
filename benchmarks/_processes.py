"""Processes that benchmarks start, what they take, and how the coordinator's state is checked."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from benchmarks._gateway import CONSISTENT
from benchmarks._invariants import hold
from ffq.actors import open_coordinator
from ffq.actors.coordinator import ActorCoordinator
from ffq.gateway import app
from ffq.settings import DEFAULT_ONE_TASK_BYTES
from tests.processes import Running, running, worker

INVARIANTS = (
    "after the load: validate_state of each of the coordinator's machines, that they agree, and the"
    " harness's invariants over every query that is kept"
)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken, with all its threads, also those that ended.

    From the kernel's clock of that process: nanoseconds, where /proc counts in hundredths.
    """
    return time.clock_gettime((~pid << 3) | 2)


@attrs.frozen
class Server:
    """A process that serves. `endpoint`: host:port."""

    process: Running
    endpoint: str

    @property
    def pid(self) -> int:
        return self.process.pid


@contextmanager
def gateway(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A real gateway process, which shares out what it usually does: tests have it share out all
    queries. At the end its coordinator checks itself, and it is stopped.

    Raises AssertionError: it did not find its state consistent, or did not end in order.
    """
    command = ("--bind=127.0.0.1:0", "--log-level=warning", *arguments)
    usual = {"FFQ_ONE_TASK_BYTES": str(DEFAULT_ONE_TASK_BYTES)} | dict(env or {})
    with running(*command, env=usual, module="benchmarks._gateway") as process:
        line = process.wait_for("gateway ready on ")
        yield Server(process, line.removeprefix("gateway ready on ").strip())
        process.signal(signal.SIGUSR1)
        process.wait_for(CONSISTENT)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


@contextmanager
def bare_server(*arguments: str) -> Iterator[Server]:
    """A bare grpc.aio server that answers the calls of workers."""
    with running(*arguments, module="benchmarks._bare_server") as process:
        line = process.wait_for("bare server ready on ")
        yield Server(process, line.removeprefix("bare server ready on ").strip())


@contextmanager
def checked_inside() -> Iterator[Callable[[], None]]:
    """For clusters of this process: what is yielded has each of their coordinators check itself.

    To be called from another thread than theirs. Raises InvariantViolated, Violation, and
    RuntimeError where there is no coordinator.
    """
    alive: list[tuple[ActorCoordinator, trio.lowlevel.TrioToken]] = []

    @asynccontextmanager
    async def kept(*arguments: Any, **options: Any) -> AsyncIterator[ActorCoordinator]:
        async with open_coordinator(*arguments, **options) as coordinator:
            own = (coordinator, trio.lowlevel.current_trio_token())
            alive.append(own)
            try:
                yield coordinator
            finally:
                alive.remove(own)

    def check() -> None:
        if not alive:
            raise RuntimeError("no coordinator is alive in this process")
        for coordinator, token in alive:
            trio.from_thread.run(hold, coordinator, trio_token=token)

    vars(app)["open_coordinator"] = kept
    try:
        yield check
    finally:
        vars(app)["open_coordinator"] = open_coordinator


@contextmanager
def cluster(
    files: Mapping[str, Sequence[Path]], folder: Path, workers: int, *options: str
) -> Iterator[Server]:
    """A gateway with tables, and worker processes with these options.

    Args:
        files: of each table by its name.
        folder: for the catalog.
    """
    entries = [
        {"name": name, "paths": [str(path) for path in paths]} for name, paths in files.items()
    ]
    catalog = folder / "tables.json"
    catalog.write_text(json.dumps(entries))
    with gateway(f"--catalog={catalog}") as server, ExitStack() as running_workers:
        for number in range(workers):
            each = worker(server.endpoint, f"w{number}", "--log-level=warning", *options)
            running_workers.enter_context(each)
        yield server
