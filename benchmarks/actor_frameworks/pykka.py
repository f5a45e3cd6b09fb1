"""Pykka: an actor is a thread.

Where the kernel puts the asker's thread and the actor's decides: on one core they hand over to each
other quickly, on two each ask wakes another core. `--apart` puts them on two.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pykka

from benchmarks.actor_frameworks._measure import (
    ASKS,
    AT_ONCE,
    SPAWNS,
    TELLS,
    Stopwatch,
    resident_bytes,
)

APART = "--apart" in sys.argv


def move_to(core: int) -> None:
    """Put the calling thread on the n-th of the cores that this process may use."""
    cores = sorted(ALLOWED)
    os.sched_setaffinity(0, {cores[core % len(cores)]})


ALLOWED = os.sched_getaffinity(0)


class Counter(pykka.ThreadingActor):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_start(self) -> None:
        if APART:
            move_to(1)

    def on_receive(self, message: Any) -> int:
        self.total += message
        return self.total


def figures() -> dict[str, float]:
    if APART:
        move_to(0)
    ref = Counter.start()
    with Stopwatch(ASKS) as one:
        for _ in range(ASKS):
            ref.ask(1)
    with Stopwatch(ASKS) as at_once:
        for _ in range(ASKS // AT_ONCE):
            pykka.get_all([ref.ask(1, block=False) for _ in range(AT_ONCE)])
    with Stopwatch(TELLS) as tell:
        for _ in range(TELLS):
            ref.tell(1)
        ref.ask(1)
    with Stopwatch(SPAWNS) as spawn:
        for _ in range(SPAWNS):
            Counter.start().stop()
    count, before = 1_000, resident_bytes()
    for other in [Counter.start() for _ in range(count)]:
        other.ask(1)
    idle = (resident_bytes() - before) / count
    pykka.ActorRegistry.stop_all()
    return {
        "ask": one.rate,
        "ask100": at_once.rate,
        "tell": tell.rate,
        "spawn": spawn.rate,
        "idle_bytes": idle,
    }


if __name__ == "__main__":
    print(json.dumps(figures()))
