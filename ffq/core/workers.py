"""Live workers as scheduling knows them, and the standing of each (R6, R10, R16, R21).

A standing is what must survive a worker's staleness: its consecutive failures, its exclusion, and
that it was drained. Standings of absent workers are bounded: the one absent for longest goes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from ffq.core.pieces import ByAttempt
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

    `ahead`: those of its running attempts that wait there for a slot, the oldest first. `recalls`:
    those of them that it has not been told yet to give back.

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
    ahead: dict[AttemptKey, AttemptRecord] = attrs.field(factory=dict)
    recalls: dict[AttemptKey, None] = attrs.field(factory=dict)
    outputs: dict[QueryId, dict[StageId, ByAttempt[None]]] = attrs.field(factory=dict)
    profile: Profile | None = None
    usable: int = 0
    """Slots in which attempts could run: without those of stuck tasks, 0 where it gets none."""
    free: int = 0
    """Those of them in which nothing runs, as they are counted in `WorkerTable.free`."""

    @property
    def begun(self) -> int:
        """How many of its attempts have a slot (R7)."""
        return len(self.running) - len(self.ahead)

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
    """The live workers, and what is remembered of absent ones.

    `free`: slots of all of them in which nothing runs. `holders`: those with whom attempts wait.
    `recalled`: of these attempts, how many are to be given back. `recalling`: who has to be told.
    """

    _settings: CoordinatorSettings
    _ready: ReadyIndex
    live: dict[WorkerId, WorkerRecord] = attrs.field(factory=dict)
    absent: OrderedDict[WorkerId, Standing] = attrs.field(factory=OrderedDict)
    free: int = 0
    holders: dict[WorkerId, WorkerRecord] = attrs.field(factory=dict)
    recalled: int = 0
    recalling: dict[WorkerId, None] = attrs.field(factory=dict)

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
        self.free -= worker.free
        self.recalling.pop(worker_id, None)
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
        worker.usable = self.slots_usable(worker)
        self._count_free(worker)

    # --- its attempts ------------------------------------------------------------------------

    def hold(self, worker: WorkerRecord, attempt: AttemptRecord) -> None:
        """It has been given an attempt, for a slot or to wait there for one."""
        worker.running[attempt.key] = attempt
        if attempt.began_at_ms is None:
            worker.ahead[attempt.key] = attempt
            self.holders[worker.worker_id] = worker
        self._count_free(worker)

    def release(self, attempt: AttemptRecord, now_ms: int) -> AttemptRecord | None:
        """It holds an attempt no more. What has waited there longest begins in its slot, if it had
        one: that attempt, or None.
        """
        worker = self.live[attempt.worker_id]
        del worker.running[attempt.key]
        begins: AttemptRecord | None = None
        if attempt.began_at_ms is None:
            self._leave_ahead(worker, attempt)
        elif worker.ahead:
            begins = next(iter(worker.ahead.values()))
            self._leave_ahead(worker, begins)
            begins.began_at_ms = now_ms
        self._count_free(worker)
        return begins

    def recall(self, worker: WorkerRecord, attempt: AttemptRecord) -> None:
        """It is to give back one that waits there."""
        attempt.recalled = True
        self.recalled += 1
        worker.recalls[attempt.key] = None
        self.recalling[worker.worker_id] = None

    def told(self, worker: WorkerRecord) -> tuple[AttemptKey, ...]:
        """What it has to be told now to give back."""
        keys = tuple(worker.recalls)
        worker.recalls.clear()
        self.recalling.pop(worker.worker_id, None)
        return keys

    def _leave_ahead(self, worker: WorkerRecord, attempt: AttemptRecord) -> None:
        del worker.ahead[attempt.key]
        if not worker.ahead:
            del self.holders[worker.worker_id]
        self.recalled -= attempt.recalled
        if worker.recalls.pop(attempt.key, self) is None and not worker.recalls:
            del self.recalling[worker.worker_id]

    def _count_free(self, worker: WorkerRecord) -> None:
        free = max(0, worker.usable - len(worker.running) + len(worker.ahead))
        self.free += free - worker.free
        worker.free = free

    def slots_usable(self, worker: WorkerRecord) -> int:
        """Slots in which it could run attempts, all in all; of one that does not say how many it
        has, one is known of.
        """
        if worker.profile is None:
            return 0
        slots = min(worker.slots or 1, self._settings.max_concurrent_tasks_per_worker)
        return max(0, slots - worker.stuck_tasks)

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
