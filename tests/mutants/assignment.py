"""Breaks of who is given what, when (R6 to R12, R25, R31)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ffq.catalog import ranges
from ffq.core import ahead, assignment, layout, skew, stages
from ffq.core.ready import Profile, ReadyIndex
from ffq.core.records import MapRange, StageRecord, TaskRecord
from ffq.core.settings import CoordinatorSettings
from ffq.core.workers import WorkerTable
from ffq.ids import Attempt
from tests.mutants.registry import mutant
from tests.surgery import Surgeon


def _with_settings(core: Any, **changes: Any) -> Any:
    """The settings of a state, changed for one call."""
    return attrs.evolve(core.settings, **changes)


@mutant("capacity-plus-one", "R7", "one assignment more than asked for")
def _(surgeon: Surgeon) -> None:
    original = assignment.get_task

    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        return original(core, attrs.evolve(msg, capacity=msg.capacity + 1), now_ms)

    surgeon.replace_everywhere(original, broken)


@mutant("worker-limit-plus-one", "R7", "a worker may run one attempt more")
def _(surgeon: Surgeon) -> None:
    original = assignment.get_task

    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        known = core.settings
        limit = known.max_concurrent_tasks_per_worker + 1
        core.settings = _with_settings(core, max_concurrent_tasks_per_worker=limit)
        try:
            return original(core, msg, now_ms)
        finally:
            core.settings = known

    surgeon.replace_everywhere(original, broken)


@mutant("waiting-limit-ignored", "R7", "any number of attempts wait at a worker", "simulation")
def _(surgeon: Surgeon) -> None:
    original = ahead.part_of_surplus

    def broken(core: Any, worker: Any, most: int) -> Any:
        known = core.settings
        core.settings = _with_settings(core, max_tasks_ahead=100)
        try:
            return original(core, worker, most)
        finally:
            core.settings = known

    surgeon.replace_everywhere(original, broken)


@mutant("query-limit-ignored", "R7", "a query may run any number of attempts")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(ReadyIndex, "close", lambda _self, _query_id: None)


@mutant("excluded-is-served", "R6", "an excluded worker is given work")
def _(surgeon: Surgeon) -> None:
    original = assignment.get_task

    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        worker = core.workers.live.get(msg.worker_id)
        if worker is not None:
            worker.standing.excluded_at_ms = None
        return original(core, msg, now_ms)

    surgeon.replace_everywhere(original, broken)


@mutant("barrier-of-one", "R8", "one committed task opens the barrier", "simulation")
def _(surgeon: Surgeon) -> None:
    def broken(self: StageRecord) -> bool:
        return self.layout is not None and self.committed > 0

    surgeon.replace(StageRecord, "is_committed", property(broken))


@mutant("barrier-open", "R8", "a stage is assigned though its parents are not committed")
def _(surgeon: Surgeon) -> None:
    def broken(self: StageRecord) -> bool:
        return self.layout is None or self.is_ready or bool(self.choosy)

    surgeon.replace(StageRecord, "has_work", property(broken))


@mutant("assigned-twice", "R9", "an attempt that was assigned stays ready")
def _(surgeon: Surgeon) -> None:
    original = assignment._assign

    def broken(
        core: Any, worker: Any, query: Any, stage: Any, task: Any, now_ms: int, **how: bool
    ) -> Any:
        given = original(core, worker, query, stage, task, now_ms, **how)
        stage.again.append(task.task_id)
        stages.refresh_offer(core, query, stage, now_ms)
        return given

    surgeon.replace(assignment, "_assign", broken)


@mutant("operators-ignored", "R10", "a task goes to workers without its operator")
def _(surgeon: Surgeon) -> None:
    def broken(self: Profile, requirement: Any) -> bool:
        return requirement.family in {None, self.family}

    surgeon.replace(Profile, "meets", broken)


@mutant("new-capability-unnoticed", "R10", "work is not matched anew when a capable worker comes")
def _(surgeon: Surgeon) -> None:
    def broken(self: ReadyIndex, bucket: Any, now_ms: int) -> None:
        if bucket.unmatched_since_ms is None:
            original(self, bucket, now_ms)

    original = ReadyIndex._match
    surgeon.replace(ReadyIndex, "_match", broken)


@mutant(
    "first-come-first-served", "R11", "the query served keeps its place at the front", "simulation"
)
def _(surgeon: Surgeon) -> None:
    surgeon.replace(ReadyIndex, "served", lambda _self, _query_id: None)


@mutant("attempt-number-skipped", "R12", "a retry skips an attempt number")
def _(surgeon: Surgeon) -> None:
    def broken(self: TaskRecord) -> int:
        return len(self.attempts) + (2 if self.attempts else 1)

    surgeon.replace(TaskRecord, "next_attempt", property(broken))


@mutant(
    "first-attempt-is-read", "R25", "readers are sent to a map task's first attempt", "simulation"
)
def _(surgeon: Surgeon) -> None:
    original = assignment._shuffle_inputs

    def broken(query: Any, stage: Any, task: Any) -> Any:
        return tuple(
            attrs.evolve(each, attempt=Attempt(1)) for each in original(query, stage, task)
        )

    surgeon.replace(assignment, "_shuffle_inputs", broken)


@mutant(
    "last-partition-dropped",
    "R31",
    "no task reads the last group of reduce partitions",
    "simulation",
)
def _(surgeon: Surgeon) -> None:
    original = layout.group_partitions

    def broken(sizes: Any, settings: CoordinatorSettings) -> Any:
        groups = original(sizes, settings)
        return groups[:-1] or groups

    surgeon.replace(layout, "group_partitions", broken)


@mutant("scan-share-doubled", "R31", "two tasks read the first share of a table", "simulation")
def _(surgeon: Surgeon) -> None:
    original = layout.scan_inputs

    def broken(stage: Any, scans: Any, task: Any) -> Any:
        if task.scan is not None and task.scan[1] == 1:
            task = attrs.evolve(task, scan=(task.scan[0], 0))
        return original(stage, scans, task)

    surgeon.replace_everywhere(original, broken)


@mutant("exclusion-never-ends", "R16", "an excluded worker stays excluded")
def _(surgeon: Surgeon) -> None:
    def broken(self: WorkerTable, worker: Any, now_ms: int) -> bool:
        del self, now_ms
        return worker.standing.excluded_at_ms is not None

    surgeon.replace(WorkerTable, "is_excluded", broken)


@mutant("exclusion-starves", "R16", "nobody is readmitted when all are excluded")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(WorkerTable, "readmit_if_needed", lambda _self, _worker, _now_ms: False)


@mutant("exclusion-one-late", "R16", "a worker is excluded one failure too late")
def _(surgeon: Surgeon) -> None:
    original = WorkerTable.blame

    def broken(self: WorkerTable, worker: Any, now_ms: int) -> None:
        known = self._settings
        threshold = known.blacklist_failure_threshold + 1
        self._settings = attrs.evolve(known, blacklist_failure_threshold=threshold)
        try:
            original(self, worker, now_ms)
        finally:
            self._settings = known

    surgeon.replace(WorkerTable, "blame", broken)


@mutant("exclusion-ends-with-staleness", "R16", "a worker that was silent comes back with no past")
def _(surgeon: Surgeon) -> None:
    original = WorkerTable.remove

    def broken(self: WorkerTable, worker_id: Any, now_ms: int) -> Any:
        worker = original(self, worker_id, now_ms)
        self.absent.pop(worker_id, None)
        return worker

    surgeon.replace(WorkerTable, "remove", broken)


@mutant(
    "reducing-stage-does-not-know-its-reader",
    "R8",
    "a stage that reads another's rows to leave out its own is not told of their loss",
    "simulation",
)
def _(surgeon: Surgeon) -> None:
    original = stages._reduce

    def broken(build: StageRecord, probe: StageRecord, plan: Any) -> None:
        told = build.consumers
        original(build, probe, plan)
        build.consumers = told

    surgeon.replace(stages, "_reduce", broken)


@mutant("keys-are-not-counted", "R8", "keys go first, however many they are", "simulation")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(stages, "_keys_bytes", lambda _: 0)


@mutant(
    "told-to-reduce-but-does-not",
    "R8",
    "keys are few, and rows with other ones are exchanged all the same",
    "simulation",
)
def _(surgeon: Surgeon) -> None:
    surgeon.replace(stages, "_reduce", lambda *_: None)


@mutant(
    "inlined-stage-is-still-told",
    "R8",
    "what an inlined stage read still counts to it",
    "simulation",
)
def _(surgeon: Surgeon) -> None:
    original = stages._inline

    def broken(query: Any, stage: StageRecord, probe: StageRecord, plan: Any) -> None:
        told = {parent: query.stages[parent].consumers for parent in probe.parents}
        original(query, stage, probe, plan)
        for parent, consumers in told.items():
            query.stages[parent].consumers = consumers

    surgeon.replace(stages, "_inline", broken)


def _with_ranges(surgeon: Surgeon, broken: Callable[[MapRange], MapRange]) -> None:
    original = skew._ranges

    def ranges(*arguments: Any) -> tuple[MapRange, ...]:
        return tuple(map(broken, original(*arguments)))

    surgeon.replace(skew, "_ranges", ranges)


@mutant("divided-rows-lost", "R25", "tasks of a divided partition miss a map task", "simulation")
def _(surgeon: Surgeon) -> None:
    _with_ranges(surgeon, lambda each: attrs.evolve(each, end=max(each.begin + 1, each.end - 1)))


@mutant("divided-rows-doubled", "R25", "tasks of a divided partition share an output", "simulation")
def _(surgeon: Surgeon) -> None:
    _with_ranges(surgeon, lambda each: attrs.evolve(each, begin=max(0, each.begin - 1)))


@mutant("divides-what-must-meet", "R25", "rows that must meet are given to two", "simulation")
def _(surgeon: Surgeon) -> None:
    def broken(stage: Any) -> list[Any]:
        return [source.stage_id for source in stage.parents if not source.whole]

    surgeon.replace(skew, "_splittable", broken)


@mutant(
    "following-share-one-off", "R31", "beside each share are the rows of the first", "simulation"
)
def _(surgeon: Surgeon) -> None:
    original = layout.scan_inputs

    def broken(stage: Any, scans: Any, task: Any) -> Any:
        follow = {source.leaf for source in stage.scans if source.follows is not None}
        return tuple(
            attrs.evolve(each, splits=scans[each.leaf].shares[0]) if each.leaf in follow else each
            for each in original(stage, scans, task)
        )

    surgeon.replace_everywhere(original, broken)


@mutant(
    "following-share-cut-short", "R31", "the last rows that may meet are not there", "simulation"
)
def _(surgeon: Surgeon) -> None:
    original = ranges.Followed.within

    def broken(self: ranges.Followed, intervals: Any) -> Any:
        found = original(self, intervals)
        return found[:-1] or found

    surgeon.replace(ranges.Followed, "within", broken)
