"""A cluster of a session's own: the coordinator in this process, workers in processes beside it.

A worker process that dies is started again under its id: the coordinator learns from the newer
incarnation that the older one's attempts are lost, without waiting for its silence to tell (R19).

Operators that are registered in this process and in no worker process, as those of a script's main
module or of a notebook's cells, have one more worker, in this process. It is started when a plan
first needs it.
"""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from ffq.client.children import Child, Children
from ffq.client.session.folder import OwnFolder, own_folder
from ffq.client.session.settings import EmbeddedSettings
from ffq.engine.operators import REGISTRY, load_operators
from ffq.errors import StartupError
from ffq.gateway import open_gateway, serve_coordinator
from ffq.ids import WorkerId
from ffq.rpc.direct import DirectCoordinator
from ffq.rpc.server import ServerAddress
from ffq.service import Coordinator, LocalCoordinator
from ffq.settings import GatewaySettings, SettingSource, one_task_bytes
from ffq.sql.interpreter import started_ahead
from ffq.threads import run_blocking
from ffq.worker import WorkerConfig, run_worker
from ffq.worker.config import default_heartbeat_ms
from ffq.worker.loop import LoopSettings

# What goes wrong in a query is raised; Python would print what its worker here logs of it, where
# the program has not said what becomes of log lines.
logging.getLogger("ffq").addHandler(logging.NullHandler())

_LOOPBACK = "127.0.0.1:0"
_logger = logging.getLogger("ffq.session")
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_LOCAL_WORKER = WorkerId("session")


@attrs.define
class EmbeddedCluster:
    """Made by `open_embedded`. `coordinator`: for this process, without gRPC."""

    endpoint: str
    coordinator: Coordinator
    _own: OwnFolder
    _settings: EmbeddedSettings
    _nursery: trio.Nursery
    _children: dict[str, Child] = attrs.field(factory=dict)
    _deaths: dict[str, int] = attrs.field(factory=dict)
    _local: trio.Lock = attrs.field(factory=trio.Lock)
    _has_local: bool = False

    @property
    def folder(self) -> Path:
        """Of the session's temporary files."""
        return self._own.path

    def processes(self) -> dict[str, int]:
        """The worker processes' ids, by the names of the workers."""
        return {name: child.pid for name, child in self._children.items()}

    async def need(self, operators: frozenset[str]) -> None:
        """See to it that operators of this process have a worker."""
        async with self._local:
            if not self._has_local and operators & REGISTRY.names():
                await self._nursery.start(partial(run_worker, self._local_config()))
                self._has_local = True

    async def start_workers(self) -> None:
        """Raises StartupError: one ended, or did not get ready."""
        children = Children(
            self._nursery, self.folder, _nobody_listens, self._ended, _import_paths()
        )
        async with trio.open_nursery() as starting:
            for number in range(1, self._settings.workers + 1):
                starting.start_soon(self._start_worker, children, f"worker-{number}")

    async def stop_workers(self) -> None:
        async with trio.open_nursery() as stopping:
            for child in self._children.values():
                stopping.start_soon(child.stop)

    async def _start_worker(self, children: Children, name: str) -> None:
        arguments = [
            "worker",
            f"--coordinator={self.endpoint}",
            f"--worker-id={name}",
            f"--slots={self._settings.slots}",
            f"--heartbeat-ms={self._heartbeat_ms}",
            f"--shuffle-root={self.folder / name}",
            f"--shuffle-bind={_LOOPBACK}",
            f"--operators={self._settings.operators}",
            "--engine-threads=1",
            "--stop-with-stdin",
        ]
        self._children[name] = child = await children.start(
            name, arguments, ready_prefix=f"worker {name} ready"
        )
        await self._own.end_with_it(child.pid)

    def _ended(self, children: Children, child: Child) -> None:
        self._nursery.start_soon(self._start_again, children, child.name)

    async def _start_again(self, children: Children, name: str) -> None:
        while True:
            deaths = self._deaths.get(name, 0)
            self._deaths[name] = deaths + 1
            await trio.sleep(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(deaths, 16)))
            try:
                await self._start_worker(children, name)
            except StartupError as error:  # killed once more, say: a query tells what it waits for
                _logger.warning("%s is started again: %s", name, error.message)
            else:
                return

    def _local_config(self) -> WorkerConfig:
        return WorkerConfig(
            coordinator=self.endpoint,
            worker_id=_LOCAL_WORKER,
            loop=LoopSettings(self._settings.slots, heartbeat_ms=self._heartbeat_ms),
            all_operators=True,
            shuffle_bind=_LOOPBACK,
            shuffle_bind_given=True,
            shuffle_root=self.folder / _LOCAL_WORKER,
        )

    @property
    def _heartbeat_ms(self) -> int:
        return default_heartbeat_ms(self._settings.coordinator.worker_liveness_timeout_ms)


@asynccontextmanager
async def open_embedded(settings: EmbeddedSettings) -> AsyncIterator[EmbeddedCluster]:
    """Raises StartupError: a process does not start, or an operators module does not import."""
    # What plans SQL asks this process for what operators declare.
    await run_blocking(load_operators, settings.operators)
    async with own_folder() as own:
        gateway = GatewaySettings(
            _LOOPBACK,
            coordinator=settings.coordinator,
            results_in=own.path,
            one_task_bytes=one_task_bytes(SettingSource({}, os.environ)),
        )
        async with (
            open_gateway(gateway) as coordinator,
            _served(coordinator, gateway) as endpoint,
            _with_workers(coordinator, endpoint, own, settings) as cluster,
        ):
            yield cluster


@asynccontextmanager
async def _served(coordinator: LocalCoordinator, settings: GatewaySettings) -> AsyncIterator[str]:
    """For the workers: the endpoint."""
    async with trio.open_nursery() as services:
        address: ServerAddress = await services.start(serve_coordinator, coordinator, settings)
        yield address.endpoint
        services.cancel_scope.cancel()


@asynccontextmanager
async def _with_workers(
    coordinator: Coordinator, endpoint: str, own: OwnFolder, settings: EmbeddedSettings
) -> AsyncIterator[EmbeddedCluster]:
    direct = DirectCoordinator(coordinator, endpoint)
    async with trio.open_nursery() as workers:
        cluster = EmbeddedCluster(endpoint, direct, own, settings, workers)
        await cluster.start_workers()
        try:
            with started_ahead():  # the first query finds what plans it ready
                yield cluster
        finally:
            direct.close()
        await cluster.stop_workers()
        workers.cancel_scope.cancel()


def _nobody_listens(_name: str, _line: str) -> None:
    """What workers say is in the session's folder."""


def _import_paths() -> dict[str, str]:
    """Modules that this process can import, its workers can import too."""
    given = {
        os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")
    }
    own = [
        path or os.getcwd()
        for path in sys.path
        if not any(os.path.realpath(path or ".").startswith(prefix) for prefix in given)
    ]
    return {"PYTHONPATH": os.pathsep.join(own)}
