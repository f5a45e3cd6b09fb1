"""Dask's scheduler: so many tasks that do nothing, submitted at once, two worker processes."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any


def nothing(_number: int) -> None:
    """The task."""


def rate(tasks: int) -> float:
    distributed: Any = importlib.import_module("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        client.gather(client.map(nothing, range(100), pure=False))
        began = time.perf_counter()
        client.gather(client.map(nothing, range(tasks), pure=False))
        return tasks / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(rate(int(sys.argv[1]))))
