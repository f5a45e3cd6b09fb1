"""A coordinator, composed: actors, planner and gRPC server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import trio

from ffq.actors import ActorSettings, open_coordinator
from ffq.catalog import Catalog
from ffq.gateway.payloads import KeepsResultsOnDisk, payload_folder
from ffq.gateway.planning import QueryPlanner
from ffq.gateway.results import ResultChunks
from ffq.gateway.shuffle import ShuffleChunks
from ffq.gateway.sql import SqlPlanner
from ffq.gateway.watching import QueryUpdates
from ffq.messages import FetchQueryResults, FetchShufflePartition, RunQuery, WatchQuery
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.rpc.exchange import exchange_route
from ffq.rpc.polling import open_polls
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import coordinator_routes
from ffq.rpc.server import ServerAddress, serve
from ffq.service import Chunks, LocalCoordinator
from ffq.settings import GatewaySettings
from ffq.threads import run_blocking

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
    async with open_gateway(settings) as coordinator:
        await serve_coordinator(coordinator, settings, task_status=task_status)


async def serve_coordinator(
    coordinator: LocalCoordinator,
    settings: GatewaySettings,
    *,
    task_status: trio.TaskStatus[ServerAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve one over gRPC until cancelled. Raises StartupError: the address cannot be bound."""
    calls = coordinator_routes(coordinator, coordinator)
    async with open_polls(coordinator, settings.rpc) as polls:
        routes = (*calls, exchange_route(coordinator), polls.route)
        await serve(routes, settings.bind, settings.rpc, task_status=task_status)


@asynccontextmanager
async def open_gateway(settings: GatewaySettings) -> AsyncIterator[LocalCoordinator]:
    """A coordinator with all that a gateway has but its server.

    Raises:
        InvalidRequest: the catalog is not one; it names file, entry and field.
        ActorFailed: the coordinator found itself inconsistent and stopped.
    """
    path = settings.catalog_path
    catalog = None if path is None else await run_blocking(Catalog.load, path)
    own = settings.client_tables
    with (
        payload_folder(settings.results_in) as payloads,
        ChannelPool(settings.rpc) as peers,
        SqlPlanner(
            catalog,
            client_tables=own,
            one_task_bytes=settings.one_task_bytes,
            limits=settings.planning,
        ) as sql,
    ):
        limits = _plan_limits(settings)
        planner = QueryPlanner(catalog, settings.scans, limits, sql, client_tables=own)
        chunks = stream_chunks(settings, peers)
        # Half of the streams stay for what is fetched.
        actors = ActorSettings(watches=settings.rpc.max_streams // 2)
        async with open_coordinator(
            planner, settings.coordinator, actors, chunks=chunks
        ) as coordinator:
            yield KeepsResultsOnDisk(coordinator, payloads)


def stream_chunks(settings: GatewaySettings, peers: ChannelPool) -> Mapping[type, Chunks]:
    """How the streams of a coordinator become chunks."""
    reads = trio.CapacityLimiter(SHARED_READS)
    chunk_bytes = settings.rpc.chunk_bytes
    results = ResultChunks(chunk_bytes)
    updates = QueryUpdates(results)
    return {
        FetchQueryResults: results,
        WatchQuery: updates,
        RunQuery: updates,
        FetchShufflePartition: ShuffleChunks(peers, settings.shuffle_root, chunk_bytes, reads),
    }


def _plan_limits(settings: GatewaySettings) -> PlanLimits:
    """A plan must fit into a GetTask answer, which holds it once per task."""
    largest = min(DEFAULT_LIMITS.max_bytes, settings.coordinator.max_assignment_bytes)
    return attrs.evolve(DEFAULT_LIMITS, max_bytes=largest)
