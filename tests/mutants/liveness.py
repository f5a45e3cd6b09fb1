"""Breaks of liveness, of the stores, of the actors and of the worker (R18 to R24, R30)."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.actors._machine import MachineActor
from ffq.actors._outbox import Outbox
from ffq.actors.facade import CoordinatorActors
from ffq.core import answers, upkeep
from ffq.core.coordinator import CoreCoordinator
from ffq.core.liveness import LivenessCore
from ffq.core.outcome import Outcome
from ffq.core.registry import RegistryCore, _Record
from ffq.messages import BeatReply, DropMapOutputs, RegisterReply, ResolvedOutput, WorkerChanged
from ffq.worker.attempt import AttemptRun
from ffq.worker.loop import WorkerLoop
from tests.mutants.registry import Surgeon, mutant


@mutant("busy-worker-dies", "R20", "a heartbeat of a worker with running tasks is no evidence")
def _(surgeon: Surgeon) -> None:
    original = LivenessCore._see

    def broken(self: Any, told: Any, known: Any, now_ms: int, beat: Any = None) -> Any:
        before = None if known is None else known.last_seen_ms
        outcome = original(self, told, known, now_ms, beat)
        if before is not None:
            self._workers[told.worker_id].last_seen_ms = before
            by_age = sorted(self._workers, key=lambda each: self._workers[each].last_seen_ms)
            for worker_id in by_age:
                self._workers.move_to_end(worker_id)
        return outcome

    surgeon.replace(LivenessCore, "_see", broken)


@mutant(
    "asking-is-no-evidence", "R18", "GetTask, reports and registrations are no evidence of life"
)
def _(surgeon: Surgeon) -> None:
    original = LivenessCore.record_evidence

    def broken(self: Any, msg: Any, now_ms: int) -> Any:
        if msg.worker_id in self._workers:
            return Outcome(BeatReply(current=True))
        return original(self, msg, now_ms)

    surgeon.replace(LivenessCore, "record_evidence", broken)


@mutant("asking-wipes-capabilities", "R6", "GetTask changes the capabilities of a known worker")
def _(surgeon: Surgeon) -> None:
    original = LivenessCore.record_evidence

    def broken(self: Any, msg: Any, now_ms: int) -> Any:
        known = self._workers.get(msg.worker_id)
        outcome = original(self, msg, now_ms)
        if known is None or not msg.register:
            return outcome
        known.told = attrs.evolve(known.told, capabilities=frozenset())
        return attrs.evolve(outcome, notices=(*outcome.notices, known.told))

    surgeon.replace(LivenessCore, "record_evidence", broken)


@mutant("asking-grants-operators", "R6", "a worker that never beat is taken to have every operator")
def _(surgeon: Surgeon) -> None:
    original = LivenessCore.record_evidence

    def broken(self: Any, msg: Any, now_ms: int) -> Any:
        new = msg.worker_id not in self._workers
        outcome = original(self, msg, now_ms)
        if new and msg.worker_id in self._workers:
            known = self._workers[msg.worker_id]
            known.told = attrs.evolve(known.told, capabilities=frozenset({"op", "op.any"}))
            return attrs.evolve(outcome, notices=(known.told,))
        return outcome

    surgeon.replace(LivenessCore, "record_evidence", broken)


@mutant("nobody-goes-stale", "R19", "the sweep finds nobody")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(
        LivenessCore, "sweep_stale_workers", lambda _self, _msg, _now_ms: Outcome(None, ())
    )


@mutant("stale-at-half-time", "R19", "a worker is taken for dead after half the timeout")
def _(surgeon: Surgeon) -> None:
    def broken(self: Any, worker: Any, now_ms: int) -> bool:
        silent_ms = now_ms - worker.last_seen_ms
        return bool(2 * silent_ms > self._settings.worker_liveness_timeout_ms)

    surgeon.replace(LivenessCore, "_is_stale", broken)


@mutant("capabilities-pile-up", "R21", "a capability that is gone is kept")
def _(surgeon: Surgeon) -> None:
    original = LivenessCore._see

    def broken(self: Any, told: WorkerChanged, known: Any, now_ms: int, beat: Any = None) -> Any:
        if known is not None:
            kept = told.capabilities | known.told.capabilities
            told = attrs.evolve(told, capabilities=kept)
        return original(self, told, known, now_ms, beat)

    surgeon.replace(LivenessCore, "_see", broken)


@mutant("always-accepted", "R18", "heartbeats of excluded workers are accepted")
def _(surgeon: Surgeon) -> None:
    original = upkeep.confirm_heartbeat

    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        return attrs.evolve(original(core, msg, now_ms), accepted=True)

    surgeon.replace(upkeep, "confirm_heartbeat", broken)


@mutant(
    "old-incarnation-lives-on", "R19", "a restarted worker keeps its old attempts", "simulation"
)
def _(surgeon: Surgeon) -> None:
    see = LivenessCore._see

    def silent(self: Any, told: Any, known: Any, now_ms: int, beat: Any = None) -> Any:
        outcome = see(self, told, known, now_ms, beat)
        kept = tuple(each for each in outcome.notices if isinstance(each, WorkerChanged))
        return attrs.evolve(outcome, notices=kept)

    def broken(core: Any, msg: Any, now_ms: int) -> None:
        known = core.workers.live.get(msg.worker_id)
        if known is not None:
            known.incarnation = msg.incarnation
        core.workers.change(msg, now_ms)
        core.readiness += 1

    surgeon.replace(LivenessCore, "_see", silent)
    surgeon.replace(upkeep, "worker_changed", broken)


@mutant("last-registration-wins", "R22", "a registration replaces what was registered before")
def _(surgeon: Surgeon) -> None:
    def broken(self: Any, msg: Any) -> _Record:
        del self
        return _Record(msg.endpoint, {each.reduce_partition: each for each in msg.partitions})

    surgeon.replace(RegistryCore, "_merge", broken)


@mutant("older-epoch-wins", "R22", "of two records of a partition the lower epoch wins")
def _(surgeon: Surgeon) -> None:
    def broken(self: Any, msg: Any) -> _Record:
        known = self._known(msg.key)
        partitions = dict(known.partitions)
        for new in msg.partitions:
            partitions.setdefault(new.reduce_partition, new)
        return _Record(msg.endpoint or known.endpoint, partitions)

    surgeon.replace(RegistryCore, "_merge", broken)


@mutant("stale-output-served", "R23", "the output of an old or canceled attempt is served")
def _(surgeon: Surgeon) -> None:
    original = answers.resolve_map_output

    def broken(core: Any, msg: Any) -> ResolvedOutput:
        if msg.key.attempt == 0:
            return original(core, msg)
        at = core.locate(msg.key)
        return ResolvedOutput(at.attempt.key, registered=False)

    surgeon.replace(answers, "resolve_map_output", broken)


@mutant("registry-stores-all", "R13", "outputs that do not count are stored", "simulation")
def _(surgeon: Surgeon) -> None:
    original = RegistryCore.store

    def broken(self: Any, msg: Any, admission: RegisterReply, now_ms: int) -> Any:
        original(self, msg, attrs.evolve(admission, counted=True), now_ms)
        return Outcome(admission)

    surgeon.replace(RegistryCore, "store", broken)


@mutant("courier-forgets", "R5", "the stores are not told what to forget", "simulation")
def _(surgeon: Surgeon) -> None:
    original = Outbox.put

    def broken(self: Any, notice: Any) -> None:
        if isinstance(notice, DropMapOutputs):
            original(self, notice)

    surgeon.replace(Outbox, "put", broken)


@mutant("evidence-not-passed-on", "R18", "the facade tells liveness of heartbeats only")
def _(surgeon: Surgeon) -> None:
    async def broken(self: Any, worker_id: Any, incarnation: int = 0) -> None:
        del self, worker_id, incarnation

    surgeon.replace(CoordinatorActors, "_evidence", broken)
    surgeon.replace(CoreCoordinator, "_evidence", lambda *_, **__: True)


@mutant(
    "inconsistent-serves-on", "R30", "a machine is not checked after a bug of ours", "simulation"
)
def _(surgeon: Surgeon) -> None:
    surgeon.replace(MachineActor, "_check_after_bug", lambda _self: None)


@mutant("worker-does-not-register", "R22", "a worker reports SUCCEEDED at once", "simulation")
def _(surgeon: Surgeon) -> None:
    async def broken(self: Any, output: Any) -> None:
        del self, output

    surgeon.replace(AttemptRun, "_register", broken)


@mutant("worker-keeps-files", "R5", "a worker removes no files of ended queries", "simulation")
def _(surgeon: Surgeon) -> None:
    original = WorkerLoop._obey

    def broken(self: Any, reply: Any) -> None:
        original(self, attrs.evolve(reply, ended_queries=()))

    surgeon.replace(WorkerLoop, "_obey", broken)


@mutant("worker-runs-on", "R5", "a worker does not stop what it is told to stop", "simulation")
def _(surgeon: Surgeon) -> None:
    original = WorkerLoop._obey

    def broken(self: Any, reply: Any) -> None:
        original(self, attrs.evolve(reply, stop_attempts=()))

    surgeon.replace(WorkerLoop, "_obey", broken)
