"""A worker process: the real worker loop, which may crash, pause, and come back as another."""

from __future__ import annotations

from functools import partial

import attrs
import trio

from ffq.errors import FfqError
from ffq.ids import WorkerId
from ffq.messages import SPLITS
from ffq.plan.stages import StageGraph
from ffq.worker.link import WorkerIdentity
from ffq.worker.loop import WorkerLoop
from ffq.worker.plans import PlanCache, cut_plan
from tests.simulation.channel import SimChannel
from tests.simulation.disk import Disk
from tests.simulation.executor import SimExecutor
from tests.simulation.faults import FaultKind
from tests.simulation.injector import worker_name
from tests.simulation.invariants import violation
from tests.simulation.network import Network
from tests.simulation.queries import POISON
from tests.simulation.server import SimServer
from tests.simulation.settings import loop_settings
from tests.simulation.stream import open_stream
from tests.simulation.transport import Peer, SimTransport

FAMILY = "sim-1"
GONE_MS = 7_000
"""A crash this long is for good, where faults are frozen."""


async def read_at_once(plan_bytes: bytes) -> StageGraph:
    """No thread: a simulation is a function of its seed."""
    await trio.lowlevel.checkpoint()
    return cut_plan(plan_bytes)


@attrs.define(eq=False)
class SimWorker:
    """One worker id over its incarnations. `down`: crashed, and not started again yet."""

    number: int
    slots: int
    operators: frozenset[str]
    network: Network
    server: SimServer
    peers: dict[str, Peer]
    incarnation: int = 0
    down: bool = False
    loop: WorkerLoop | None = None
    executor: SimExecutor | None = None
    _down_ms: int = 0
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _going: trio.Event | None = None
    _revived: trio.Event = attrs.field(factory=trio.Event)
    _stopping: bool = False
    disk: Disk = attrs.field(
        default=attrs.Factory(
            lambda self: Disk(worker_name(self.number), self.network.faults), takes_self=True
        )
    )

    @property
    def name(self) -> str:
        return worker_name(self.number)

    @property
    def paused(self) -> bool:
        return self._going is not None

    @property
    def gone(self) -> bool:
        """Down for good, unless all is healed."""
        return self.down and self.network.faults.frozen and self._down_ms >= GONE_MS

    async def run(self) -> None:
        """Live, crash, live again, until stopped."""
        while True:
            await self._live()
            if self._has_to_end():
                return
            self.down = True
            self._revived = trio.Event()
            seconds = float("inf") if self.gone else self._down_ms / 1000
            with trio.move_on_after(seconds):
                await self._revived.wait()
            if self._has_to_end():
                return
            self.down = False

    def _has_to_end(self) -> bool:
        return self._stopping

    async def _live(self) -> None:
        self.incarnation += 1
        endpoint = f"{self.name}.{self.incarnation}:50061"
        network = self.network
        self.disk = Disk(self.name, network.faults)
        self.executor = SimExecutor(
            self, self.disk, network.faults, network.chance, skews=self.server.skews
        )
        self.loop = WorkerLoop(
            WorkerIdentity(
                WorkerId(self.name),
                self.incarnation,
                partial(frozenset, self.operators | {SPLITS, POISON}),
                endpoint,
                FAMILY,
            ),
            loop_settings(self.slots),
            coordinator=SimChannel(self.name, self, network, self.server),
            plans=PlanCache(read_at_once),
            executor=self.executor,
            transport=SimTransport(self.name, network, self.peers, self.server),
            unix_ms=lambda: int(trio.current_time() * 1000),
            # Half of the workers make calls, as those must whose coordinator knows no streams.
            exchanges=(
                (partial(open_stream, self.name, self, network, self.server),)
                if self.number % 2 == 0
                else ()
            ),
        )
        self.peers[endpoint] = self
        network.trace.note(f"{self.name} starts, incarnation {self.incarnation}")
        try:
            with trio.CancelScope() as self._scope:
                await self.loop.run()
        except FfqError as error:
            detail = f"{self.name} ended: {type(error).__name__}: {error.message}"
            network.trace.fail(violation("worker-keeps-going", detail))
        finally:
            del self.peers[endpoint]

    # --- faults ------------------------------------------------------------------------------

    async def gate(self) -> None:
        """Nothing passes while the process is paused."""
        while self._going is not None:
            await self._going.wait()

    def pause(self) -> None:
        if self._going is None and not self.down:
            self._going = trio.Event()
            self.network.trace.strike(FaultKind.PAUSE, self.name)

    def resume(self) -> None:
        if self._going is not None:
            self.network.trace.note(f"{self.name} goes on")
            self._going.set()
            self._going = None

    async def crash_at(self, point: FaultKind) -> None:
        """As `Process.crash_at`."""
        down_ms = self.network.faults.crashes(point, self.name)
        if down_ms is not None:
            await self._end(down_ms)

    async def die(self, kind: FaultKind, down_ms: int) -> None:
        """As `Process.die`."""
        self.network.trace.strike(kind, self.name)
        await self._end(down_ms)

    async def _end(self, down_ms: int) -> None:
        self._kill(down_ms)
        await trio.sleep_forever()

    def replace(self) -> None:
        """A new incarnation at once, where the old one was."""
        if not self.down:
            self.network.trace.strike(FaultKind.REPLACED, self.name)
            self._kill(20)

    def _kill(self, down_ms: int) -> None:
        self._down_ms = down_ms
        self._scope.cancel()
        self.resume()

    def heal(self) -> None:
        """Go on, if paused; start again, if down."""
        self.resume()
        self._revived.set()

    def stop(self) -> None:
        """The orderly end."""
        self._stopping = True
        if self.loop is not None:
            self.loop.stop()
        self._revived.set()
