"""Pykka: an actor is a thread."""

from __future__ import annotations

import json
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


class Counter(pykka.ThreadingActor):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_receive(self, message: Any) -> int:
        self.total += message
        return self.total


def figures() -> dict[str, float]:
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
