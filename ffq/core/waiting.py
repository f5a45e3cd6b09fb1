"""Why a query makes no progress, for people (R10)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import attrs

from ffq.core import placement
from ffq.core.ready import Profile, Requirement
from ffq.core.records import QueryRecord, StageRecord
from ffq.core.state import SchedulingState
from ffq.core.workers import WorkerRecord
from ffq.messages import SPLITS

_MAX_MESSAGE = 4096
_MAX_REASON = 500
_MOST_NAMED = 5


@attrs.frozen
class _Able:
    """Those that could run it: one that is `free`, or why all are `busy`; neither: nobody.

    `free`: of those that are, the one that was given something last.
    """

    free: WorkerRecord | None = None
    busy: str = ""


@attrs.define
class Waiting:
    """Says what queries wait for. One for each answer, which may be about many queries.

    What holds for all that require the same of a worker is found once.
    """

    _state: SchedulingState
    _now_ms: int
    _able: dict[Requirement, _Able] = attrs.field(factory=dict)
    _by_profile: dict[Profile, list[WorkerRecord]] | None = None

    def message(self, query: QueryRecord) -> str:
        """What the query waits for; empty when it makes progress, or will with the next poll."""
        missing = {
            self._able_to(requirement).busy or self._missing(requirement)
            for requirement, _ in self._state.ready.unmatched_of(query.query_id)
        }
        reasons = sorted(missing)
        if not query.running:
            reasons += self._reasons(query)
        text = f"waiting: {'; '.join(dict.fromkeys(reasons))}" if reasons else ""
        # A plan may name operators of any length, and every status and list repeats this.
        return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"

    def _reasons(self, query: QueryRecord) -> Iterator[str]:
        """Of a query that runs nothing, though workers that could run something are alive."""
        for stage in query.stages:
            if stage.has_work:
                able = self._able_to(stage.requirement)
                if why := able.busy or self._left_alone(query, stage, able.free):
                    yield why
            elif stage.unmet == 0 and stage.queued:
                yield self._retry(stage)
        yield from islice(placement.waits(self._state, query), _MOST_NAMED)

    def _retry(self, stage: StageRecord) -> str:
        soonest = min((each for each in stage.tasks if each.waiting), key=lambda t: t.ready_at_ms)
        # Not a countdown: a status that says the same is the same.
        failed = max(soonest.attempts[-2:], key=lambda each: each.finished_at_ms or 0)
        failed_at_ms = self._now_ms if failed.finished_at_ms is None else failed.finished_at_ms
        delay_ms = soonest.ready_at_ms - failed_at_ms
        name = f"task {soonest.task_id} of stage {stage.stage_id}"
        why = failed.message.partition("\n")[0][:_MAX_REASON]
        return f"{name} is tried again {delay_ms} ms after it failed{why and f': {why}'}"

    def _left_alone(self, query: QueryRecord, stage: StageRecord, free: WorkerRecord | None) -> str:
        """Of a worker that is alive by its heartbeats, and that no task reaches.

        One that takes tasks of other queries is free for the moment between two of them, and it is
        their turn. Choosy tasks may have cause to pass a free worker by; what they wait for is told
        elsewhere.
        """
        if free is None or (stage.choosy and not stage.is_ready):
            return ""
        patience_ms = self._state.settings.worker_liveness_timeout_ms
        offered_ms = self._state.ready.offered_since_ms(query.query_id, stage.requirement)
        if self._now_ms - max(offered_ms, free.taken_at_ms) <= patience_ms:
            return ""
        name = free.worker_id
        return f"{name} could run it and is free, but has taken no task for {patience_ms} ms"

    def _able_to(self, requirement: Requirement) -> _Able:
        known = self._able.get(requirement)
        if known is None:
            known = self._able[requirement] = self._find_able(requirement)
        return known

    def _find_able(self, requirement: Requirement) -> _Able:
        why: list[str] = []
        able = 0
        free: WorkerRecord | None = None
        if self._by_profile is None:
            self._by_profile = _by_profile(self._state)
        for profile, workers in self._by_profile.items():
            if not self._state.ready.is_met(profile, requirement):
                continue
            for worker in workers:
                reason = self._unavailable(worker)
                if not reason:
                    if free is None or worker.taken_at_ms > free.taken_at_ms:
                        free = worker
                    continue
                able += 1
                if able <= _MOST_NAMED:
                    why.append(f"{worker.worker_id} {reason}")
        if free is not None or not able:
            return _Able(free)
        more = f" and {able - _MOST_NAMED} more" if able > _MOST_NAMED else ""
        return _Able(busy=f"no worker that could run it is free: {', '.join(why)}{more}")

    def _unavailable(self, worker: WorkerRecord) -> str:
        if worker.is_draining:
            return "is draining"
        if self._state.workers.is_excluded(worker, self._now_ms):
            lasts_ms = self._state.settings.blacklist_ttl_ms
            return f"is excluded for {lasts_ms} ms after {worker.standing.failures} failures"
        if placement.runs_alone(worker):
            (attempt,) = worker.running
            return f"runs task {attempt.task}, which must run alone"
        if worker.running and (
            kept_for := placement.solitary_task(self._state, worker, self._now_ms)
        ):
            return f"is kept for task {kept_for.key}, which must run alone"
        most = self._state.settings.max_concurrent_tasks_per_worker
        slots = min(most, worker.slots) if worker.slots else most
        running, stuck = worker.begun, worker.stuck_tasks
        if running + stuck < slots:
            return ""
        held = f", {stuck} of them by attempts that were told to stop and do not" if stuck else ""
        return f"is full ({running + stuck} of {slots} slots{held})"

    def _missing(self, requirement: Requirement) -> str:
        """What no live worker has."""
        profiles = list(self._state.ready.profile_counts())
        if not profiles:
            return "no live worker"
        for operator in sorted(requirement.operators):
            if not any(operator in each.capabilities for each in profiles):
                return f"no live worker has custom operator '{operator}'"
        needs = [f"custom operator '{each}'" for each in sorted(requirement.operators)]
        if requirement.family is not None:
            needs.append(f"engine family '{requirement.family}', on which the query was started")
        if requirement.splits:
            needs.append(f"the capability '{SPLITS}'")
        if requirement.ours_only:
            needs.append("the words and stage numbers of this plan that are ffq's own")
        return f"no live worker has {', '.join(needs)} together"


def _by_profile(state: SchedulingState) -> dict[Profile, list[WorkerRecord]]:
    """Also those that drain, which the ready index knows no more."""
    found: dict[Profile, list[WorkerRecord]] = {}
    for worker in state.workers.live.values():
        if worker.introduced:
            profile = Profile(worker.capabilities, worker.family, ours=worker.incarnation != 0)
            found.setdefault(profile, []).append(worker)
    return found
