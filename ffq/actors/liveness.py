"""The liveness actor: who is alive. It tells scheduling what changed before it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ffq.actors._machine import Clock, MachineActor, ValidateState
from ffq.core import LivenessCore, Outcome
from ffq.messages import (
    BeatReply,
    RecordEvidence,
    RecordHeartbeat,
    SweepStaleWorkers,
    WorkerChanged,
    WorkerLost,
)
from ffq.runtime import ActorRef, handles

Q = TypeVar("Q")
R = TypeVar("R")

LivenessRequest = RecordHeartbeat | RecordEvidence | SweepStaleWorkers | ValidateState


class LivenessActor(MachineActor[LivenessRequest]):
    """Owns the liveness machine and a timer that finds stale workers without any RPC (R19)."""

    def __init__(
        self,
        core: LivenessCore,
        clock: Clock,
        scheduling: ActorRef[WorkerChanged | WorkerLost],
        sweep_ms: int,
    ) -> None:
        super().__init__(core, clock)
        self._core = core
        self._scheduling = scheduling
        self._sweep_ms = sweep_ms

    async def on_start(self) -> None:
        await super().on_start()
        self.ctx.start_task(self.repeat, self._sweep_ms, self._new_sweep)

    def _new_sweep(self) -> SweepStaleWorkers:
        # Stamped before it queues behind evidence that arrived earlier: a worker whose beat
        # still waits in the mailbox is not stale.
        return SweepStaleWorkers(self._clock())

    async def _serve(self, step: Callable[[Q, int], Outcome[R]], msg: Q) -> R:
        outcome = self.decide(step, msg)
        for notice in outcome.notices:
            # Liveness tells the stores nothing.
            assert isinstance(notice, WorkerLost | WorkerChanged)
            try:
                await self._scheduling.ask(notice)
            except Exception as error:
                # The machine counts it as told: from here on the two would disagree.
                self.stop_loudly(error)
                raise
        return outcome.reply

    @handles(RecordHeartbeat)
    async def record_heartbeat(self, msg: RecordHeartbeat) -> BeatReply:
        return await self._serve(self._core.record_heartbeat, msg)

    @handles(RecordEvidence)
    async def record_evidence(self, msg: RecordEvidence) -> BeatReply:
        return await self._serve(self._core.record_evidence, msg)

    @handles(SweepStaleWorkers)
    async def sweep_stale_workers(self, msg: SweepStaleWorkers) -> None:
        return await self._serve(self._core.sweep_stale_workers, msg)
