"""A worker process put together: engine, disk, gRPC, and the loop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial

import attrs
import trio

from ffq.catalog import Catalog
from ffq.engine import ENGINE_FAMILY, Engine, EngineSettings, load_operators
from ffq.engine.operators import REGISTRY
from ffq.errors import StartupError
from ffq.ids import WorkerId
from ffq.messages import SPLITS, FetchShufflePartition
from ffq.rpc.client import RpcChannel, open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.exchange import open_exchange
from ffq.rpc.polling import open_polled
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import stream_route
from ffq.rpc.server import ServerAddress, serve
from ffq.shuffle import ShuffleStore
from ffq.shuffle.layout import SHARED_FOLDER
from ffq.threads import run_blocking
from ffq.worker.addresses import advertised_endpoint
from ffq.worker.config import WorkerConfig
from ffq.worker.executor import EngineExecutor
from ffq.worker.failures import innermost
from ffq.worker.folders import WorkerFolders, worker_folders
from ffq.worker.link import WorkerIdentity, logger
from ffq.worker.loop import WorkerLoop
from ffq.worker.network import Network, bytes_per_s
from ffq.worker.serving import ShuffleServer
from ffq.worker.transport import GrpcTransport

_CHANCE_BITS = 16
"""Of an incarnation; with the time in ms it stays below 2^63."""
_SMALL_OUTPUTS_BYTES = 32 * 1024 * 1024
"""Memory for small map outputs: about five hundred with as many bytes of rows as go there."""


@attrs.frozen
class WorkerReady:
    """A worker that its coordinator knows. `endpoint`: its shuffle service, as others reach it."""

    worker_id: WorkerId
    endpoint: str
    operators: frozenset[str]


def unix_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def new_incarnation(started_at_ms: int) -> int:
    """A number for this start: greater than that of an earlier one, and nobody else's (R19).

    Two processes may be started under one id in the same millisecond, so chance has the last bits.
    """
    return (max(0, started_at_ms) << _CHANCE_BITS) + 1 + secrets.randbelow((1 << _CHANCE_BITS) - 1)


async def run_worker(
    config: WorkerConfig,
    *,
    stop: trio.Event | None = None,
    clock: Callable[[], int] = unix_ms,
    task_status: trio.TaskStatus[WorkerReady | None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one worker until `stop` is set (in order) or it is cancelled (as if it had crashed).

    `started` once the coordinator has answered its first heartbeat, or with None when it was
    stopped before.

    Raises:
        InvalidRequest: a bad catalog file or address.
        StartupError: an operators module that does not import, a port that is taken, a folder that
            cannot be used, or a coordinator that does not answer or refuses.
        WorkerSuperseded: another process works under this id.
    """
    loaded = load_operators(config.operators)

    def operators() -> frozenset[str]:
        return loaded | REGISTRY.names() if config.all_operators else loaded

    catalog = Catalog.of(()) if config.catalog_path is None else Catalog.load(config.catalog_path)
    with worker_folders(config.shuffle_root, config.worker_id) as folders:
        # DuckDB takes its time to start, and does without this thread.
        engine = await run_blocking(_engine, config, folders)
        store = ShuffleStore(folders.outputs, memory_bytes=_SMALL_OUTPUTS_BYTES)
        root = config.shuffle_root
        network = Network(bytes_per_s(config.link_mbit))
        executor = EngineExecutor(
            engine,
            store,
            folders,
            catalog,
            spool_bytes=config.spool_bytes,
            stop_grace_ms=config.loop.stop_grace_ms,
            shared=None if root is None else ShuffleStore(root.absolute() / SHARED_FOLDER),
            network=network,
        )
        try:
            async with open_channel(config.coordinator, config.rpc) as channel:
                worker = _Worker(config, operators, store, executor, network, channel, clock)
                await worker.run(trio.Event() if stop is None else stop, task_status)
        finally:
            # A fragment that does not stop still uses the engine; the process's end closes it.
            if not executor.stuck:
                engine.close()


@attrs.frozen
class _Worker:
    _config: WorkerConfig
    _operators: Callable[[], frozenset[str]]
    _store: ShuffleStore
    _executor: EngineExecutor
    _network: Network
    _channel: RpcChannel
    _clock: Callable[[], int]

    async def run(self, stop: trio.Event, task_status: trio.TaskStatus[WorkerReady | None]) -> None:
        """Serve and work. Raises as `run_worker`, never in a group of one."""
        left: BaseException | None = None
        try:
            await self._serve_and_work(stop, task_status)
        except BaseExceptionGroup as group:
            left = innermost(group)
        try:
            if left is not None:
                raise left  # out here: its cause and context stay what they are
        finally:
            del left

    async def _serve_and_work(
        self, stop: trio.Event, task_status: trio.TaskStatus[WorkerReady | None]
    ) -> None:
        async with trio.open_nursery() as services:
            address = await self._start_shuffle_service(services)
            with ChannelPool(self._config.rpc) as peers:
                identity = self._identity(address)
                host = identity.endpoint.rpartition(":")[0]
                self._network.reached_at(host)
                loop = WorkerLoop(
                    identity,
                    self._config.loop,
                    coordinator=RemoteCoordinator(self._channel),
                    executor=self._executor,
                    transport=GrpcTransport(self._channel, peers, host, self._network),
                    unix_ms=self._clock,
                    coordinator_name=self._config.coordinator,
                    exchanges=[
                        partial(each, self._channel) for each in (open_exchange, open_polled)
                    ],
                )
                services.start_soon(_stop_when, stop, loop)
                async with trio.open_nursery() as work:
                    await work.start(loop.run)
                    ready = WorkerReady(identity.worker_id, identity.endpoint, self._operators())
                    task_status.started(None if stop.is_set() else ready)
            services.cancel_scope.cancel()

    async def _start_shuffle_service(self, services: trio.Nursery) -> ServerAddress:
        """On the port given; without one, on the default port or else any free one."""
        config = self._config
        server = ShuffleServer(self._store, config.rpc.chunk_bytes)
        routes = (stream_route(FetchShufflePartition, server.stream),)
        address: ServerAddress
        try:
            address = await services.start(serve, routes, config.shuffle_bind, config.rpc)
        except StartupError:
            if config.shuffle_bind_given:
                raise
            host = config.shuffle_bind.rpartition(":")[0]
            address = await services.start(serve, routes, f"{host}:0", config.rpc)
        return address

    def _identity(self, address: ServerAddress) -> WorkerIdentity:
        endpoint = advertised_endpoint(
            self._config.shuffle_advertise, address.endpoint, self._config.coordinator
        )
        logger.info("worker %s serves map outputs at %s", self._config.worker_id, endpoint)
        return WorkerIdentity(
            worker_id=self._config.worker_id,
            incarnation=new_incarnation(self._clock()),
            capabilities=lambda: self._operators() | {SPLITS},
            endpoint=endpoint,
            family=ENGINE_FAMILY,
        )


def _engine(config: WorkerConfig, folders: WorkerFolders) -> Engine:
    """Each task has its share: none can take what another one works with."""
    slots = config.loop.slots
    share = f"{max(1, config.engine_memory_bytes // slots)}B"
    memory = share if config.engine_memory_bytes else f"{config.memory_percent / slots}%"
    spill = f"{max(1, config.spill_bytes // slots)}B" if config.spill_bytes else None
    remedy = (
        f"tasks of this worker have 1/{slots} each of its memory (--engine-memory-mb) and of its "
        f"disk for what does not fit there (--spill-mb)"
    )
    return Engine(
        EngineSettings(
            config.engine_threads,
            memory,
            folders.engine,
            spill,
            remedy,
            lone_threads=max(config.engine_threads, config.lone_engine_threads),
        )
    )


async def _stop_when(stop: trio.Event, loop: WorkerLoop) -> None:
    await stop.wait()
    loop.stop()
