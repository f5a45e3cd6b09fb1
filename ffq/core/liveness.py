"""The liveness machine: who is alive, and what scheduling must be told about it (R18 to R21).

Workers are kept in the order of their last evidence of life, so that a sweep looks at the stale
ones and one more. Scheduling is told only what changed; a loss always comes before the return of
the same worker under another incarnation. What it must be told is built before a record changes: if
that fails, the two still agree.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

from ffq.core.machine import Machine, Notice, Party, Table
from ffq.core.settings import CoordinatorSettings
from ffq.errors import InvalidRequest, InvariantViolated, QuotaExceeded
from ffq.ids import WorkerId
from ffq.messages import (
    MAX_NAME_LENGTH,
    BeatReply,
    Heartbeat,
    RecordEvidence,
    RecordHeartbeat,
    SweepStaleWorkers,
    WorkerChanged,
    WorkerLost,
)

_RETRY_REGISTER_MS = 5_000

SLICE: Final = 100
"""Workers whose loss scheduling is told of in one go."""


_CURRENT: Final = BeatReply(current=True)
_REPLACED: Final = BeatReply(current=False)


@attrs.define  # made for each beat: a frozen one takes twice as long
class _Alive:
    """Never changed. `told`: what scheduling was told last. `at_ms`, `running_tasks`: as the
    worker said.
    """

    last_seen_ms: int
    told: WorkerChanged
    at_ms: int = 0
    running_tasks: int = 0

    @property
    def incarnation(self) -> int:
        return self.told.incarnation


@attrs.define(eq=False)
class LivenessState:
    """`workers`: those that no sweep has found stale, the one heard of longest ago first.

    `slice`: how many of them one sweep loses at most.
    """

    settings: CoordinatorSettings
    workers: OrderedDict[WorkerId, _Alive] = attrs.field(factory=OrderedDict)
    slice: int = SLICE
    version: int = 0
    notices: list[Notice] = attrs.field(factory=list)


def record_heartbeat(state: LivenessState, msg: RecordHeartbeat, now_ms: int) -> BeatReply:
    """A heartbeat: evidence of life, and all that the worker can do (R18, R21).

    Of two incarnations under one id the higher number is the newer; a beat of the lower one is
    not current, unless the newer has gone stale. A beat without incarnation counts as lowest.

    Raises:
        InvalidRequest: too many capabilities, or a name that is too long.
        QuotaExceeded: as many workers as are allowed are live.
    """
    beat = msg.beat
    known = state.workers.get(beat.worker_id)
    if known is not None and _repeats(beat, known.told):  # what was checked then
        return _see(state, known.told, known, now_ms, beat)
    _check(state, beat)
    told = WorkerChanged(
        worker_id=beat.worker_id,
        incarnation=beat.incarnation,
        capabilities=beat.capabilities,
        endpoint=beat.endpoint,
        family=beat.family,
        introduced=True,
        slots=beat.slots,
        stuck_tasks=beat.stuck_tasks,
    )
    if known is not None and _is_outdated(state, beat.incarnation, known, now_ms):
        return _REPLACED
    return _see(state, told, known, now_ms, beat)


def record_evidence(state: LivenessState, msg: RecordEvidence, now_ms: int) -> BeatReply:
    """Another RPC proved a worker alive (R18); what it can do stays as it was (R6).

    Without incarnation it is evidence of whoever has the id. A worker that sets one but has
    not beaten yet is not introduced: it gets nothing before it has said what it can do.

    Raises:
        QuotaExceeded: as many workers as are allowed are live.
    """
    known = state.workers.get(msg.worker_id)
    if known is None and not msg.register:
        return _CURRENT
    if known is not None:
        if msg.incarnation in (0, known.told.incarnation):  # no set is made
            return _see(state, known.told, known, now_ms)
        if _is_outdated(state, msg.incarnation, known, now_ms):
            return _REPLACED
    told = WorkerChanged(
        worker_id=msg.worker_id,
        incarnation=msg.incarnation,
        capabilities=frozenset(),
        endpoint="",
        family="",
        introduced=msg.incarnation == 0,
    )
    return _see(state, told, known, now_ms)


def sweep_stale_workers(state: LivenessState, msg: SweepStaleWorkers, _now_ms: int) -> None:
    """Drop workers silent for longer than the timeout when the sweep was sent (R19).

    That time, not the present one: what arrived before the sweep has been handled, what
    arrived after it may still be queued behind it. Of very many the next slice is lost by the
    same sweep, sent again: meanwhile beats are heard, and scheduling serves others.
    """
    lost: list[WorkerLost] = []
    more = False
    for worker_id, oldest in state.workers.items():
        if not _is_stale(state, oldest, msg.sent_at_ms):
            break
        if len(lost) == state.slice:
            more = True
            break
        silent_ms = msg.sent_at_ms - oldest.last_seen_ms
        lost.append(WorkerLost(worker_id, f"silent for {silent_ms} ms"))
    if lost:
        state.notices.extend(lost)
        state.version += 1
    for each in lost:
        del state.workers[each.worker_id]
    if more:
        state.notices.append(msg)


def stale_from_ms(state: LivenessState, now_ms: int) -> int:
    """The first moment at which a worker can be stale, of those that are live and any other."""
    oldest = next(iter(state.workers.values()), None)
    seen_ms = now_ms if oldest is None else oldest.last_seen_ms
    return seen_ms + state.settings.worker_liveness_timeout_ms + 1


def _see(
    state: LivenessState,
    told: WorkerChanged,
    known: _Alive | None,
    now_ms: int,
    beat: Heartbeat | None = None,
) -> BeatReply:
    """The worker is alive now; what scheduling does not know yet is to be told."""
    worker_id = told.worker_id
    notices: tuple[Notice, ...] = ()
    if known is None:
        if len(state.workers) >= state.settings.max_workers:
            raise QuotaExceeded(
                f"{state.settings.max_workers} workers are live: worker {worker_id} cannot "
                f"be added",
                retry_after_ms=_RETRY_REGISTER_MS,
            )
        notices = (told,)
        said = (0, 0)
    else:
        if told is not known.told:
            if known.incarnation != told.incarnation:
                notices = (WorkerLost(worker_id, "it was restarted"), told)
            elif known.told != told:
                notices = (told,)
        said = (known.at_ms, known.running_tasks)
    if beat is not None:
        said = (beat.at_ms, beat.running_tasks)
    record = _Alive(now_ms, told, *said)
    if notices:
        state.notices.extend(notices)
    is_news = known is None or known.last_seen_ms != now_ms or record != known
    if is_news or next(reversed(state.workers)) != worker_id:
        state.version += 1
        state.workers[worker_id] = record
        state.workers.move_to_end(worker_id)
    return _CURRENT


def _repeats(beat: Heartbeat, told: WorkerChanged) -> bool:
    """Whether the worker says of itself what scheduling was told last, and so nothing new."""
    return (
        beat.incarnation == told.incarnation
        and beat.slots == told.slots
        and beat.stuck_tasks == told.stuck_tasks
        and beat.endpoint == told.endpoint
        and beat.family == told.family
        and beat.capabilities == told.capabilities
        and told.introduced
    )


def _is_outdated(state: LivenessState, incarnation: int, known: _Alive, now_ms: int) -> bool:
    """Whether a message is of an incarnation that a live one has replaced."""
    return incarnation < known.incarnation and not _is_stale(state, known, now_ms)


def _is_stale(state: LivenessState, worker: _Alive, now_ms: int) -> bool:
    return now_ms - worker.last_seen_ms > state.settings.worker_liveness_timeout_ms


def _check(state: LivenessState, beat: Heartbeat) -> None:
    limit = state.settings.max_capabilities
    if len(beat.capabilities) > limit:
        raise InvalidRequest(
            f"worker {beat.worker_id} names {len(beat.capabilities)} capabilities; "
            f"at most {limit} are allowed"
        )
    for name in (*sorted(beat.capabilities), beat.endpoint, beat.family):
        if len(name) > MAX_NAME_LENGTH:
            raise InvalidRequest(
                f"worker {beat.worker_id}: {name[:40]!r}... has {len(name)} characters; "
                f"at most {MAX_NAME_LENGTH} are allowed"
            )


def validate(state: LivenessState) -> None:
    """Raises InvariantViolated, naming what is inconsistent."""
    seen = [worker.last_seen_ms for worker in state.workers.values()]
    if seen != sorted(seen):
        raise InvariantViolated("liveness: workers are not in the order of their evidence")
    if len(seen) > state.settings.max_workers:
        raise InvariantViolated(f"liveness: {len(seen)} workers are over the bound")
    for worker_id, worker in state.workers.items():
        if worker.told.worker_id != worker_id:
            raise InvariantViolated(f"liveness: {worker_id} is kept as {worker.told.worker_id}")
    if state.notices:
        raise InvariantViolated("liveness: notices were left behind")


LIVENESS = Table[LivenessState](Party.LIVENESS, validate)
LIVENESS.tells(RecordHeartbeat)(record_heartbeat)
LIVENESS.tells(RecordEvidence)(record_evidence)
LIVENESS.tells(SweepStaleWorkers)(sweep_stale_workers)


def liveness_machine(settings: CoordinatorSettings) -> Machine[LivenessState]:
    return Machine(LIVENESS, LivenessState(settings))
