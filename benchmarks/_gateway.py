"""`python -m benchmarks._gateway [FLAGS]`: `ffq gateway`; its coordinator checks itself when told.

Nothing is different while it serves. On SIGUSR1 every machine of the coordinator validates its
state, and the harness's invariants are held against all (`_invariants.py`): what a load has left
behind must be consistent. Otherwise the process ends with an error.
Where BENCHMARK_TIMES is set it says of each query when it was accepted, and so runnable, on the
clock that all processes of a machine share.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from ffq.actors import open_coordinator
from ffq.actors.coordinator import ActorCoordinator
from ffq.cli.main import main as ffq_command
from ffq.gateway import app
from ffq.messages import AcceptQuery
from ffq.runtime import Hooks

TIMES = "BENCHMARK_TIMES"
CONSISTENT = "the coordinator's state is consistent"


class AcceptedTimes(Hooks):
    """Says "accepted ID NANOSECONDS" of each query."""

    def message_handled(self, _path: str, message: Any, error: BaseException | None) -> None:
        if isinstance(message, AcceptQuery) and error is None:
            say("accepted", message.query_id)


def say(what: str, query_id: str) -> None:
    """A line with the monotonic time, in ns."""
    sys.stderr.write(f"{what} {query_id} {time.monotonic_ns()}\n")


@asynccontextmanager
async def checked_coordinator(*arguments: Any, **options: Any) -> AsyncIterator[ActorCoordinator]:
    """As `open_coordinator`. Told to look, it may raise InvariantViolated or Violation."""
    hooks = AcceptedTimes() if os.environ.get(TIMES) else None
    async with (
        open_coordinator(*arguments, hooks=hooks, **options) as coordinator,
        trio.open_nursery() as own,
    ):
        own.start_soon(_check_when_told, coordinator)
        yield coordinator
        own.cancel_scope.cancel()


async def _check_when_told(coordinator: ActorCoordinator) -> None:
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            # What judges is of no use to a gateway that serves, and would be in its memory.
            invariants: Any = importlib.import_module("benchmarks._invariants")
            seen = await invariants.hold(coordinator)
            print(f"{CONSISTENT}: {seen}", file=sys.stderr, flush=True)


def main() -> int:
    """Serve until stopped."""
    vars(app)["open_coordinator"] = checked_coordinator
    return ffq_command(["gateway", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
