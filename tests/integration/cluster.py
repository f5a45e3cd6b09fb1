"""A gateway and workers as real processes on loopback, seen through a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import trio

from ffq.client import Client, QueryHandle, connect
from ffq.messages import AttemptStatus, TaskState
from ffq.plan import Relation, col, count, scan
from tests.processes import END_TIMEOUT_S, Running, gateway, running

ROOT = Path(__file__).parents[2]
FILES = 4
ROWS = 4_000
LIVENESS_MS = 2_000
FOREVER_MS = 3_600_000
"""For tests in which no worker shall be lost by silence."""
ROWS_OF_T = scan("t", ["k", "v"])
GATE_OPERATORS = "tests.integration.gate_ops"
SPECIAL_OPERATORS = "tests.integration.special_ops"


@attrs.frozen
class Dataset:
    """Table `t`, FILES files: k 0..9, v 0..ROWS-1. `gate` is the file that opens the gate."""

    folder: Path

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def shuffle(self) -> Path:
        return self.folder / "shuffle"

    @property
    def catalog(self) -> Path:
        return self.folder / "tables.json"

    def gated_scan(self) -> Relation:
        """Rows of `t`, held before the exchange until the gate opens."""
        return ROWS_OF_T.custom("test.gate", {"file": str(self.gate)}, columns=["k", "v"])

    def expected(self) -> pa.Table:
        """What `totals` gives."""
        return pa.table(
            {
                "k": list(range(10)),
                "n": [ROWS // 10] * 10,
                "total": [sum(range(k, ROWS, 10)) for k in range(10)],
            }
        )


def totals(rows: Relation) -> Relation:
    """Rows and sum of v for each k."""
    return rows.aggregate(["k"], [count().alias("n"), col("v").sum().alias("total")], partitions=4)


def same_rows(result: pa.Table, expected: pa.Table) -> bool:
    """Equal as multisets, whatever the widths of the numbers."""
    return sorted(map(_row, result.to_pylist())) == sorted(map(_row, expected.to_pylist()))


def _row(row: dict[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in row.items())


def write_dataset(folder: Path) -> Dataset:
    """Write the table, a file that is no Parquet, and the catalog."""
    dataset = Dataset(folder)
    share = ROWS // FILES
    (folder / "t").mkdir()
    for number in range(FILES):
        values = list(range(number * share, (number + 1) * share))
        table = pa.table({"k": [value % 10 for value in values], "v": values})
        pq.write_table(table, folder / "t" / f"{number}.parquet")
    tables = [{"name": "t", "uri": str(folder / "t")}]
    dataset.catalog.write_text(json.dumps(tables))
    return dataset


@attrs.define
class Cluster:
    """A running gateway, and a client of it."""

    dataset: Dataset
    endpoint: str
    client: Client
    gateway: Running
    heartbeat_ms: int

    @contextmanager
    def workers(self, *names: str, slots: int = 2) -> Iterator[tuple[Running, ...]]:
        """Workers started side by side, all ready; each is killed at the end of the block."""
        with ExitStack() as stack:
            started = [
                stack.enter_context(self._starting(name, f"--slots={slots}")) for name in names
            ]
            for name, process in zip(names, started, strict=True):
                process.wait_for(f"worker {name} ready")
            yield tuple(started)

    @contextmanager
    def worker(
        self, name: str, *arguments: str, operators: str = GATE_OPERATORS
    ) -> Iterator[Running]:
        """A worker, ready; it is killed at the end of the block."""
        with self._starting(name, *arguments, operators=operators) as process:
            process.wait_for(f"worker {name} ready")
            yield process

    def _starting(
        self, name: str, *arguments: str, operators: str = GATE_OPERATORS
    ) -> AbstractContextManager[Running]:
        return running(
            "worker",
            f"--coordinator={self.endpoint}",
            f"--worker-id={name}",
            "--shuffle-bind=127.0.0.1:0",
            f"--shuffle-root={self.dataset.shuffle}",
            f"--operators={operators}",
            f"--heartbeat-ms={self.heartbeat_ms}",
            *arguments,
            env={
                "PYTHONPATH": str(ROOT),
                "FFQ_WORKER_LIVENESS_TIMEOUT_MS": str(5 * self.heartbeat_ms),
            },
        )

    async def sees(self, what: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds in another process; fails after END_TIMEOUT_S."""
        with trio.fail_after(END_TIMEOUT_S):
            while not await what():  # noqa: ASYNC110 - it happens in another process
                await trio.sleep(0.02)

    async def running_on(
        self, query: QueryHandle, worker_id: str, *, stage: int = 1
    ) -> AttemptStatus:
        """Wait until an attempt of that stage of the query is seen RUNNING on that worker."""
        with trio.fail_after(END_TIMEOUT_S):
            while True:
                for attempt in await query.attempts():
                    if (
                        attempt.state is TaskState.RUNNING
                        and attempt.worker_id == worker_id
                        and attempt.key.stage_id == stage
                    ):
                        return attempt
                await trio.sleep(0.02)


@contextmanager
def gateway_for(
    dataset: Dataset, *arguments: str, liveness_ms: int = FOREVER_MS
) -> Iterator[tuple[Running, str]]:
    """A gateway that gives every row group a task of its own, and retries at once."""
    with gateway(
        f"--catalog={dataset.catalog}",
        f"--worker-liveness-timeout-ms={liveness_ms}",
        "--scan-target-bytes=1",
        "--retry-backoff-base-ms=10",
        *arguments,
    ) as started:
        yield started


@asynccontextmanager
async def cluster(folder: Path, *, liveness_ms: int = FOREVER_MS) -> AsyncIterator[Cluster]:
    """A gateway over a fresh dataset; workers are added by the test."""
    dataset = write_dataset(folder)
    with gateway_for(dataset, liveness_ms=liveness_ms) as (process, endpoint):
        async with connect(endpoint) as client:
            yield Cluster(dataset, endpoint, client, process, min(300, liveness_ms // 5))
