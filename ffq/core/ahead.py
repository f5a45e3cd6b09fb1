"""Attempts that wait at their worker for a slot of it: the next one begins without a round trip.

An attempt that waits there is assigned like any other: it is its task's current one (R13), its
query's limit counts it (R7), its lease is renewed, and it is lost with its worker (R19). Only the
worker's limit is another: of what runs there and of what waits there, each has its own.

What could begin at once elsewhere does not wait: so many tasks as there are free slots are left,
and a worker gets its part of the others. It is given them in turn as any other (R11): where the one
whose turn it is cannot wait, none does, and slots become free. When they are and nothing is left
for them, what waits elsewhere is given back and begins there.
"""

from __future__ import annotations

from itertools import islice

from ffq.core.records import StageRecord
from ffq.core.state import SchedulingState
from ffq.core.workers import WorkerRecord
from ffq.ids import AttemptKey, QueryId, StageId
from ffq.messages import ReadRecalls

LOOKS = 64
"""Queries, stages or attempts that one look at what waits may take."""


def can_wait(
    state: SchedulingState, worker: WorkerRecord, query_id: QueryId, stage_id: StageId
) -> bool:
    """Whether the stage's next task may wait at this worker.

    One may not that was given back already, or that not every worker may be given. Nobody knows how
    long a stage's tasks take before one has finished: of such, a worker has as many as slots.
    """
    stage = state.queries[query_id].stages[stage_id]
    if stage.layout is not None:
        if not stage.is_ready or (not stage.fresh and stage.tasks[stage.again[0]].returned):
            return False
        if stage.committed:
            return True
    unknown = sum(not _stage_of(state, key).committed for key in worker.ahead)
    return unknown < worker.slots


def _stage_of(state: SchedulingState, key: AttemptKey) -> StageRecord:
    return state.queries[key.query_id].stages[key.stage_id]


def part_of_surplus(state: SchedulingState, worker: WorkerRecord, most: int) -> int:
    """How many tasks may wait at this worker, at most so many, beside those that do.

    They are its part, rounded up, of what is left when all free slots are filled.
    """
    settings = state.settings
    # A worker with more slots than it may use would begin what is to wait.
    if worker.incarnation == 0 or worker.slots > settings.max_concurrent_tasks_per_worker:
        return 0
    most = min(most, settings.max_tasks_ahead - len(worker.ahead))
    if most <= 0:
        return 0
    count = len(state.workers.live)
    surplus = _waiting(state, state.workers.free + most * count) - state.workers.free
    return max(0, min(most, -(-surplus // count)))


def _waiting(state: SchedulingState, enough: int) -> int:
    """Tasks that could be assigned now, as far as a look or two tells; `enough` of them are."""
    count = 0
    for query_id, stage_id in islice(state.ready.waiting_stages(), LOOKS):
        stage = state.queries[query_id].stages[stage_id]
        count += 1 if stage.layout is None else stage.fresh + len(stage.again) + len(stage.choosy)
        if count >= enough:
            break
    return count


def has_surplus_for(state: SchedulingState, worker: WorkerRecord) -> bool:
    """Whether something may wait at it, as far as a quick look tells."""
    return part_of_surplus(state, worker, 1) > 0


def recall(state: SchedulingState, worker: WorkerRecord, free: int) -> None:
    """This worker has so many slots for which there is nothing: others are to give back for it.

    Taken are the attempts that were assigned last, of those with whom most wait.
    """
    workers = state.workers
    wanted = min(free, workers.free - _waiting(state, workers.free) - workers.recalled)
    profile = worker.profile
    if wanted <= 0 or profile is None:
        return
    holders = list(islice(workers.holders.values(), LOOKS))
    for holder in sorted(holders, key=lambda each: -len(each.ahead)):
        if holder is worker:
            continue
        for attempt in islice(reversed(holder.ahead.values()), LOOKS):
            stage = _stage_of(state, attempt.key)
            if attempt.recalled or not state.ready.is_met(profile, stage.requirement):
                continue
            workers.recall(holder, attempt)
            state.changed()
            wanted -= 1
            if not wanted:
                return


def may_recall_for(state: SchedulingState, worker: WorkerRecord) -> bool:
    """Whether others may have to give back something for its free slots, on a quick look."""
    workers = state.workers
    return bool(workers.holders) and workers.free > workers.recalled and not worker.ahead


def read_recalls(state: SchedulingState, msg: ReadRecalls, _now_ms: int) -> tuple[AttemptKey, ...]:
    """What the worker has to be told now to give back."""
    worker = state.workers.live.get(msg.worker_id)
    if worker is None or worker.incarnation != msg.incarnation or not worker.recalls:
        return ()
    state.changed()
    return state.workers.told(worker)
