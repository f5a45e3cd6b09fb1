"""Checking what clients see: submit, status, cancel, results (R1 to R5, R10, R26)."""

from __future__ import annotations

import attrs

from ffq.testing import checks
from ffq.testing.checking.refusals import is_overload, require_answer, require_unknown
from ffq.testing.invariants import CheckLog
from ffq.testing.model import Course, QueryBelief, Span, TaskBelief, Truth, World
from ffq.testing.queries import PlanShape
from ffq.testing.results import same_result
from ffq.testing.wire import QueryState, Refusal, StatusView

# Bytes from which on a plan that is none is large or deep, too.
_LARGE = 10_000


@attrs.define
class QueryChecker:
    world: World
    log: CheckLog

    def submitted(
        self, now: Span, query_id: str, shape: PlanShape, reply: QueryState | Refusal
    ) -> None:
        """R1: a new id, the same again, or another plan under a known id."""
        if is_overload(self.log, reply):
            return
        query = self.world.queries.get(query_id)
        if query is None:
            self.log.require(
                "submit-answers-queued",
                reply is QueryState.QUEUED,
                f"a new query is answered QUEUED, not {reply}",
            )
            tasks = [
                TaskBelief(stage_id, stage, ready=now)
                for stage_id, stage in enumerate(shape.stages)
            ]
            self.world.queries[query_id] = QueryBelief(query_id, shape, tasks)
        elif query.shape.plan != shape.plan:
            self.log.require(
                "submit-conflict-refused",
                isinstance(reply, Refusal) and reply.code == "ALREADY_EXISTS",
                f"{query_id} has another plan; right is ALREADY_EXISTS, not {reply}",
            )
        else:
            self.log.require(
                "submit-is-idempotent",
                isinstance(reply, QueryState) and reply in self._possible(query),
                f"{query_id} is {self._shown(query)}, but submitting it again answered {reply}",
            )

    def bad_plan(
        self, query_id: str, plan: bytes, reply: QueryState | Refusal, after: object
    ) -> None:
        """R1, R28, R30: bytes that are no plan. `after`: the answer to GetQueryStatus next."""
        is_huge = len(plan) > _LARGE
        codes = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
        self.log.require(
            "over-bound-refused" if is_huge else "bad-plan-refused",
            isinstance(reply, Refusal) and reply.code in codes,
            f"{len(plan)} bytes that are no plan were answered {reply}",
        )
        require_unknown(self.log, after, query_id)

    def canceled(self, query_id: str, reply: QueryState | Refusal) -> None:
        """R4, R5."""
        if is_overload(self.log, reply):
            return
        query = self.world.queries.get(query_id)
        if query is None:
            require_unknown(self.log, reply, query_id)
            return
        require_answer(self.log, reply, f"CancelQuery({query_id})")
        assert isinstance(reply, QueryState)
        if query.active:
            allowed = {QueryState.CANCELED}
            if query.vague or self._may_have_failed(query):
                allowed |= {state for state in QueryState if state.terminal}
            self.log.require(
                "cancel-takes-effect",
                reply in allowed,
                f"{query_id} was {self._shown(query)}; its cancel answered {reply.name}",
            )
            query.end(reply)
        else:
            self.log.require(
                "cancel-answers-standing-state",
                reply is query.state,
                f"{query_id} ended {query.state.name}; a cancel answered {reply.name}",
            )

    def status(self, now: Span, query_id: str, reply: StatusView | Refusal) -> None:
        query = self.world.queries.get(query_id)
        if query is None:
            require_unknown(self.log, reply, query_id)
            return
        require_answer(self.log, reply, f"GetQueryStatus({query_id})")
        assert isinstance(reply, StatusView)
        shown = attrs.evolve(reply, stages=())
        if query.final is not None:
            checks.end_stands(self.log.require, query_id, query.final, shown)
        self._check_state(now, query, reply)
        self._check_times(query, reply)
        if query.active:
            self._check_waiting(now, query, reply)
        elif query.final is None:
            self._check_failure(query, reply)
            query.final = shown

    def _check_state(self, now: Span, query: QueryBelief, reply: StatusView) -> None:
        if reply.state in self._possible(query):
            for name in self._promises_kept(query, reply):
                self.log.require(name, True, "")
            self._check_unrunnable(now, query, reply)
            if reply.state.terminal and query.active:
                query.end(reply.state)
            return
        saw = f"{query.query_id} should be {self._shown(query)}, but its status is {reply}"
        name = _mismatch(query.state, reply.state)
        sink = query.sink.newest
        if reply.state is QueryState.SUCCEEDED and sink is not None and sink.fell_short:
            name = "sink-needs-result"
        self.log.require(name, False, saw)

    def _promises_kept(self, query: QueryBelief, reply: StatusView) -> list[str]:
        """Checks that the right state in the right place has put to the test."""
        if query.vague:
            return []
        match reply.state:
            case QueryState.SUCCEEDED:
                return ["success-comes", "success-needs-everything"]
            case QueryState.FAILED:
                return ["budget-ends-query"]
            case QueryState.CANCELED:
                return ["cancel-takes-effect"]
            case _ if any(task.most_failures for task in query.tasks):
                return ["failed-within-budget", "success-needs-everything"]
            case _:
                return ["ends-only-for-cause"]

    def _possible(self, query: QueryBelief) -> set[QueryState]:
        """States in which the query may be."""
        if query.vague:
            possible = set(QueryState)
            if query.started_at_ms:
                possible.discard(QueryState.QUEUED)
            return possible - {QueryState.CANCELED}
        possible = {query.state}
        if query.active and self._may_have_failed(query):
            possible.add(QueryState.FAILED)
        return possible

    def _may_have_failed(self, query: QueryBelief) -> bool:
        """By a loss that may have used up a task's budget, or by waiting for an operator."""
        budget = self.world.declared.max_task_attempts
        patience = self.world.declared.unrunnable_timeout_ms
        return any(
            task.most_failures + 1 >= budget
            for task in query.tasks
            if task.newest is not None and task.newest.course is Course.MAYBE_LOST
        ) or any(task.unserved_since is not None and patience > 0 for task in query.tasks)

    def _check_unrunnable(self, now: Span, query: QueryBelief, reply: StatusView) -> None:
        patience = self.world.declared.unrunnable_timeout_ms
        waits = [task.unserved_since for task in query.tasks if task.unserved_since is not None]
        if not patience or not waits or query.vague or not query.active:
            return
        early = now.hi - min(since.lo for since in waits) < patience
        late = any(
            now.lo - max(task.unserved_since.hi, task.ready.hi)
            > patience + self.world.declared.slack_ms
            for task in query.tasks
            if task.unserved_since is not None and task.is_queued
        )
        failed = reply.state is QueryState.FAILED
        self.log.require(
            "unrunnable-ends",
            not (failed and early) and (failed or not late),
            f"nobody can run {query.query_id} for about {now.hi - waits[0].lo} ms; "
            f"unrunnable_timeout_ms is {patience}, and its status is {reply}",
        )

    def _check_times(self, query: QueryBelief, reply: StatusView) -> None:
        started = reply.state is not QueryState.QUEUED and any(
            task.attempts for task in query.tasks
        )
        self.log.require(
            "first-assignment-starts",
            reply.submitted_at_ms > 0 and (reply.started_at_ms > 0) is started,
            f"{query.query_id} was {'' if started else 'not '}assigned yet, and says {reply}",
        )
        if query.started_at_ms:
            self.log.require(
                "start-time-stands",
                reply.started_at_ms == query.started_at_ms,
                f"{query.query_id} started at {query.started_at_ms}; now it says {reply}",
            )
        query.started_at_ms = reply.started_at_ms
        self.log.require(
            "terminal-is-final",
            (reply.finished_at_ms > 0) is reply.state.terminal
            and (not reply.state.terminal or reply.finished_at_ms >= reply.started_at_ms),
            f"finished_at_ms is set when a query ends, not before: {reply}",
        )

    def _check_failure(self, query: QueryBelief, reply: StatusView) -> None:
        if reply.state is QueryState.FAILED and query.message is not None:
            self.log.require(
                "failure-is-told",
                query.message in reply.message,
                f"{query.query_id} failed by {query.message!r}, but says {reply.message!r}",
            )

    def _check_waiting(self, now: Span, query: QueryBelief, reply: StatusView) -> None:
        """R10: what a query waits for, it says. With no worker at all, it waits for any."""
        anybody = any(each.present is Truth.YES for each in self.world.workers.values())
        if query.vague or not anybody:
            return
        for task in query.tasks:
            missing = self._missing(query, task, now)
            if missing:
                checks.waiting_is_said(self.log.require, query.query_id, missing, reply.message)

    def _missing(self, query: QueryBelief, task: TaskBelief, now: Span) -> frozenset[str]:
        """Operators that a ready task needs and that no worker of those alive has."""
        ready = task.is_queued and query.parents_committed(task)
        if not ready or now.lo <= task.ready.hi + self.world.declared.slack_ms:
            return frozenset()
        names = task.shape.operators
        for worker in self.world.workers.values():
            if worker.present is not Truth.NO:
                names -= worker.may_have
        return names

    def results(self, query_id: str, reply: bytes | Refusal) -> None:
        """R26, R4."""
        if is_overload(self.log, reply):
            return
        query = self.world.queries.get(query_id)
        if query is None:
            require_unknown(self.log, reply, query_id)
            return
        if query.vague or (query.active and self._may_have_failed(query)):
            return
        if query.state is not QueryState.SUCCEEDED:
            served = not isinstance(reply, Refusal)
            checks.served_after_success(self.log.require, query_id, query.state, served=served)
            return
        newest = query.sink.newest
        expected = None if newest is None or query.was_vague else newest.result
        if expected is not None:
            self.log.require(
                "result-is-the-last-upload",
                isinstance(reply, bytes) and same_result(reply, expected),
                f"{query_id}: fetched {reply!r:.200}, uploaded was {expected!r:.200}",
            )
        if isinstance(reply, bytes):
            self.log.require(
                "terminal-is-final",
                query.fetched is None or query.fetched == reply,
                f"the result of {query_id} changed after its end",
            )
            query.fetched = reply

    def _shown(self, query: QueryBelief) -> str:
        return " or ".join(sorted(state.name for state in self._possible(query)))


def _mismatch(right: QueryState, seen: QueryState) -> str:
    """Which check a wrong state breaks."""
    if right.terminal and seen.terminal:
        return "terminal-is-final"
    return {
        QueryState.SUCCEEDED: "success-comes",
        QueryState.FAILED: "budget-ends-query",
        QueryState.CANCELED: "cancel-takes-effect",
    }.get(right, _UNCALLED_FOR[seen])


_UNCALLED_FOR = {
    QueryState.QUEUED: "first-assignment-starts",
    QueryState.RUNNING: "first-assignment-starts",
    QueryState.SUCCEEDED: "success-needs-everything",
    QueryState.FAILED: "failed-within-budget",
    QueryState.CANCELED: "ends-only-for-cause",
}
