"""The demo's cluster: a gateway and workers, each a process, on free ports of the loopback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from ffq.client.children import Child, Children
from ffq.ids import WorkerId
from ffq.messages import AttemptStatus

LIVENESS_TIMEOUT_MS = 3_000
"""Instead of 15 s: nobody wants to watch a dead worker for that long."""
HEARTBEAT_MS = 500
SCAN_BYTES_PER_SCALE = 40 * 1024 * 1024
"""Size of a scan task at scale 1; smaller at smaller scales, so that lineitem has several."""
SLOTS = 2

GATEWAY_READY = "gateway ready on "

SPECIAL_WORKER = WorkerId("w1")
"""It alone has the operator `demo.days_late`."""

HOLD_MODULE = "ffq.cli.demo.operators.hold"
LATE_MODULE = "ffq.cli.demo.operators.late"


@attrs.frozen
class DemoWorker:
    worker_id: WorkerId
    operators: tuple[str, ...]
    child: Child

    def described(self) -> str:
        """Who it is, for the screen."""
        names = ", ".join(module.rpartition(".")[2] for module in self.operators)
        return f"{self.worker_id}: pid {self.child.pid}, operator modules {names}"


@attrs.define
class DemoCluster:
    """Args: folder: where shuffle files go."""

    _children: Children
    _folder: Path
    endpoint: str
    gateway: Child
    workers: dict[WorkerId, DemoWorker] = attrs.field(factory=dict)

    def worker_of(self, attempt: AttemptStatus) -> DemoWorker:
        """The worker that was given an attempt."""
        assert attempt.worker_id is not None
        return self.workers[attempt.worker_id]

    def specialist(self) -> WorkerId:
        """The youngest worker that has the operator `demo.days_late`: the only one alive."""
        return next(
            worker.worker_id
            for worker in reversed(self.workers.values())
            if LATE_MODULE in worker.operators
        )

    async def add_worker(self, worker_id: WorkerId, operators: Sequence[str]) -> None:
        """Start a worker that has these operator modules; returns when it is ready.

        Raises:
            StartupError: it ended, or did not get ready.
        """
        arguments = [
            "worker",
            f"--coordinator={self.endpoint}",
            f"--worker-id={worker_id}",
            f"--slots={SLOTS}",
            f"--heartbeat-ms={HEARTBEAT_MS}",
            f"--shuffle-root={self._folder / worker_id}",
            "--shuffle-bind=127.0.0.1:0",
            f"--operators={','.join(operators)}",
            "--stop-with-stdin",
        ]
        child = await self._children.start(
            worker_id, arguments, ready_prefix=f"worker {worker_id} ready"
        )
        self.workers[worker_id] = DemoWorker(worker_id, tuple(operators), child)

    async def stop(self) -> None:
        """Workers first, so that they can say goodbye to the gateway."""
        async with trio.open_nursery() as nursery:
            for worker in self.workers.values():
                nursery.start_soon(worker.child.stop)
        await self.gateway.stop()


async def start_cluster(
    children: Children, folder: Path, catalog: Path, *, workers: int, scale: float
) -> DemoCluster:
    """A gateway, then its workers, all at once.

    Raises:
        StartupError: one of them ended, or did not get ready.
    """
    arguments = [
        "gateway",
        "--bind=127.0.0.1:0",
        f"--catalog={catalog}",
        f"--worker-liveness-timeout-ms={LIVENESS_TIMEOUT_MS}",
        f"--scan-target-bytes={max(1, int(scale * SCAN_BYTES_PER_SCALE))}",
        "--stop-with-stdin",
    ]
    gateway = await children.start("gateway", arguments, ready_prefix=GATEWAY_READY)
    endpoint = gateway.ready_line.removeprefix(GATEWAY_READY).strip()
    cluster = DemoCluster(children, folder, endpoint, gateway)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.add_worker, SPECIAL_WORKER, (HOLD_MODULE, LATE_MODULE))
        for number in range(2, workers + 1):
            nursery.start_soon(cluster.add_worker, WorkerId(f"w{number}"), (HOLD_MODULE,))
    return cluster
