"""The simulated coordinator's liveness, and an account of every sign of life that it was given."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ffq.core.state import SchedulingState
from ffq.ids import AttemptKey, WorkerId
from ffq.messages import (
    ConfirmHeartbeat,
    RecordEvidence,
    RecordHeartbeat,
    SweepStaleWorkers,
    WorkerChanged,
    WorkerLost,
)
from tests.simulation.invariants import require
from tests.simulation.settings import COORDINATOR_SETTINGS as SETTINGS

SWEEP_SLACK_MS = 1_500
"""How late a stale worker may be found: the sweep's period, and its way through mailboxes."""


@attrs.define
class _Seen:
    """A worker's last sign of life, by the coordinator's clock."""

    at_ms: int
    incarnation: int
    capabilities: frozenset[str] = frozenset()


@attrs.define
class LivenessAccount:
    """Of one life of the coordinator.

    `_unsure`: workers of whom a message ended in a bug, which may have been heard or not.
    `_listed_ms`: when an attempt was assigned, or last listed by its worker.
    """

    _now_ms: Callable[[], int]
    _seen: dict[WorkerId, _Seen] = attrs.field(factory=dict)
    _listed_ms: dict[AttemptKey, int] = attrs.field(factory=dict)
    _unsure: set[WorkerId] = attrs.field(factory=set)

    # --- the account -------------------------------------------------------------------------

    def note(self, message: object, error: BaseException | None) -> None:
        """A message was handled."""
        match message:
            case RecordHeartbeat():
                beat = message.beat
                if error is None:
                    self._see(beat.worker_id, beat.incarnation, beat.capabilities)
                else:
                    self._unsure.add(beat.worker_id)
            case RecordEvidence():
                if error is not None:
                    self._unsure.add(message.worker_id)
                elif message.register or message.worker_id in self._seen:
                    self._see(message.worker_id, message.incarnation, None)
            case ConfirmHeartbeat() if message.running_attempts is not None:
                for key in message.running_attempts:
                    self._listed_ms[key] = self._now_ms()

    def assigned(self, key: AttemptKey) -> None:
        self._listed_ms[key] = self._now_ms()

    def capabilities_of(self, worker_id: WorkerId) -> frozenset[str]:
        """By its last heartbeat; none: it was never heard of."""
        seen = self._seen.get(worker_id)
        return frozenset() if seen is None else seen.capabilities

    def _see(
        self, worker_id: WorkerId, incarnation: int, capabilities: frozenset[str] | None
    ) -> None:
        self._unsure.discard(worker_id)
        known = self._seen.get(worker_id)
        now_ms = self._now_ms()
        stale = known is not None and now_ms - known.at_ms > SETTINGS.worker_liveness_timeout_ms
        if known is None or incarnation > known.incarnation:
            self._seen[worker_id] = _Seen(now_ms, incarnation, capabilities or frozenset())
            return
        if incarnation < known.incarnation:
            if stale:
                self._seen[worker_id] = _Seen(now_ms, incarnation, capabilities or frozenset())
            return
        known.at_ms = now_ms
        if capabilities is not None:
            known.capabilities = capabilities

    # --- what must follow --------------------------------------------------------------------

    def check(self, message: object, state: SchedulingState) -> None:
        """What the message must have done. Raises Violation."""
        match message:
            case SweepStaleWorkers():
                self._check_swept(message.sent_at_ms, state)
            case WorkerLost():
                self._check_lost(message)
            case ConfirmHeartbeat():
                self._check_leases(message.worker_id, state)
            case WorkerChanged():
                _check_replaced(message, state)

    def _check_swept(self, sent_at_ms: int, state: SchedulingState) -> None:
        """Nobody silent for longer than the timeout is left (R19)."""
        timeout_ms = SETTINGS.worker_liveness_timeout_ms
        for worker_id, seen in list(self._seen.items()):
            if worker_id in self._unsure:
                continue
            live = state.workers.live.get(worker_id)
            if sent_at_ms - seen.at_ms <= timeout_ms:
                continue
            require(
                "lost-work-is-requeued",
                live is None,
                f"{worker_id} is silent for {sent_at_ms - seen.at_ms} ms and still counted as live",
            )
            del self._seen[worker_id]

    def _check_lost(self, message: WorkerLost) -> None:
        """Nobody is taken for dead who is not (R20)."""
        seen = self._seen.get(message.worker_id)
        if seen is None or not message.reason.startswith("silent"):
            return
        silent_ms = self._now_ms() - seen.at_ms
        require(
            "beating-worker-kept",
            silent_ms > SETTINGS.worker_liveness_timeout_ms,
            f"{message.worker_id} was lost ({message.reason}) {silent_ms} ms after a sign of life",
        )

    def _check_leases(self, worker_id: WorkerId, state: SchedulingState) -> None:
        """What a worker does not list is not left with it for ever."""
        live = state.workers.live.get(worker_id)
        for key in live.running if live is not None else ():
            idle_ms = self._now_ms() - self._listed_ms.get(key, self._now_ms())
            require(
                "lease-is-collected",
                idle_ms <= SETTINGS.assignment_lease_ms,
                f"{worker_id} beats but has not listed {key} for {idle_ms} ms",
            )

    def nothing_outlives(self, state: SchedulingState) -> None:
        """Every running attempt is with a worker that has been heard of in time.

        Raises Violation.
        """
        limit_ms = SETTINGS.worker_liveness_timeout_ms + SWEEP_SLACK_MS
        for worker_id, live in state.workers.live.items():
            if worker_id in self._unsure:
                continue
            seen = self._seen.get(worker_id)
            silent_ms = None if seen is None else self._now_ms() - seen.at_ms
            require(
                "nothing-outlives-its-worker",
                silent_ms is not None and silent_ms <= limit_ms,
                f"{worker_id} has not been heard of for {silent_ms} ms and holds "
                f"{len(live.running)} attempts",
            )


def _check_replaced(message: WorkerChanged, state: SchedulingState) -> None:
    """A restarted worker runs nothing of what the old one ran (R19)."""
    live = state.workers.live.get(message.worker_id)
    for attempt in live.running.values() if live is not None else ():
        require(
            "restart-is-loss",
            attempt.incarnation == message.incarnation,
            f"{attempt.key} runs in incarnation {attempt.incarnation} of {message.worker_id}, "
            f"which is in incarnation {message.incarnation}",
        )
