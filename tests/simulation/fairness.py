"""Whether queries take turns (R11): an account of who was served while others had work waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from ffq.core.ready import Requirement
from ffq.core.records import AttemptRecord, QueryRecord
from ffq.core.state import SchedulingState
from ffq.ids import QueryId, StageId
from ffq.testing import checks
from tests.simulation.invariants import require


@attrs.frozen
class _Place:
    """A query with work in a stage, for workers that meet a requirement."""

    ordinal: int
    stage_id: StageId
    requirement: Requirement


@attrs.define
class Fairness:
    """`_passed`: for every place held without a break, how often each query was served since."""

    _passed: dict[_Place, Counter[QueryId]] = attrs.field(factory=dict)

    def check(self, state: SchedulingState, assigned: Sequence[AttemptRecord]) -> None:
        """Account for one message; `assigned` are the attempts that it handed out.

        What must run alone goes before all others (R19), and counts as nobody's turn.

        Raises Violation: a query was served twice by workers that could have served another, which
        has had work waiting since before the first time.
        """
        served = [
            (attempt.key.query_id, worker.profile)
            for attempt in assigned
            if not attempt.alone
            and (worker := state.workers.live.get(attempt.worker_id)) is not None
            and worker.profile is not None
        ]
        here: dict[_Place, Counter[QueryId]] = {}
        for query in state.queries.values():
            was_served = any(each.key.query_id == query.query_id for each in assigned)
            for place in _places(query, state.settings.max_concurrent_tasks_per_query):
                passed = Counter[QueryId]() if was_served else self._passed.get(place, Counter())
                here[place] = passed
                if place not in self._passed or was_served:
                    continue
                for other, profile in served:
                    if not state.ready.is_met(profile, place.requirement):
                        continue
                    passed[other] += 1
                    waiting = f"stage {place.stage_id} of {query.query_id}"
                    checks.in_turn(require, waiting, str(other), passed[other], 1)
        self._passed = here


def _places(query: QueryRecord, limit: int) -> Iterator[_Place]:
    """What of a query could be assigned now, to anybody (R7, R8)."""
    if query.state.terminal or len(query.running) >= limit:
        return
    for stage in query.stages:
        if stage.has_work and (stage.layout is None or stage.is_ready):
            yield _Place(query.ordinal, stage.stage_id, stage.requirement)
