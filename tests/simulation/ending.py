"""What must hold when a simulation has ended: every query too, and nothing is left of any."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ffq.ids import QueryId
from ffq.messages import QueryState
from ffq.testing import checks
from tests.simulation.client import SimClient
from tests.simulation.faults import CUTS, SLOWNESS
from tests.simulation.invariants import require, violation
from tests.simulation.network import Network
from tests.simulation.node import SimWorker
from tests.simulation.scenario import Scenario
from tests.simulation.server import SimServer
from tests.simulation.settings import ACTOR_SETTINGS, COORDINATOR_SETTINGS, HEARTBEAT_MS

_CAUSES = (" failed ", " had to be run again ")
_GRACE_S = 20.0


def require_healthy_end(clients: Sequence[SimClient], scenario: Scenario) -> None:
    """Queries fail for causes that faults explain only. Raises Violation."""
    for client in clients:
        status = client.status
        if status is None or status.state is not QueryState.FAILED:
            continue
        explained = bool(scenario.faults) and any(cause in status.message for cause in _CAUSES)
        if not explained:
            raise violation("fails-only-for-cause", f"{client.query_id} FAILED: {status.message!r}")


def is_healthy(worker: SimWorker, scenario: Scenario) -> bool:
    """Whether a worker can do all its work though faults stay as they are."""
    standing = CUTS | SLOWNESS
    return not worker.gone and not any(
        fault.worker == worker.number and fault.kind in standing for fault in scenario.faults
    )


def can_be_run(client: SimClient, workers: Sequence[SimWorker], scenario: Scenario) -> bool:
    """Whether a healthy worker has all that the query needs."""
    return any(
        is_healthy(worker, scenario) and client.operators <= worker.operators | {"op.poison"}
        for worker in workers
    )


def require_waiting_says_so(clients: Sequence[SimClient], server: SimServer) -> None:
    """A query that waits for what no live worker has names it (R10). Raises Violation."""
    if server.machines is None:
        return
    state = server.machines.state
    for client in clients:
        query = state.queries.get(client.query_id)
        if client.state is not None or query is None or query.state.terminal or query.running:
            continue
        live = [worker.capabilities for worker in state.workers.live.values()]
        missing = {name for name in client.operators if not any(name in each for each in live)}
        stages = [stage for stage in query.stages if stage.has_work]
        blocked = stages and all(stage.plan.operators & missing for stage in stages)
        message = client.status.message if client.status is not None else ""
        if blocked and live:
            checks.waiting_is_said(require, str(client.query_id), missing, message)


async def settle(server: SimServer, workers: Sequence[SimWorker]) -> None:
    """Wait until nothing runs and no file is left. Raises Violation, naming what is left."""
    await _until(lambda: not _busy(workers), "work-stops-at-the-end", lambda: _busy(workers))
    await _until(lambda: not _files(workers), "files-return", lambda: _files(workers))
    await _until(lambda: not _slots(server), "slots-come-back", lambda: _slots(server))
    await _until(lambda: not _mail(server), "mailboxes-drain", lambda: _mail(server))


async def forget(server: SimServer, network: Network, query_ids: Sequence[QueryId]) -> None:
    """Let the time pass after which ended queries are forgotten. Raises Violation."""
    while network.late:  # noqa: ASYNC110 - nothing tells when it is
        await trio.sleep(1.0)
    pause_ms = COORDINATOR_SETTINGS.result_ttl_ms + 4 * ACTOR_SETTINGS.tick_ms
    await trio.sleep(pause_ms / 1000)
    if server.machines is None:
        return
    state = server.machines.state
    revived = [query.query_id for query in state.queries.values() if not query.state.terminal]
    if revived:
        return  # a stray SubmitQuery came after its query was forgotten: it is a new query
    if state.queries:
        raise violation("eviction-comes", f"still kept are {sorted(state.queries)}")
    held = {
        "partitions in the registry": server.machines.registry.state.held_partitions(),
        "partitions in the account": state.output_partitions,
        "result bytes in the store": server.machines.results.state.held_bytes(),
        "result bytes in the account": state.held_result_bytes,
        "plan bytes": state.plan_bytes,
        "tasks in backoff": len(state.backoff),
    }
    left = {name: count for name, count in held.items() if count}
    if left:
        raise violation("state-returns", f"after the last of {len(query_ids)} queries: {left}")


async def _until(holds: Callable[[], bool], name: str, left: Callable[[], object]) -> None:
    deadline = trio.current_time() + _GRACE_S
    while not holds():
        if trio.current_time() > deadline:
            raise violation(name, f"{_GRACE_S:.0f} s after the last query ended: {left()}")
        await trio.sleep(HEARTBEAT_MS / 1000)


def _busy(workers: Sequence[SimWorker]) -> list[str]:
    return [
        f"{key} on {worker.name}"
        for worker in workers
        if not worker.gone and worker.loop is not None and worker.executor is not None
        for key in sorted({*worker.loop.running, *worker.executor.running})
    ]


def _files(workers: Sequence[SimWorker]) -> list[str]:
    return [
        f"{key} on {worker.name}"
        for worker in workers
        if not worker.down
        for key in sorted(worker.disk.outputs)
    ]


def _slots(server: SimServer) -> dict[str, list[str]]:
    if server.machines is None:
        return {}
    return {
        str(worker_id): sorted(map(str, worker.running))
        for worker_id, worker in server.machines.state.workers.live.items()
        if worker.running
    }


def _mail(server: SimServer) -> dict[str, int]:
    return {} if server.machines is None else server.machines.mail()
