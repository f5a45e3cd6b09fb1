"""`python -m benchmarks._sql_peer SYSTEM`: another system that answers SQL, in its own process.

The first line on stdin has the files of each table, every further one a query's text, both as JSON.
Of each it says "answered" once it has all rows, or "refused" and why, with the number of the query:
what was given up is answered later, or never. It ends when stdin closes.

Known to work together: pysail 0.7.2, pyspark 4.0.1 with its extra `connect`, and pandas 2; Sail
ends the sessions of clients that are much newer. PySpark needs Java 17.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks._benchmark import CannotRun
from tests.processes import END_TIMEOUT_S, Running, running

SAIL, SPARK = "sail", "pyspark local[2]"
PACKAGES: Final = {SAIL: "pysail", SPARK: "pyspark"}
READY, ANSWERED, REFUSED = "peer ready", "answered", "refused"
SAIL_CLUSTER: Final = {
    "SAIL_MODE": "local-cluster",
    "SAIL_CLUSTER__WORKER_INITIAL_COUNT": "2",
    "SAIL_EXECUTION__DEFAULT_PARALLELISM": "4",
}
"""Two workers, which speak gRPC with each other and with their driver."""
PATIENCE: Final = 3
"""Minutes: on a busy machine the JVM takes more than one to start, and for its first query."""


def say(line: str) -> None:
    sys.stderr.write(f"{' '.join(line.split())}\n")
    sys.stderr.flush()


@contextmanager
def sail_session() -> Iterator[Any]:
    """Sail's server in this process, which ends with its object, and a client's session to it."""
    pysail: Any = importlib.import_module("pysail.spark")
    pyspark: Any = importlib.import_module("pyspark.sql")
    server = pysail.SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    yield pyspark.SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()


@contextmanager
def spark_session() -> Iterator[Any]:
    """Spark in one process of the JVM with two threads, and as many partitions of what it shuffles:
    its default of 200 is for clusters."""
    pyspark: Any = importlib.import_module("pyspark.sql")
    builder = pyspark.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    yield builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()


SESSIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    SAIL: sail_session,
    SPARK: spark_session,
}


def main() -> None:
    """Answer until stdin closes."""
    with SESSIONS[sys.argv[1]]() as spark:
        for name, paths in json.loads(sys.stdin.readline()).items():
            spark.read.parquet(*paths).createOrReplaceTempView(name)
        say(READY)
        for number, line in enumerate(sys.stdin):
            try:
                rows = spark.sql(json.loads(line)).toArrow().num_rows
                say(f"{ANSWERED} {number} {rows}")
            except Exception as error:  # noqa: BLE001  # a peer may raise what it likes
                say(f"{REFUSED} {number} {type(error).__name__} {str(error)[:200]}")
        os._exit(0)  # threads of the peer's may have no end


class SqlPeer:
    """The system's process, from outside."""

    def __init__(self, name: str, process: Running) -> None:
        self._name = name
        self._process = process
        self._asked = 0

    def begin(self, files: Mapping[str, list[Path]]) -> None:
        """Wait until it has these tables. Raises CannotRun: it does not start, and what it said."""
        self._tell({table: [str(path) for path in paths] for table, paths in files.items()})
        self._said(READY)

    def ask(self, sql: str) -> None:
        """Have it answer. Raises CannotRun: it has no answer, and says why."""
        number, self._asked = self._asked, self._asked + 1
        self._tell(sql)
        line = self._said(f" {number} ")
        while not line.startswith((ANSWERED, REFUSED)):
            line = self._said(f" {number} ")
        if line.startswith(REFUSED):
            raise CannotRun(f"{self._name}: {line}")

    def _said(self, text: str) -> str:
        """Its next line with that text. Raises CannotRun: it has ended, or nothing comes."""
        for _ in range(PATIENCE):
            try:
                return self._process.wait_for(text)
            except AssertionError as error:
                raise CannotRun(f"{self._name} has ended: {str(error)[-300:]}") from error
            except queue.Empty:
                continue
        said = " ".join(self._process.said)[-300:]
        raise CannotRun(f"{self._name} says nothing in {PATIENCE * END_TIMEOUT_S:.0f} s; {said}")

    def _tell(self, value: object) -> None:
        stdin = self._process.process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(value) + "\n")
            stdin.flush()
        except OSError as error:
            raise CannotRun(f"{self._name} has ended: {error}") from error


@contextmanager
def sql_peer(name: str, files: Mapping[str, list[Path]]) -> Iterator[SqlPeer]:
    """One that is ready. Raises CannotRun: it is not, and why."""
    env = SAIL_CLUSTER if name == SAIL else {}
    with running(name, module="benchmarks._sql_peer", env=env) as process:
        peer = SqlPeer(name, process)
        peer.begin(files)
        yield peer


if __name__ == "__main__":
    main()
