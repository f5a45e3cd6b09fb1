"""The liveness machine: who is alive, and what scheduling must be told about it (R18 to R21).

Workers are kept in the order of their last evidence of life, so that a sweep looks at the stale
ones and one more. Scheduling is told only what changed; a loss always comes before the return of
the same worker under another incarnation. What it must be told is built before a record changes: if
that fails, the two still agree.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs

from ffq.core.outcome import Notice, Outcome
from ffq.core.settings import CoordinatorSettings
from ffq.errors import InvalidRequest, InvariantViolated, QuotaExceeded
from ffq.ids import WorkerId
from ffq.messages import (
    BeatReply,
    Heartbeat,
    RecordEvidence,
    RecordHeartbeat,
    SweepStaleWorkers,
    WorkerChanged,
    WorkerLost,
)

MAX_NAME_LENGTH = 256
_RETRY_REGISTER_MS = 5_000


@attrs.define
class _Alive:
    """`told`: what scheduling was told last. `at_ms`, `running_tasks`: as the worker said."""

    last_seen_ms: int
    told: WorkerChanged
    at_ms: int = 0
    running_tasks: int = 0

    @property
    def incarnation(self) -> int:
        return self.told.incarnation


class LivenessCore:
    """Takes one message and the time in ms, gives the reply and what scheduling must be told."""

    def __init__(self, settings: CoordinatorSettings) -> None:
        self._settings = settings
        self._workers: OrderedDict[WorkerId, _Alive] = OrderedDict()

    def record_heartbeat(self, msg: RecordHeartbeat, now_ms: int) -> Outcome[BeatReply]:
        """A heartbeat: evidence of life, and all that the worker can do (R18, R21).

        Of two incarnations under one id the higher number is the newer; a beat of the lower one is
        not current, unless the newer has gone stale. A beat without incarnation counts as lowest.

        Raises:
            InvalidRequest: too many capabilities, or a name that is too long.
            QuotaExceeded: as many workers as are allowed are live.
        """
        beat = msg.beat
        self._check(beat)
        told = WorkerChanged(
            worker_id=beat.worker_id,
            incarnation=beat.incarnation,
            capabilities=beat.capabilities,
            endpoint=beat.endpoint,
            family=beat.family,
            introduced=True,
        )
        known = self._workers.get(beat.worker_id)
        if known is not None and self._is_outdated(beat.incarnation, known, now_ms):
            return Outcome(BeatReply(current=False))
        return self._see(told, known, now_ms, beat)

    def record_evidence(self, msg: RecordEvidence, now_ms: int) -> Outcome[BeatReply]:
        """Another RPC proved a worker alive (R18); what it can do stays as it was (R6).

        Without incarnation it is evidence of whoever has the id. A worker that sets one but has
        not beaten yet is not introduced: it gets nothing before it has said what it can do.

        Raises:
            QuotaExceeded: as many workers as are allowed are live.
        """
        known = self._workers.get(msg.worker_id)
        if known is None and not msg.register:
            return Outcome(BeatReply(current=True))
        if known is not None:
            if msg.incarnation in {0, known.incarnation}:
                return self._see(known.told, known, now_ms)
            if self._is_outdated(msg.incarnation, known, now_ms):
                return Outcome(BeatReply(current=False))
        told = WorkerChanged(
            worker_id=msg.worker_id,
            incarnation=msg.incarnation,
            capabilities=frozenset(),
            endpoint="",
            family="",
            introduced=msg.incarnation == 0,
        )
        return self._see(told, known, now_ms)

    def sweep_stale_workers(self, msg: SweepStaleWorkers, now_ms: int) -> Outcome[None]:
        """Drop workers silent for longer than the timeout when the sweep was sent (R19).

        That time, not the present one: what arrived before the sweep has been handled, what
        arrived after it may still be queued behind it.
        """
        del now_ms
        lost: list[WorkerLost] = []
        for worker_id, oldest in self._workers.items():
            if not self._is_stale(oldest, msg.sent_at_ms):
                break
            silent_ms = msg.sent_at_ms - oldest.last_seen_ms
            lost.append(WorkerLost(worker_id, f"silent for {silent_ms} ms"))
        outcome = Outcome(None, tuple(lost))
        for each in lost:
            del self._workers[each.worker_id]
        return outcome

    def _see(
        self,
        told: WorkerChanged,
        known: _Alive | None,
        now_ms: int,
        beat: Heartbeat | None = None,
    ) -> Outcome[BeatReply]:
        """The worker is alive now; what scheduling does not know yet is to be told."""
        worker_id = told.worker_id
        notices: tuple[Notice, ...] = ()
        if known is None:
            if len(self._workers) >= self._settings.max_workers:
                raise QuotaExceeded(
                    f"{self._settings.max_workers} workers are live: worker {worker_id} cannot "
                    f"be added",
                    retry_after_ms=_RETRY_REGISTER_MS,
                )
            record = _Alive(now_ms, told)
            notices = (told,)
        else:
            record = known
            if known.incarnation != told.incarnation:
                notices = (WorkerLost(worker_id, "it was restarted"), told)
            elif known.told != told:
                notices = (told,)
        outcome = Outcome(BeatReply(current=True), notices)
        record.last_seen_ms, record.told = now_ms, told
        if beat is not None:
            record.at_ms, record.running_tasks = beat.at_ms, beat.running_tasks
        self._workers[worker_id] = record
        self._workers.move_to_end(worker_id)
        return outcome

    def _is_outdated(self, incarnation: int, known: _Alive, now_ms: int) -> bool:
        """Whether a message is of an incarnation that a live one has replaced."""
        return incarnation < known.incarnation and not self._is_stale(known, now_ms)

    def _is_stale(self, worker: _Alive, now_ms: int) -> bool:
        return now_ms - worker.last_seen_ms > self._settings.worker_liveness_timeout_ms

    def _check(self, beat: Heartbeat) -> None:
        limit = self._settings.max_capabilities
        if len(beat.capabilities) > limit:
            raise InvalidRequest(
                f"worker {beat.worker_id} names {len(beat.capabilities)} capabilities; "
                f"at most {limit} are allowed"
            )
        for name in (*beat.capabilities, beat.endpoint, beat.family):
            if len(name) > MAX_NAME_LENGTH:
                raise InvalidRequest(
                    f"worker {beat.worker_id}: {name[:40]!r}... has {len(name)} characters; "
                    f"at most {MAX_NAME_LENGTH} are allowed"
                )

    def live_workers(self) -> frozenset[WorkerId]:
        """Workers that no sweep has found stale."""
        return frozenset(self._workers)

    def validate_state(self) -> None:
        """Raises InvariantViolated, naming what is inconsistent."""
        seen = [worker.last_seen_ms for worker in self._workers.values()]
        if seen != sorted(seen):
            raise InvariantViolated("liveness: workers are not in the order of their evidence")
        if len(seen) > self._settings.max_workers:
            raise InvariantViolated(f"liveness: {len(seen)} workers are over the bound")
        for worker_id, worker in self._workers.items():
            if worker.told.worker_id != worker_id:
                raise InvariantViolated(f"liveness: {worker_id} is kept as {worker.told.worker_id}")
