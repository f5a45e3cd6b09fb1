"""Workers as members of the cluster: they appear, change, are drained, and renew their leases."""

from __future__ import annotations

from typing import Final

from ffq.core.recovery import lose_worker
from ffq.core.state import SchedulingState
from ffq.core.tasks import fail_uncharged, renew_lease
from ffq.core.workers import WorkerRecord
from ffq.errors import UnknownId
from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages import ConfirmHeartbeat, DrainWorker, HeartbeatReply, WorkerChanged

_NOTHING_TO_DO: Final = HeartbeatReply(accepted=True)


def worker_changed(state: SchedulingState, msg: WorkerChanged, now_ms: int) -> None:
    """A worker appeared or changed; one under another incarnation replaces the old (R19, R21)."""
    known = state.workers.live.get(msg.worker_id)
    if known is not None and known.incarnation != msg.incarnation:
        lose_worker(state, msg.worker_id, "it was restarted", now_ms)
    if state.workers.change(msg, now_ms):
        state.changed()


def drain_worker(state: SchedulingState, msg: DrainWorker, now_ms: int) -> None:
    """Give a worker nothing any more (R6).

    Raises:
        UnknownId: no such live worker.
    """
    worker = state.workers.live.get(msg.worker_id)
    if worker is None:
        raise UnknownId(f"there is no live worker {msg.worker_id}", reason="UNKNOWN_WORKER")
    if state.workers.drain(worker, now_ms):
        state.changed()


def confirm_heartbeat(state: SchedulingState, msg: ConfirmHeartbeat, now_ms: int) -> HeartbeatReply:
    """Renew and collect leases; say what to stop and which files to remove (R5, R18).

    `accepted` is false for an excluded or draining worker.
    """
    worker = state.workers.live.get(msg.worker_id)
    listed = msg.running_attempts
    accepted = True
    if worker is not None:
        excluded = worker.standing.excluded_at_ms is not None
        if excluded and state.workers.readmit_if_needed(worker, now_ms):
            state.changed()
        if listed is not None and worker.running:
            _check_leases(state, worker, frozenset(listed), now_ms)
        accepted = not (
            worker.is_draining or (excluded and state.workers.is_excluded(worker, now_ms))
        )
    if not (listed or msg.held_queries):
        return _NOTHING_TO_DO if accepted else HeartbeatReply(accepted=False)
    return HeartbeatReply(
        accepted=accepted,
        stop_attempts=tuple(key for key in listed or () if not _holds(state, msg.worker_id, key)),
        ended_queries=tuple(each for each in msg.held_queries if _has_ended(state, each)),
    )


def _check_leases(
    state: SchedulingState,
    worker: WorkerRecord,
    listed: frozenset[AttemptKey],
    now_ms: int,
) -> None:
    """An attempt that its worker did not list for too long is not being run: take it back."""
    for key in tuple(worker.running):
        attempt = worker.running.get(key)
        if attempt is None:
            # Its query ended, with an attempt that was taken back before it.
            continue
        if key in listed:
            renew_lease(state, attempt, now_ms)
        elif now_ms - attempt.confirmed_at_ms > state.settings.assignment_lease_ms:
            why = f"worker {worker.worker_id} does not run {key}: its lease has lapsed"
            fail_uncharged(state, state.locate(key), why, now_ms)


def _holds(state: SchedulingState, worker_id: WorkerId, key: AttemptKey) -> bool:
    worker = state.workers.live.get(worker_id)
    return worker is not None and key in worker.running


def _has_ended(state: SchedulingState, query_id: QueryId) -> bool:
    query = state.queries.get(query_id)
    return query is None or query.state.terminal
