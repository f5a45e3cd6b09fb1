"""Breaks of the queries' lifecycle and of what is kept of them (R1 to R5, R26, R27)."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.core import answers, reporting, state, tasks, waiting
from ffq.core.lifecycle import cancel_query, end_query, evict, find_query
from ffq.core.tasks import commit
from ffq.core.transitions import QueryEvent
from ffq.core.walks import submit_query
from ffq.messages import (
    CancelReply,
    DropQueryOutputs,
    FindQuery,
    QueryState,
    SubmitQuery,
    SubmitReply,
    TaskState,
)
from tests.mutants.registry import mutant
from tests.mutants.ways import Original, replace_reports
from tests.surgery import Surgeon


@mutant("cancel-overwrites-succeeded", "R4", "a cancel turns an ended query into a canceled one")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, msg: Any, now_ms: int) -> CancelReply:
        query = core.query(msg.query_id)
        if query.state.terminal:
            query.state = QueryState.CANCELED
            query.finished_at_ms = now_ms
            query.message = msg.reason
            return CancelReply(query.query_id, query.state)
        return cancel_query(core, msg, now_ms)

    surgeon.replace_everywhere(cancel_query, broken)


@mutant("late-failure-revives", "R4", "a late FAILED revives a canceled query")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, report: Any, _now_ms: int, original: Original) -> None:
        query = core.query(report.key.query_id)
        if query.state is QueryState.CANCELED and report.state is TaskState.FAILED:
            query.state = QueryState.RUNNING
            query.finished_at_ms = None
            query.message = ""
            core.finished.pop(query.query_id, None)
        original()

    replace_reports(surgeon, broken)


@mutant("other-bytes-accepted", "R1", "the same id with another plan is taken for the same query")
def _(surgeon: Surgeon) -> None:
    async def broken(ask: Any, msg: Any) -> SubmitReply:
        known = await ask(FindQuery(msg.query_id, len(msg.plan_bytes)))
        if known is not None:
            return SubmitReply(msg.query_id, known.state)
        reply: SubmitReply = await submit_query(ask, msg)
        return reply

    surgeon.replace_walk(SubmitQuery, broken)


@mutant("resubmit-answers-queued", "R1", "a second submit answers QUEUED, whatever the state")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, msg: Any, now_ms: int) -> Any:
        known = find_query(core, msg, now_ms)
        return None if known is None else attrs.evolve(known, state=QueryState.QUEUED)

    surgeon.replace_everywhere(find_query, broken)


@mutant("start-time-moves", "R2", "every commit sets the start time anew")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, now_ms: int) -> None:
        at.query.started_at_ms = now_ms
        commit(core, at, now_ms)

    surgeon.replace_everywhere(commit, broken)


@mutant("success-of-one-sink-task", "R3", "the first sink task ends the query", "simulation")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, now_ms: int) -> None:
        commit(core, at, now_ms)
        if at.stage.is_sink and not at.query.state.terminal:
            end_query(core, at.query, QueryEvent.SUCCEED, "", now_ms)

    surgeon.replace_everywhere(commit, broken)


@mutant("sink-without-result", "R3", "a sink attempt succeeds without a result")
def _(surgeon: Surgeon) -> None:
    original = reporting._succeeded

    def broken(core: Any, at: Any, now_ms: int) -> None:
        if at.stage.is_sink:
            commit(core, at, now_ms)
        else:
            original(core, at, now_ms)

    surgeon.replace(reporting, "_succeeded", broken)


@mutant("canceled-outputs-stay", "R5", "the registry is not told that a query has ended")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, *arguments: Any) -> None:
        end_query(core, *arguments)
        core.notices = [each for each in core.notices if not isinstance(each, DropQueryOutputs)]

    surgeon.replace_everywhere(end_query, broken)


@mutant("canceled-work-keeps-slots", "R5", "running attempts of a canceled query keep their slots")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, query: Any, *arguments: Any) -> None:
        kept = dict(query.running)
        end_query(core, query, *arguments)
        for key, attempt in kept.items():
            core.workers.live[attempt.worker_id].running[key] = attempt

    surgeon.replace_everywhere(end_query, broken)


@mutant("old-result-wins", "R26", "the result of an old attempt overwrites the new one")
def _(surgeon: Surgeon) -> None:
    drop = tasks._drop_stored

    def keep_results(core: Any, query: Any, attempt: Any) -> None:
        if attempt.output is not None:
            drop(core, query, attempt)

    def first_result(core: Any, msg: Any, now_ms: int) -> tuple[Any, ...]:
        answers_now = original(core, msg, now_ms)
        query = core.query(msg.query_id)
        stored = [
            next(each.key for each in task.attempts if each.result_complete)
            for task in query.stages[0].tasks
        ]
        return tuple(stored) if answers_now else ()

    original = answers.resolve_result
    surgeon.replace(tasks, "_drop_stored", keep_results)
    surgeon.replace_everywhere(original, first_result)


@mutant("results-before-success", "R26", "a result is fetched before SUCCEEDED", "simulation")
def _(surgeon: Surgeon) -> None:
    original = answers.resolve_result

    def broken(core: Any, msg: Any, now_ms: int) -> tuple[Any, ...]:
        query = core.query(msg.query_id)
        uploaded = [each.attempts[-1] for each in query.stages[0].tasks if each.attempts]
        if uploaded and all(each.result_complete for each in uploaded):
            return tuple(each.key for each in uploaded)
        return original(core, msg, now_ms)

    surgeon.replace_everywhere(original, broken)


@mutant("nothing-is-forgotten", "R27", "ended queries are kept for ever", "simulation")
def _(surgeon: Surgeon) -> None:
    surgeon.replace_everywhere(evict, lambda _core, _now_ms: None)


@mutant("waiting-is-not-told", "R10", "the status does not say what a query waits for")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(waiting.Waiting, "message", lambda _self, _query: "")


@mutant("never-assigned-counts", "R13", "an attempt never assigned counts as the newest one")
def _(surgeon: Surgeon) -> None:
    original = state.SchedulingState.locate

    def broken(self: Any, key: Any) -> Any:
        query, stage = self.stage(key)
        if 0 <= key.task_id < len(stage.tasks) and stage.tasks[key.task_id].attempts:
            task = stage.tasks[key.task_id]
            if key.attempt > len(task.attempts):
                return state.Located(query, stage, task, task.attempts[-1])
        return original(self, key)

    surgeon.replace(state.SchedulingState, "locate", broken)


@mutant("failure-message-lost", "R14", "a FAILED query does not say why")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, query: Any, event: QueryEvent, message: str, now_ms: int) -> None:
        kept = "" if event is QueryEvent.FAIL else message
        end_query(core, query, event, kept, now_ms)

    surgeon.replace_everywhere(end_query, broken)
