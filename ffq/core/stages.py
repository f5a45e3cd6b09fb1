"""How stages come to run: laid out, offered, and how they are run where sizes decide (R8, R31).

The probe stage of an AdaptiveJoin waits until its build stage is finished. Then is decided, once,
by the bytes that the build stage's committed attempts registered: few are read whole by each task
of the probe stage, which is inlined into the stage that joins; else both sides stay exchanged, and
where the build's keys alone are few, the probe stage reads these to leave out rows without a
partner. That of a ReducedJoin waits likewise: it reads few whole to leave out such rows, and stays
a stage of its own. A decision stands whatever is run again afterwards.

So it is with the stage below an AdaptiveGather, when all that it reads is there: where that is
little, it is inlined into the stage that gathers, else it is laid out.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ffq.core.layout import fingerprint, lay_out
from ffq.core.records import GatherDecision, JoinDecision, QueryRecord, StageRecord, TaskRecord
from ffq.core.skew import MapSizes, find_skewed, share_out
from ffq.core.state import SchedulingState
from ffq.ids import StageId
from ffq.plan.explain import bytes_text
from ffq.plan.inlining import inlined
from ffq.plan.model import KeyedPartitioning
from ffq.plan.properties import is_repeatable
from ffq.plan.reducing import reduced
from ffq.plan.stages import JoinChoice, Parallelism, StagePlan


def lay_out_stage(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, now_ms: int
) -> None:
    """Give a stage its tasks, all queued. It keeps this layout whatever is run again (R31)."""
    sizes = _map_sizes(query, stage)
    totals = [0] * stage.plan.reduce_partitions
    for of_stage in sizes.values():
        for of_task in of_stage:
            for partition, size in of_task.items():
                totals[partition] += size
    stage.scans = query.scans_of(stage)
    stage.shares = lay_out(
        stage.plan,
        stage.scans,
        totals,
        splits=query.splits,
        settings=state.settings,
    )
    if query.splits and stage.plan.parallelism is Parallelism.HASH:
        stage.skewed = find_skewed(stage.plan, totals, sizes, state.settings)
        if stage.skewed:
            groups = [share.partitions for share in stage.shares]
            stage.shares = share_out(groups, stage.skewed)
    stage.layout = fingerprint(
        query.query_id, query.ordinal, stage.stage_id, stage.shares, query.digest, stage.inlined
    )
    stage.queued = stage.fresh = len(stage.shares)
    state.changed()
    refresh_offer(state, query, stage, now_ms)


def _map_sizes(query: QueryRecord, stage: StageRecord) -> MapSizes:
    """Bytes of the reduce partitions that the stage's tasks share out."""
    if stage.plan.parallelism is not Parallelism.HASH:
        return {}
    return {
        source.stage_id: [
            _sizes(task, stage.plan.reduce_partitions)
            for task in query.stages[source.stage_id].tasks
        ]
        for source in stage.plan.parents
        if not source.whole
    }


def _sizes(task: TaskRecord, partitions: int) -> Mapping[int, int]:
    """Bytes of each partition that rows are in; keys alone lie behind these."""
    attempt = task.committed
    if attempt is None or attempt.output is None:
        return {}
    written = attempt.output.partitions.items()
    return {number: each.bytes for number, each in written if number < partitions}


def refresh_offer(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, now_ms: int
) -> None:
    """Make the ready index say what the stage says: that it has work, or has none (R8)."""
    if stage.has_work:
        state.ready.offer(query.query_id, stage.stage_id, stage.requirement, now_ms)
    else:
        state.ready.withdraw(query.query_id, stage.stage_id, stage.requirement)


def became_readable(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, now_ms: int
) -> None:
    """All that the stage gives out is there: its consumers wait for it no more."""
    for consumer_id in stage.consumers:
        consumer = query.stages[consumer_id]
        consumer.unmet -= 1
        _offer(state, query, consumer, now_ms)
    for choice in query.undecided.pop(stage.stage_id, ()):
        _decide(state, query, choice, now_ms)


def _offer(state: SchedulingState, query: QueryRecord, stage: StageRecord, now_ms: int) -> None:
    if stage.unmet == 0 and stage.layout is None:
        if not _done_in_place(state, query, stage, now_ms):
            lay_out_stage(state, query, stage, now_ms)
    else:
        refresh_offer(state, query, stage, now_ms)


def became_unreadable(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, now_ms: int
) -> None:
    """Something that it gave out is lost or made again: its consumers wait for it."""
    for consumer_id in stage.consumers:
        consumer = query.stages[consumer_id]
        consumer.unmet += 1
        refresh_offer(state, query, consumer, now_ms)


# --- joins that sizes decide -----------------------------------------------------------------


def _decide(state: SchedulingState, query: QueryRecord, choice: JoinChoice, now_ms: int) -> None:
    """Decide how a join is run whose build side has just been finished."""
    probe, stage = query.stages[choice.probe], _doing(query, choice.stage_id)
    build = query.stages[choice.build]
    keys_bytes = _keys_bytes(build)
    build_bytes = build.made.bytes - keys_bytes
    why = ""
    if build_bytes > choice.broadcast_bytes:
        why = f"more than {bytes_text(choice.broadcast_bytes)}"
    plan = inlined(stage.plan, probe.plan) if choice.inlines and not why else None
    if plan is not None:
        why = _why_not(plan, stage, probe)
    reduces = not why
    if choice.inlines:  # else, where the keys are few at least
        few = choice.keys_bytes is not None and keys_bytes <= choice.keys_bytes
        reduces = bool(why) and few
    decision = JoinDecision(choice, stage.stage_id, build_bytes, keys_bytes, why, reduces)
    query.decisions[choice.probe] = decision
    probe.awaits = None
    probe.unmet -= 1
    state.changed()
    if plan is not None and not why:
        _inline(query, stage, probe, plan)
        _offer(state, query, stage, now_ms)
        return
    if reduces:
        _reduce(build, probe, reduced(probe.plan, choice))
    _offer(state, query, probe, now_ms)


def _why_not(plan: StagePlan, stage: StageRecord, probe: StageRecord) -> str:
    """Why a small build is not read whole by the one stage that both would be; empty: it is."""
    if plan.parallelism is Parallelism.SINGLE:
        return f"but without the exchange stage {stage.stage_id} would be one task"
    if plan.operators not in (stage.plan.operators, probe.plan.operators):
        return (
            f"but not every worker has the operators of stages {probe.stage_id} and "
            f"{stage.stage_id} together"
        )
    return ""


def _keys_bytes(build: StageRecord) -> int:
    """Of the keys that it has given out apart from its rows."""
    output = build.plan.output
    if not isinstance(output, KeyedPartitioning):
        return 0
    written = (each.committed for each in build.tasks)
    outputs = (each.output for each in written if each is not None and each.output is not None)
    found = (each.partitions.get(output.partitions) for each in outputs)
    return sum(each.bytes for each in found if each is not None)


def _done_in_place(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, now_ms: int
) -> bool:
    """Decide whether a stage that could be laid out is left to the one that gathers its rows."""
    choice = query.gathers.pop(stage.stage_id, None)
    if choice is None or stage.plan.parallelism is not Parallelism.HASH:
        return False
    into = _doing(query, choice.stage_id)
    plan = inlined(into.plan, stage.plan)
    if plan.parallelism is not Parallelism.SINGLE or plan.operators != into.plan.operators:
        return False
    read_bytes = sum(query.stages[parent_id].made.bytes for parent_id in stage.parents)
    fits = read_bytes <= choice.in_place_bytes
    query.gathered[stage.stage_id] = GatherDecision(choice, into.stage_id, read_bytes, fits)
    state.changed()
    if fits:
        _inline(query, into, stage, plan)
        _offer(state, query, into, now_ms)
    return fits


def _doing(query: QueryRecord, stage_id: StageId) -> StageRecord:
    """The stage that does a stage's work: itself, or the one that it is inlined into."""
    stage = query.stages[stage_id]
    while stage.inlined_into is not None:
        stage = query.stages[stage.inlined_into]
    return stage


def _reduce(build: StageRecord, probe: StageRecord, plan: StagePlan) -> None:
    """The probe stage, which is not laid out yet, reads the build's as well; that is readable."""
    build.consumers = tuple(sorted({*build.consumers, probe.stage_id}))
    probe.plan = plan
    probe.inlined = tuple(sorted({*probe.inlined, build.stage_id}))
    probe.parents = tuple(sorted({*probe.parents, build.stage_id}))
    probe.repeatable = is_repeatable(plan)


def _inline(query: QueryRecord, stage: StageRecord, probe: StageRecord, plan: StagePlan) -> None:
    """A stage (`probe`) runs no tasks; `stage`, which is not laid out yet, does its work."""
    for parent_id in probe.parents:
        parent = query.stages[parent_id]
        parent.consumers = tuple(
            sorted(
                {stage.stage_id if each == probe.stage_id else each for each in parent.consumers}
            )
        )
    stage.plan = plan
    stage.inlined = tuple(sorted({*stage.inlined, probe.stage_id, *probe.inlined}))
    stage.parents = tuple(sorted({source.stage_id for source in plan.parents}))
    stage.unmet = sum(not query.stages[each].is_readable for each in stage.parents)
    stage.unmet += stage.awaits is not None
    stage.repeatable = is_repeatable(plan)
    stage.requirement = attrs.evolve(stage.requirement, operators=plan.operators)
    probe.inlined_into = stage.stage_id
    probe.parents, probe.consumers, probe.unmet = (), (), 0
    query.uncommitted -= 1
