"""Ray: an actor is a process. Fewer rounds, for it is slower by orders of magnitude."""

from __future__ import annotations

import json
from typing import Any

import ray

from benchmarks.actor_frameworks._measure import AT_ONCE, Stopwatch

ASKS, SPAWNS = 2_000, 10


class Counter:
    def __init__(self) -> None:
        self.total = 0

    def add(self, n: int) -> int:
        self.total += n
        return self.total


def figures() -> dict[str, Any]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    remote_class: Any = ray.remote(Counter)
    actor = remote_class.remote()
    ray.get(actor.add.remote(1))
    with Stopwatch(ASKS) as one:
        for _ in range(ASKS):
            ray.get(actor.add.remote(1))
    with Stopwatch(ASKS) as at_once:
        for _ in range(ASKS // AT_ONCE):
            ray.get([actor.add.remote(1) for _ in range(AT_ONCE)])
    with Stopwatch(ASKS) as tell:
        for _ in range(ASKS):
            actor.add.remote(1)
        ray.get(actor.add.remote(1))
    with Stopwatch(SPAWNS) as spawn:
        for _ in range(SPAWNS):
            other = remote_class.remote()
            ray.get(other.add.remote(1))
            ray.kill(other)
    ray.shutdown()
    return {
        "ask": one.rate,
        "ask100": at_once.rate,
        "tell": tell.rate,
        "spawn": spawn.rate,
        "idle_bytes": None,
    }


if __name__ == "__main__":
    print(json.dumps(figures()))
