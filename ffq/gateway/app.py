"""A coordinator, composed: actors, planner and gRPC server."""

from __future__ import annotations

import time

import attrs
import trio

from ffq.actors import open_coordinator, trio_clock_ms
from ffq.catalog import Catalog
from ffq.gateway.control import ControlPlane
from ffq.gateway.inspection import Inspection
from ffq.gateway.planning import QueryPlanner
from ffq.gateway.results import ResultStreams
from ffq.gateway.shuffle import ShuffleFrontend
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import Routes
from ffq.rpc.server import ServerAddress, serve
from ffq.service import ServedCoordinator
from ffq.settings import GatewaySettings

SHARED_READS = 16


async def serve_gateway(
    settings: GatewaySettings,
    *,
    task_status: trio.TaskStatus[ServerAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a coordinator until cancelled: `address = await nursery.start(serve_gateway, settings)`.

    Cancelled, it stops taking calls, lets those under way finish for the options' grace, then ends
    the actors.

    Raises:
        StartupError: the address cannot be bound.
        InvalidRequest: the catalog is not one; it names file, entry and field.
        ActorFailed: the coordinator found itself inconsistent and stopped.
    """
    path = settings.catalog_path
    catalog = None if path is None else await trio.to_thread.run_sync(Catalog.load, path)
    planner = QueryPlanner(catalog, settings.scans, _plan_limits(settings))
    async with open_coordinator(planner.plan, settings.coordinator) as coordinator:
        with ChannelPool(settings.rpc) as peers:
            routes = gateway_routes(coordinator, settings, peers)
            await serve(routes, settings.bind, settings.rpc, task_status=task_status)


def gateway_routes(
    coordinator: ServedCoordinator, settings: GatewaySettings, peers: ChannelPool
) -> Routes:
    """All services of a coordinator whose clock is Trio's."""
    unix_offset_ms = int(time.time() * 1000) - trio_clock_ms()
    results = ResultStreams(settings.rpc.chunk_bytes)
    shuffle = ShuffleFrontend(
        coordinator,
        peers,
        settings.shuffle_root,
        settings.rpc.chunk_bytes,
        trio.CapacityLimiter(SHARED_READS),
    )
    return (
        *ControlPlane(coordinator, results, unix_offset_ms).routes(),
        *shuffle.routes(),
        *Inspection(coordinator, unix_offset_ms).routes(),
    )


def _plan_limits(settings: GatewaySettings) -> PlanLimits:
    """A plan must fit into a GetTask answer, which holds it once per task."""
    largest = min(DEFAULT_LIMITS.max_bytes, settings.coordinator.max_assignment_bytes)
    return attrs.evolve(DEFAULT_LIMITS, max_bytes=largest)
