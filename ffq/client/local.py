"""A whole cluster inside one Trio program: for notebooks, tests and small data."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import attrs
import pyarrow as pa
import trio

from ffq.client.arguments import check_count, check_modules
from ffq.client.client import Client, QueryHandle
from ffq.client.connecting import require_trio
from ffq.client.conversions import PlanLike, plan_bytes
from ffq.client.operators import check_somebody_has, may_call_operators, wanted_operators
from ffq.client.session.settings import MOST_WORKERS
from ffq.client.ungrouped import ungrouped
from ffq.client.watching import Progress
from ffq.core.settings import CoordinatorSettings
from ffq.engine.operators import REGISTRY, load_operators
from ffq.errors import InvalidRequest, Unavailable, words
from ffq.gateway import open_gateway, serve_coordinator
from ffq.ids import WorkerId
from ffq.messages import NO_TIMEOUTS, PlanSql, Timeouts
from ffq.rpc.direct import DirectCoordinator
from ffq.rpc.server import ServerAddress
from ffq.settings import GatewaySettings, SettingSource, one_task_bytes
from ffq.worker import WorkerConfig, run_worker
from ffq.worker.config import MAX_SLOTS, default_heartbeat_ms
from ffq.worker.loop import LoopSettings

Tables: TypeAlias = Mapping[str, str | Path | list[str] | list[Path]]
"""By name, the Parquet file, folder or glob of each table, or several of them."""

_LOOPBACK = "127.0.0.1:0"


class _LocalClient(Client):
    """Refuses what can never run: nobody is likely to bring this cluster another worker."""

    def _goes_in_one_call(self, work: PlanSql | bytes) -> bool:
        """What an operator may be called in is looked at before it is submitted."""
        if isinstance(work, PlanSql):
            return not may_call_operators(work.sql)
        return wanted_operators(work) <= REGISTRY.names()

    async def submit(
        self, plan: PlanLike, query_id: str | None = None, *, timeouts: Timeouts = NO_TIMEOUTS
    ) -> QueryHandle:
        data = plan_bytes(plan)
        wanted = wanted_operators(data)
        if wanted - REGISTRY.names():
            check_somebody_has(wanted, await self.workers(), "LocalCluster")
        return await super().submit(data, query_id, timeouts=timeouts)


@attrs.frozen
class _Opened:
    endpoint: str
    client: Client


class LocalCluster:
    """A coordinator and workers in this process, the workers over real gRPC on free loopback ports.

        async with ffq.LocalCluster(workers=2, tables={"t": "data/*.parquet"}) as cluster:
            table = await cluster.run(plan)

    Workers have every operator registered in this process with `@ffq.operator`, also later. A query
    with another one, which nobody here can run, is refused at once. Nothing is left behind at the
    end: no port, no task, no file.

    Args:
        workers: how many.
        tables: what scans read.
        slots: tasks at once of each worker.
        operators: modules with custom operators to import, with commas between.
        coordinator: settings of the coordinator.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        tables: Tables | None = None,
        slots: int = 2,
        operators: str = "",
        coordinator: CoordinatorSettings | None = None,
    ) -> None:
        """Raises InvalidRequest: what cannot be any of these; it is named."""
        check_count("LocalCluster", "workers", workers, MOST_WORKERS)
        check_count("LocalCluster", "slots", slots, MAX_SLOTS)
        check_modules("LocalCluster", operators)
        if coordinator is not None and not isinstance(coordinator, CoordinatorSettings):
            raise InvalidRequest(
                f"LocalCluster: coordinator={words(coordinator)}; right would be an "
                "ffq.core.settings.CoordinatorSettings"
            )
        _check_tables({} if tables is None else tables)
        self._workers = workers
        self._tables = tables or {}
        self._slots = slots
        self._operators = operators
        self._coordinator = coordinator or CoordinatorSettings()
        self._context: AbstractAsyncContextManager[_Opened] | None = None
        self._opened: _Opened | None = None

    async def __aenter__(self) -> LocalCluster:
        """Raises StartupError, InvalidRequest (outside of Trio too)."""
        require_trio("ffq.LocalCluster")
        if self._context is not None:
            raise InvalidRequest(
                "this LocalCluster is open already: use it in its async with block, or make "
                "another one"
            )
        self._context = ungrouped(self._open(), "LocalCluster")
        try:
            self._opened = await self._context.__aenter__()
        except BaseException:
            self._context = None
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if self._context is None or self._opened is None:
            raise _not_open()
        self._opened = None
        try:
            return await self._context.__aexit__(kind, error, trace)
        finally:
            self._context = None

    @property
    def client(self) -> Client:
        """Raises Unavailable outside the `async with` block."""
        return self._now.client

    @property
    def endpoint(self) -> str:
        """`host:port` of the coordinator, for clients and workers elsewhere on this machine."""
        return self._now.endpoint

    async def submit(
        self, plan: PlanLike, query_id: str | None = None, *, timeouts: Timeouts = NO_TIMEOUTS
    ) -> QueryHandle:
        """As `Client.submit`. Raises PlanningError: no worker has one of the plan's operators."""
        return await self.client.submit(plan, query_id, timeouts=timeouts)

    async def run(
        self,
        plan: PlanLike,
        progress: Progress | None = None,
        *,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> pa.Table:
        """As `Client.run`. Raises PlanningError, as `submit`."""
        return await self.client.run(plan, progress, timeouts=timeouts)

    @property
    def _now(self) -> _Opened:
        if self._opened is None:
            raise _not_open()
        return self._opened

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[_Opened]:
        load_operators(self._operators)  # one error, where each worker would raise its own
        with tempfile.TemporaryDirectory(prefix="ffq-cluster-") as folder:
            catalog = Path(folder) / "tables.json"
            catalog.write_text(json.dumps(_catalog_entries(self._tables)))
            settings = GatewaySettings(
                _LOOPBACK,
                catalog,
                self._coordinator,
                results_in=Path(folder),
                one_task_bytes=one_task_bytes(SettingSource({}, os.environ)),
            )
            async with open_gateway(settings) as coordinator, trio.open_nursery() as gateway:
                address: ServerAddress = await gateway.start(
                    serve_coordinator, coordinator, settings
                )
                endpoint = address.endpoint
                direct = DirectCoordinator(coordinator, endpoint)
                async with self._with_workers(endpoint):
                    try:
                        yield _Opened(endpoint, _LocalClient(direct, one_call=True))
                    finally:
                        direct.close()
                gateway.cancel_scope.cancel()

    @asynccontextmanager
    async def _with_workers(self, endpoint: str) -> AsyncIterator[None]:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as starting:
                for number in range(1, self._workers + 1):
                    worker = partial(run_worker, self._worker_config(number, endpoint), stop=stop)
                    starting.start_soon(nursery.start, worker)
            yield
            stop.set()

    def _worker_config(self, number: int, endpoint: str) -> WorkerConfig:
        heartbeat_ms = default_heartbeat_ms(self._coordinator.worker_liveness_timeout_ms)
        return WorkerConfig(
            coordinator=endpoint,
            worker_id=WorkerId(f"local-{number}"),
            loop=LoopSettings(self._slots, heartbeat_ms=heartbeat_ms),
            operators=self._operators,
            all_operators=True,
            shuffle_bind=_LOOPBACK,
            shuffle_bind_given=True,
            engine_threads=self._slots,
            lone_engine_threads=len(os.sched_getaffinity(0)),
            memory_percent=max(1, 80 // self._workers),
        )


def _not_open() -> Unavailable:
    return Unavailable("this LocalCluster is not open: use it in an async with block")


def _check_tables(tables: object) -> None:
    if not isinstance(tables, Mapping):
        raise InvalidRequest(
            f"LocalCluster: tables={words(tables)}; right would be a dict of names and paths"
        )
    for name, where in tables.items():
        paths = where if isinstance(where, list) else [where]
        if not paths or not all(isinstance(path, str | PathLike) for path in paths):
            raise InvalidRequest(
                f"LocalCluster: tables[{words(name)}] is {words(where)}; right would be a "
                f"path, with * if need be, or a list of paths"
            )


def _catalog_entries(tables: Tables) -> list[dict[str, object]]:
    """The catalog file's entries, with absolute paths."""
    return [
        {
            "name": name,
            "paths": [
                str(path) if "://" in str(path) else str(Path(path).absolute())
                for path in (where if isinstance(where, list) else [where])
            ],
        }
        for name, where in tables.items()
    ]
