"""Live workers as scheduling knows them, and the standing of each (R6, R10, R16, R21).

A standing is what must survive a worker's staleness: its consecutive failures, its exclusion, and
that it was drained. Standings of absent workers are bounded: the one absent for longest goes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from ffq.core.ready import Profile, ReadyIndex
from ffq.core.records import AttemptRecord
from ffq.core.settings import CoordinatorSettings
from ffq.ids import AttemptKey, QueryId, StageId, WorkerId
from ffq.messages import WorkerChanged, WorkerStatus


@attrs.define
class Standing:
    """`failures`: consecutive ones. `drained_incarnation`: None unless it was drained."""

    failures: int = 0
    excluded_at_ms: int | None = None
    drained_incarnation: int | None = None


@attrs.define(eq=False)
class WorkerRecord:
    """A live worker. `outputs`: committed outputs that only it can serve, by query and stage.

    `slots`: attempts it runs at once, 0 where it does not say. `stuck_tasks`: those among them that
    were told to stop and do not.

    `taken_at_ms`: when it was last given a task; when it appeared, if it never was.

    `profile`: what it is counted under in the ready index; None while it gets nothing at all,
    because it is draining or what it is able to run is not known yet.
    """

    worker_id: WorkerId
    incarnation: int
    capabilities: frozenset[str]
    endpoint: str
    family: str
    introduced: bool
    standing: Standing
    taken_at_ms: int
    slots: int = 0
    stuck_tasks: int = 0
    running: dict[AttemptKey, AttemptRecord] = attrs.field(factory=dict)
    outputs: dict[QueryId, dict[StageId, dict[AttemptKey, None]]] = attrs.field(factory=dict)
    profile: Profile | None = None

    def is_as(self, msg: WorkerChanged) -> bool:
        """Whether nothing of it is other than the message says."""
        return (
            self.capabilities == msg.capabilities
            and self.endpoint == msg.endpoint
            and self.family == msg.family
            and self.introduced == msg.introduced
            and self.slots == msg.slots
            and self.stuck_tasks == msg.stuck_tasks
        )

    @property
    def is_draining(self) -> bool:
        return self.standing.drained_incarnation == self.incarnation


@attrs.define(eq=False)
class WorkerTable:
    """The live workers, and what is remembered of absent ones."""

    _settings: CoordinatorSettings
    _ready: ReadyIndex
    live: dict[WorkerId, WorkerRecord] = attrs.field(factory=dict)
    absent: OrderedDict[WorkerId, Standing] = attrs.field(factory=OrderedDict)

    def change(self, msg: WorkerChanged, now_ms: int) -> bool:
        """A worker appeared, or what it can do changed; False when that was known already."""
        worker = self.live.get(msg.worker_id)
        if worker is not None and worker.is_as(msg):
            return False
        if worker is None:
            worker = self.live[msg.worker_id] = WorkerRecord(
                worker_id=msg.worker_id,
                incarnation=msg.incarnation,
                capabilities=msg.capabilities,
                endpoint=msg.endpoint,
                family=msg.family,
                introduced=msg.introduced,
                standing=self.absent.pop(msg.worker_id, Standing()),
                taken_at_ms=now_ms,
            )
        worker.capabilities = msg.capabilities
        worker.endpoint = msg.endpoint
        worker.family = msg.family
        worker.introduced = msg.introduced
        worker.slots = msg.slots
        worker.stuck_tasks = msg.stuck_tasks
        self._count(worker, now_ms)
        return True

    def remove(self, worker_id: WorkerId, now_ms: int) -> WorkerRecord:
        """Drop a live worker's record; its standing stays (R16)."""
        worker = self.live.pop(worker_id)
        if worker.profile is not None:
            self._ready.remove_worker(worker.profile, now_ms)
        if worker.standing != Standing():
            self.absent[worker_id] = worker.standing
            if len(self.absent) > self._settings.max_standings:
                self.absent.popitem(last=False)
        return worker

    def drain(self, worker: WorkerRecord, now_ms: int) -> bool:
        """No more assignments to this incarnation (R6); False when it is draining already."""
        if worker.is_draining:
            return False
        worker.standing.drained_incarnation = worker.incarnation
        self._count(worker, now_ms)
        return True

    def _count(self, worker: WorkerRecord, now_ms: int) -> None:
        profile: Profile | None = None
        if worker.introduced and not worker.is_draining:
            profile = Profile(worker.capabilities, worker.family, ours=worker.incarnation != 0)
        before, worker.profile = worker.profile, profile
        if profile != before:
            if profile is not None:
                self._ready.add_worker(profile, now_ms)
            if before is not None:
                self._ready.remove_worker(before, now_ms)

    # --- exclusion ---------------------------------------------------------------------------

    def is_excluded(self, worker: WorkerRecord, now_ms: int) -> bool:
        """Whether its exclusion lasts (R16)."""
        since_ms = worker.standing.excluded_at_ms
        return since_ms is not None and now_ms < since_ms + self._settings.blacklist_ttl_ms

    def blame(self, worker: WorkerRecord, now_ms: int) -> None:
        """One more consecutive failure; at the threshold it is excluded (R14, R16).

        The count outlives the exclusion: one failure after it ended excludes the worker again.
        """
        worker.standing.failures += 1
        if (
            worker.standing.failures >= self._settings.blacklist_failure_threshold
            and not self.is_excluded(worker, now_ms)
        ):
            worker.standing.excluded_at_ms = now_ms

    def readmit_if_needed(self, worker: WorkerRecord, now_ms: int) -> bool:
        """Readmit this excluded worker if work waits that only excluded ones could run (R16).

        Of those it must be the one excluded longest. False: it was not.
        """
        if worker.profile is None or not self.is_excluded(worker, now_ms):
            return False
        for requirement in self._ready.waiting_requirements(worker.profile):
            able = (
                each
                for each in self.live.values()
                if each.profile is not None and self._ready.matches(each.profile, requirement)
            )
            if self._is_longest_excluded(worker, able, now_ms):
                worker.standing.excluded_at_ms = None
                return True
        return False

    def _is_longest_excluded(
        self, worker: WorkerRecord, able: Iterable[WorkerRecord], now_ms: int
    ) -> bool:
        for other in able:
            if not self.is_excluded(other, now_ms):
                return False
            if _excluded_since(other) < _excluded_since(worker):
                return False
        return True

    # --- for people --------------------------------------------------------------------------

    def statuses(self, now_ms: int) -> tuple[WorkerStatus, ...]:
        """Every live worker, by id."""
        return tuple(
            WorkerStatus(
                worker_id=worker.worker_id,
                capabilities=tuple(sorted(worker.capabilities)),
                running_attempts=len(worker.running),
                slots=worker.slots,
                stuck_tasks=worker.stuck_tasks,
                consecutive_failures=worker.standing.failures,
                excluded=self.is_excluded(worker, now_ms),
                draining=worker.is_draining,
                endpoint=worker.endpoint,
                family=worker.family,
            )
            for _, worker in sorted(self.live.items())
        )


def _excluded_since(worker: WorkerRecord) -> tuple[int, WorkerId]:
    return worker.standing.excluded_at_ms or 0, worker.worker_id
