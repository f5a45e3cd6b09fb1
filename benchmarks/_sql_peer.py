"""`python -m benchmarks._sql_peer SYSTEM`: another system that answers SQL, in its own process.

The first line on stdin has the files of each table, every further one a query's text, both as JSON.
It says "answered" for each once it has all rows, or "refused" and why. It ends when stdin closes.

Known to work together: pysail 0.7.2, pyspark 4.0.1 with its extra `connect`, and pandas 2; Sail
ends the sessions of clients that are much newer. PySpark needs Java 17.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks._benchmark import CannotRun
from tests.processes import Running, running

SAIL, SPARK = "sail", "pyspark local[2]"
PACKAGES: Final = {SAIL: "pysail", SPARK: "pyspark"}
READY, ANSWERED, REFUSED = "peer ready", "answered", "refused"
SAIL_CLUSTER: Final = {
    "SAIL_MODE": "local-cluster",
    "SAIL_CLUSTER__WORKER_INITIAL_COUNT": "2",
    "SAIL_EXECUTION__DEFAULT_PARALLELISM": "4",
}
"""Two workers, which speak gRPC with each other and with their driver."""


def say(line: str) -> None:
    sys.stderr.write(f"{' '.join(line.split())}\n")
    sys.stderr.flush()


def sail_session() -> Any:
    """Sail's server in this process, and a client's session to it."""
    pysail: Any = importlib.import_module("pysail.spark")
    pyspark: Any = importlib.import_module("pyspark.sql")
    server = pysail.SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    return pyspark.SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()


def spark_session() -> Any:
    """Spark in one process of the JVM with two threads, and as many partitions of what it shuffles:
    its default of 200 is for clusters."""
    pyspark: Any = importlib.import_module("pyspark.sql")
    builder = pyspark.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()


SESSIONS: Final[dict[str, Callable[[], Any]]] = {SAIL: sail_session, SPARK: spark_session}


def main() -> None:
    """Answer until stdin closes."""
    spark = SESSIONS[sys.argv[1]]()
    for name, paths in json.loads(sys.stdin.readline()).items():
        spark.read.parquet(*paths).createOrReplaceTempView(name)
    say(READY)
    for line in sys.stdin:
        try:
            rows = spark.sql(json.loads(line)).toArrow().num_rows
            say(f"{ANSWERED} {rows}")
        except Exception as error:  # noqa: BLE001  # a peer may raise what it likes
            say(f"{REFUSED} {type(error).__name__} {str(error)[:200]}")
    os._exit(0)  # threads of the peer's may have no end


class SqlPeer:
    """The system's process, from outside."""

    def __init__(self, name: str, process: Running) -> None:
        self._name = name
        self._process = process

    def tell(self, value: object) -> None:
        stdin = self._process.process.stdin
        assert stdin is not None
        stdin.write(json.dumps(value) + "\n")
        stdin.flush()

    def ask(self, sql: str) -> None:
        """Have it answer. Raises CannotRun: it has no answer, and says why."""
        self.tell(sql)
        line = self._process.wait_for("")
        while not line.startswith((ANSWERED, REFUSED)):
            line = self._process.wait_for("")
        if line.startswith(REFUSED):
            raise CannotRun(f"{self._name}: {line}")


@contextmanager
def sql_peer(name: str, files: Mapping[str, list[Path]]) -> Iterator[SqlPeer]:
    """One that is ready. Raises AssertionError: it did not start, and what it said."""
    env = SAIL_CLUSTER if name == SAIL else {}
    with running(name, module="benchmarks._sql_peer", env=env) as process:
        peer = SqlPeer(name, process)
        peer.tell({table: [str(path) for path in paths] for table, paths in files.items()})
        process.wait_for(READY)
        yield peer


if __name__ == "__main__":
    main()
