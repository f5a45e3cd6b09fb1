"""Processes that benchmarks start, what they take, and how the coordinator's state is checked."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs

from benchmarks._gateway import CONSISTENT
from tests.processes import Running, running

INVARIANTS = "validate_state of each of the coordinator's machines, after the load"


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
    """A real gateway process. At the end its coordinator checks itself, and it is stopped.

    Raises AssertionError: it did not find its state consistent, or did not end in order.
    """
    command = ("--bind=127.0.0.1:0", "--log-level=warning", *arguments)
    with running(*command, env=env, module="benchmarks._gateway") as process:
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
