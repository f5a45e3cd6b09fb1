"""Whether there is work for a worker, without giving it any."""

from __future__ import annotations

from ffq.core.ahead import has_surplus_for, may_recall_for
from ffq.core.placement import runs_alone
from ffq.core.speculation import next_straggler
from ffq.core.state import SchedulingState
from ffq.ids import WorkerId


def has_work_for(
    state: SchedulingState, worker_id: WorkerId, *, slots: bool = True, ahead: bool = False
) -> bool:
    """Whether it is worth asking for tasks for this worker (R6, R7, R10).

    Quick, as it is asked for many whenever something has changed. False is certain until the state
    changes; after True there may be nothing all the same, where tasks are choosy or the worker is
    excluded.

    Args:
        slots: whether it has slots to fill.
        ahead: whether tasks may wait there for one.
    """
    worker = state.workers.live.get(worker_id)
    if worker is None or worker.profile is None or runs_alone(worker):
        return False
    slots = slots and worker.begun < state.settings.max_concurrent_tasks_per_worker
    if not (slots or ahead):
        return False
    if any(True for _ in state.ready.waiting_requirements(worker.profile)):
        return slots or has_surplus_for(state, worker)
    return slots and (may_recall_for(state, worker) or next_straggler(state, worker) is not None)


def next_plan(state: SchedulingState, worker_id: WorkerId) -> bytes | None:
    """The plan of which the worker would be given a task next, as far as a quick look tells."""
    worker = state.workers.live.get(worker_id)
    if worker is None or worker.profile is None:
        return None
    turn = state.ready.pick(worker.profile, lambda _query, _stage: True)
    return None if turn is None else state.queries[turn[0]].plan_bytes


def is_idle(state: SchedulingState, worker_id: WorkerId) -> bool:
    """Whether the worker is there and runs nothing."""
    worker = state.workers.live.get(worker_id)
    return worker is not None and not worker.running
