"""Whether there is work for a worker, without giving it any."""

from __future__ import annotations

from ffq.core.placement import runs_alone
from ffq.core.speculation import next_straggler
from ffq.core.state import SchedulingState
from ffq.ids import WorkerId


def has_work_for(state: SchedulingState, worker_id: WorkerId) -> bool:
    """Whether it is worth asking for tasks for this worker (R6, R7, R10).

    Quick, as it is asked for many whenever something has changed. False is certain until the state
    changes; after True there may be nothing all the same, where tasks are choosy or the worker is
    excluded.
    """
    worker = state.workers.live.get(worker_id)
    if worker is None or worker.profile is None:
        return False
    if len(worker.running) >= state.settings.max_concurrent_tasks_per_worker:
        return False
    if runs_alone(worker):
        return False
    waiting = any(True for _ in state.ready.waiting_requirements(worker.profile))
    return waiting or next_straggler(state, worker) is not None
