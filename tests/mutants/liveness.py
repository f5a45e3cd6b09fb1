"""Breaks of liveness, of the stores, of the actors and of the worker (R18 to R24, R30)."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.actors.machine import MachineActor
from ffq.actors.outbox import Outbox
from ffq.core import answers, liveness, membership, reporting, walks
from ffq.core.liveness import record_evidence, sweep_stale_workers
from ffq.messages import (
    BeatReply,
    ConfirmHeartbeat,
    DropMapOutputs,
    GetTask,
    Heartbeat,
    PublishMapOutput,
    RecordHeartbeat,
    RegisterMapOutput,
    ResolvedOutput,
    WorkerChanged,
)
from ffq.worker.attempt import AttemptRun
from ffq.worker.loop import WorkerLoop
from tests.mutants.registry import mutant
from tests.mutants.ways import Original, replace_registrations
from tests.surgery import Surgeon


@mutant("busy-worker-dies", "R20", "a heartbeat of a worker with running tasks is no evidence")
def _(surgeon: Surgeon) -> None:
    original = liveness._see

    def broken(core: Any, told: Any, known: Any, now_ms: int, beat: Any = None) -> Any:
        reply = original(core, told, known, now_ms, beat)
        if known is not None:
            seen = core.workers[told.worker_id]
            core.workers[told.worker_id] = attrs.evolve(seen, last_seen_ms=known.last_seen_ms)
            for worker_id in sorted(core.workers, key=lambda each: core.workers[each].last_seen_ms):
                core.workers.move_to_end(worker_id)
        return reply

    surgeon.replace(liveness, "_see", broken)


@mutant(
    "asking-is-no-evidence", "R18", "GetTask, reports and registrations are no evidence of life"
)
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        if msg.worker_id in core.workers:
            return BeatReply(current=True)
        return record_evidence(core, msg, now_ms)

    surgeon.replace_everywhere(record_evidence, broken)


@mutant("asking-wipes-capabilities", "R6", "GetTask changes the capabilities of a known worker")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        known = core.workers.get(msg.worker_id)
        reply = record_evidence(core, msg, now_ms)
        if known is not None and msg.register:
            _retell(core, msg.worker_id, frozenset())
        return reply

    surgeon.replace_everywhere(record_evidence, broken)


@mutant("asking-grants-operators", "R6", "a worker that never beat is taken to have every operator")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        new = msg.worker_id not in core.workers
        reply = record_evidence(core, msg, now_ms)
        if new and msg.worker_id in core.workers:
            core.notices.clear()
            _retell(core, msg.worker_id, frozenset({"op", "op.any"}))
        return reply

    surgeon.replace_everywhere(record_evidence, broken)


def _retell(core: Any, worker_id: Any, capabilities: frozenset[str]) -> None:
    known = core.workers[worker_id]
    told = attrs.evolve(known.told, capabilities=capabilities)
    core.workers[worker_id] = attrs.evolve(known, told=told)
    core.notices.append(told)


@mutant("nobody-goes-stale", "R19", "the sweep finds nobody")
def _(surgeon: Surgeon) -> None:
    surgeon.replace_everywhere(sweep_stale_workers, lambda _core, _msg, _now_ms: None)


@mutant("stale-at-half-time", "R19", "a worker is taken for dead after half the timeout")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, worker: Any, now_ms: int) -> bool:
        silent_ms = now_ms - worker.last_seen_ms
        return bool(2 * silent_ms > core.settings.worker_liveness_timeout_ms)

    surgeon.replace(liveness, "_is_stale", broken)


@mutant("capabilities-pile-up", "R21", "a capability that is gone is kept")
def _(surgeon: Surgeon) -> None:
    original = liveness._see

    def broken(core: Any, told: WorkerChanged, known: Any, now_ms: int, beat: Any = None) -> Any:
        if known is not None:
            kept = told.capabilities | known.told.capabilities
            told = attrs.evolve(told, capabilities=kept)
        return original(core, told, known, now_ms, beat)

    surgeon.replace(liveness, "_see", broken)


@mutant("always-accepted", "R18", "heartbeats of excluded workers are accepted")
def _(surgeon: Surgeon) -> None:
    original = membership.confirm_heartbeat

    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        return attrs.evolve(original(core, msg, now_ms), accepted=True)

    surgeon.replace_everywhere(original, broken)


@mutant(
    "old-incarnation-lives-on", "R19", "a restarted worker keeps its old attempts", "simulation"
)
def _(surgeon: Surgeon) -> None:
    see = liveness._see

    def silent(core: Any, told: Any, known: Any, now_ms: int, beat: Any = None) -> Any:
        reply = see(core, told, known, now_ms, beat)
        core.notices = [each for each in core.notices if isinstance(each, WorkerChanged)]
        return reply

    def broken(core: Any, msg: Any, now_ms: int) -> None:
        known = core.workers.live.get(msg.worker_id)
        if known is not None:
            known.incarnation = msg.incarnation
        core.workers.change(msg, now_ms)
        core.changed()

    surgeon.replace(liveness, "_see", silent)
    surgeon.replace_everywhere(membership.worker_changed, broken)


@mutant("last-registration-wins", "R22", "a registration replaces what was registered before")
def _(surgeon: Surgeon) -> None:
    original = reporting._merge_output

    def broken(core: Any, at: Any, partitions: Any, endpoint: str) -> None:
        if at.attempt.output is not None:
            at.query.output_partitions -= at.attempt.output.named
            core.output_partitions -= at.attempt.output.named
            at.attempt.output = None
            core.notices.append(DropMapOutputs((at.attempt.key,)))
        original(core, at, partitions, endpoint)

    surgeon.replace(reporting, "_merge_output", broken)


@mutant("older-epoch-wins", "R22", "of two records of a partition the lower epoch wins")
def _(surgeon: Surgeon) -> None:
    original = reporting._merge_output

    def broken(core: Any, at: Any, partitions: Any, endpoint: str) -> None:
        known = at.attempt.output.partitions if at.attempt.output is not None else {}
        new = tuple(each for each in partitions if each.reduce_partition not in known)
        original(core, at, new, endpoint)

    surgeon.replace(reporting, "_merge_output", broken)


@mutant("stale-output-served", "R23", "the output of an old or canceled attempt is served")
def _(surgeon: Surgeon) -> None:
    original = answers.resolve_map_output

    def broken(core: Any, msg: Any, now_ms: int) -> ResolvedOutput:
        if msg.key.attempt == 0:
            return original(core, msg, now_ms)
        at = core.locate(msg.key)
        return ResolvedOutput(at.attempt.key, registered=False)

    surgeon.replace_everywhere(original, broken)


@mutant("registry-stores-all", "R13", "outputs that do not count are published", "simulation")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, key: Any, endpoint: str, made: Any, original: Original) -> None:
        if not original():
            core.notices.append(PublishMapOutput(key, endpoint, made))

    replace_registrations(surgeon, broken)


@mutant("registration-is-not-published", "R23", "the registry is not told of a registration")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, _key: Any, _endpoint: str, _made: Any, original: Original) -> None:
        original()
        core.notices = [each for each in core.notices if not isinstance(each, PublishMapOutput)]

    replace_registrations(surgeon, broken)


@mutant("courier-forgets", "R5", "the stores are not told what to forget", "simulation")
def _(surgeon: Surgeon) -> None:
    original = Outbox.put

    def broken(self: Any, notice: Any) -> None:
        if isinstance(notice, DropMapOutputs):
            original(self, notice)

    surgeon.replace(Outbox, "put", broken)


# The walks are written once, so they are no oracle against themselves: the harness's own model is.


@mutant("evidence-not-passed-on", "R18", "liveness is told of heartbeats only")
def _(surgeon: Surgeon) -> None:
    async def nothing(ask: Any, worker_id: Any, incarnation: int = 0) -> None:
        del ask, worker_id, incarnation

    async def get_task(ask: Any, msg: GetTask) -> Any:
        return await ask(msg)

    surgeon.replace(walks, "_evidence", nothing)
    surgeon.replace_walk(GetTask, get_task)


@mutant("pull-without-evidence", "R6", "GetTask goes to scheduling alone")
def _(surgeon: Surgeon) -> None:
    async def get_task(ask: Any, msg: GetTask) -> Any:
        return await ask(msg)

    surgeon.replace_walk(GetTask, get_task)


@mutant("beat-is-not-recorded", "R18", "a heartbeat goes to scheduling alone")
def _(surgeon: Surgeon) -> None:
    async def heartbeat(ask: Any, msg: Heartbeat) -> Any:
        return await ask(ConfirmHeartbeat(msg.worker_id, msg.running_attempts, msg.held_queries))

    surgeon.replace_walk(Heartbeat, heartbeat)


@mutant("beat-before-liveness", "R19", "scheduling is asked before liveness has told it")
def _(surgeon: Surgeon) -> None:
    async def heartbeat(ask: Any, msg: Heartbeat) -> Any:
        reply = await ask(ConfirmHeartbeat(msg.worker_id, msg.running_attempts, msg.held_queries))
        await ask(RecordHeartbeat(msg))
        return reply

    surgeon.replace_walk(Heartbeat, heartbeat)


@mutant("registration-is-no-evidence", "R18", "RegisterMapOutput goes to scheduling alone")
def _(surgeon: Surgeon) -> None:
    async def register(ask: Any, msg: RegisterMapOutput) -> Any:
        return await ask(msg)

    surgeon.replace_walk(RegisterMapOutput, register)


@mutant(
    "inconsistent-serves-on",
    "R30",
    "a machine is not checked after a bug of ours",
    "simulation",
    seed=220,
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


@mutant(
    "worker-runs-on", "R5", "a worker does not stop what it is told to stop", "simulation", seed=180
)
def _(surgeon: Surgeon) -> None:
    original = WorkerLoop._obey

    def broken(self: Any, reply: Any) -> None:
        original(self, attrs.evolve(reply, stop_attempts=()))

    surgeon.replace(WorkerLoop, "_obey", broken)
