"""The scheduling machine: authority on queries, attempts, placement, exclusion and map outputs.

A step validates first and changes afterwards: one that raises has changed nothing. The steps are in
the modules beside this one, by concern:

    lifecycle    queries are submitted, ended, evicted
    chores       what is too much for one step is done in slices
    speculation  tasks that take too long get a second attempt
    assignment   a worker is given attempts
    ahead        some of them wait there for a slot
    reporting    what workers report and register
    tasks        the one place where tasks, counts, slots and the ready index change together
    stages       which stages can run, how they are laid out, joins that sizes decide
    recovery     what is run again when a worker or an output is lost
    membership   workers appear, change, are drained, renew their leases
    answers      statuses, lists, where to read
    consistency  whether all of it agrees
"""

from __future__ import annotations

from ffq.core import (
    ahead,
    answers,
    assignment,
    chores,
    consistency,
    lifecycle,
    membership,
    recovery,
    reporting,
)
from ffq.core.machine import Machine, Party, Table
from ffq.core.settings import CoordinatorSettings
from ffq.core.speculation import find_stragglers
from ffq.core.state import SchedulingState
from ffq.core.tasks import promote_ready
from ffq.core.timeouts import end_overdue
from ffq.core.transitions import QueryEvent
from ffq.core.waiting import Waiting
from ffq.messages import (
    AcceptQuery,
    AdmitResult,
    CancelQuery,
    ConfirmHeartbeat,
    DrainWorker,
    FindQuery,
    FinishAttempts,
    FreeQueryId,
    GetQueryStatus,
    GetTask,
    GoOn,
    ListAttempts,
    ListQueries,
    ListWorkers,
    ReadClusterSize,
    ReadRecalls,
    RegisterMapOutput,
    ReportTaskStatus,
    ResolveMapOutput,
    ResolveResult,
    Tick,
    WatchQuery,
    WorkerChanged,
    WorkerLost,
)

SCHEDULING = Table[SchedulingState](Party.SCHEDULING, consistency.validate)
reads, changes, tells = SCHEDULING.reads, SCHEDULING.changes, SCHEDULING.tells


def tick(state: SchedulingState, _msg: Tick, now_ms: int) -> None:
    """Time has passed: backoffs end, stragglers are found, queries that nobody can run or that take
    too long fail, old ones are evicted.
    """
    end_overdue(state, now_ms)
    promote_ready(state, now_ms)
    find_stragglers(state, now_ms)
    timeout_ms = state.settings.unrunnable_timeout_ms
    if timeout_ms:
        for query_id in state.ready.unmatched_queries():
            query = state.queries[query_id]
            since_ms = min(since for _, since in state.ready.unmatched_of(query_id))
            if now_ms - since_ms > timeout_ms:
                why = f"{Waiting(state, now_ms).message(query)} for longer than {timeout_ms} ms"
                lifecycle.end_query(state, query, QueryEvent.FAIL, why, now_ms)
    lifecycle.evict(state, now_ms)


# Clients
reads(FindQuery)(lifecycle.find_query)
reads(ReadClusterSize)(answers.cluster_size)
changes(AcceptQuery)(lifecycle.accept_query)
changes(CancelQuery)(lifecycle.cancel_query)
changes(FreeQueryId)(lifecycle.free_query_id)
reads(GetQueryStatus)(answers.query_status)
reads(WatchQuery)(answers.watched_status)
reads(ResolveResult)(answers.resolve_result)
reads(ListQueries)(answers.list_queries)
reads(ListAttempts)(answers.list_attempts)
reads(ListWorkers)(answers.list_workers)
changes(DrainWorker)(membership.drain_worker)

# Workers
changes(GetTask)(assignment.get_task)
changes(ReadRecalls)(ahead.read_recalls)
changes(ReportTaskStatus)(reporting.report_task_status)
tells(RegisterMapOutput)(reporting.register_map_output)
tells(FinishAttempts)(reporting.finish_attempts)
changes(AdmitResult)(reporting.admit_result)
reads(ResolveMapOutput)(answers.resolve_map_output)
changes(ConfirmHeartbeat)(membership.confirm_heartbeat)
changes(WorkerChanged)(membership.worker_changed)
changes(WorkerLost)(recovery.worker_lost)

# Time
changes(Tick)(tick)
changes(GoOn)(chores.go_on)


def scheduling_machine(settings: CoordinatorSettings) -> Machine[SchedulingState]:
    return Machine(SCHEDULING, SchedulingState(settings))
