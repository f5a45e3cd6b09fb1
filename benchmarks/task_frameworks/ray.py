"""Ray: so many tasks that do nothing, submitted at once, on two processors."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ray


def nothing() -> None:
    """The task."""


def rate(tasks: int) -> float:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    remote: Any = ray.remote(nothing)
    ray.get([remote.remote() for _ in range(100)])
    began = time.perf_counter()
    ray.get([remote.remote() for _ in range(tasks)])
    found = tasks / (time.perf_counter() - began)
    ray.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(rate(int(sys.argv[1]))))
