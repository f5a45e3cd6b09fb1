"""The walks: how messages of the outer world that several parties must see go through them.

A walk holds nothing. It runs in its caller's task, may be cut after any hop, and others' hops come
between: so each prefix of it is harmless, and each hop checks again what it relies on. What changes
two machines that must agree is no walk: see `holds` and `tells` in `ffq.core.machine`.

A message without a walk goes straight to the party that has a row for it: `OWNERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from ffq.core.lifecycle import answer_for
from ffq.core.liveness import LIVENESS
from ffq.core.machine import Ask, Party, RegisterWalk, Table, Walk
from ffq.core.planning import PLANNER
from ffq.core.registry import REGISTRY
from ffq.core.results import RESULTS
from ffq.core.scheduling import SCHEDULING
from ffq.errors import InvariantViolated
from ffq.ids import WorkerId
from ffq.messages import (
    Assignment,
    ConfirmHeartbeat,
    DigestPlan,
    FetchQueryResults,
    FetchShufflePartition,
    FindQuery,
    FinishAttempts,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    OutputLocation,
    PlanSql,
    PlanText,
    ReadClusterSize,
    ReadMapOutput,
    ReadPlan,
    ReadResult,
    ReadText,
    RecordEvidence,
    RecordHeartbeat,
    RegisterMapOutput,
    RegisterReply,
    ReportAnswer,
    ReportReply,
    ReportTaskStatus,
    ResolveMapOutput,
    ResolveResult,
    ResultParts,
    RunQuery,
    SqlPlan,
    SubmitQuery,
    SubmitReply,
)
from ffq.runtime.message import Request, Sendable

M = TypeVar("M")
R = TypeVar("R")
Reported = TypeVar("Reported", ReportReply, RegisterReply)

TABLES: Final[tuple[Table[Any], ...]] = (SCHEDULING, LIVENESS, REGISTRY, RESULTS)

OWNERS: Final[Mapping[type, Party]] = {
    **{message: table.party for table in TABLES for message in table.rows},
    **dict.fromkeys(PLANNER, Party.PLANNER),
}
"""Which party answers a message."""

WALKS: Final[dict[type, Walk[Any, Any]]] = {}
"""The messages that are not simply asked of their owner."""


PLANS: Final[frozenset[type]] = frozenset({SubmitQuery, PlanSql, RunQuery})
"""The messages whose walks ask the planner, who is no machine and takes a thread."""


def walks(message: type[Sendable[M, R]]) -> RegisterWalk[M, R]:
    """Raises InvariantViolated: the message has a walk already."""

    def add(walk: Walk[Any, Any]) -> None:
        if message in WALKS:
            raise InvariantViolated(f"{message.__name__} has two walks")
        WALKS[message] = walk

    return RegisterWalk(add)


async def submit_query(ask: Ask, msg: SubmitQuery) -> SubmitReply:
    """A plan that is known is not read again: its digest alone says whether it is this one (R1)."""
    known = await ask(FindQuery(msg.query_id, len(msg.plan_bytes)))
    if known is not None:
        return answer_for(msg.query_id, known, await ask(DigestPlan(msg.query_id, msg.plan_bytes)))
    cluster = await ask(ReadClusterSize())
    return await ask(await ask(ReadPlan(msg.query_id, msg.plan_bytes, msg.timeouts, cluster)))


async def plan_sql(ask: Ask, msg: PlanSql) -> SqlPlan:
    """Planned for the cluster as it is. The plan is right in any other one too."""
    return await ask(PlanText(msg, await ask(ReadClusterSize())))


async def run_query(ask: Ask, msg: RunQuery) -> SubmitReply:
    """A text is planned and its plan read in one pass. Where there is no room it is not planned."""
    work = msg.work
    if isinstance(work, PlanSql):
        if await ask(FindQuery(msg.query_id, 0)) is None:
            cluster = await ask(ReadClusterSize())
            return await ask(await ask(ReadText(msg.query_id, work, msg.timeouts, cluster)))
        work = (await plan_sql(ask, work)).plan_bytes
    return await submit_query(ask, SubmitQuery(msg.query_id, work, msg.timeouts))


async def fetch_query_results(ask: Ask, msg: FetchQueryResults) -> ResultParts:
    return await ask(ReadResult(await ask(ResolveResult(msg.query_id))))


async def heartbeat(ask: Ask, msg: Heartbeat) -> HeartbeatReply:
    """Scheduling has heard from liveness what changed before it is asked (R18, R21).

    An incarnation that has been replaced must end, and nothing else is looked at for it.
    """
    beat = await ask(RecordHeartbeat(msg))
    if not beat.current:
        return HeartbeatReply(accepted=False, superseded=True)
    return await ask(ConfirmHeartbeat(msg.worker_id, msg.running_attempts, msg.held_queries))


async def get_task(ask: Ask, msg: GetTask) -> tuple[Assignment, ...]:
    """An incarnation that has been replaced gets nothing."""
    seen = await ask(RecordEvidence(msg.worker_id, msg.incarnation))
    return await ask(msg) if seen.current else ()


async def report_task_status(ask: Ask, msg: ReportTaskStatus) -> ReportReply:
    return await _with_evidence(ask, msg, msg.worker_id, msg.incarnation)


async def register_map_output(ask: Ask, msg: RegisterMapOutput) -> RegisterReply:
    return await _with_evidence(ask, msg, msg.worker_id, msg.incarnation)


async def finish_attempts(ask: Ask, msg: FinishAttempts) -> tuple[ReportAnswer, ...]:
    """What a worker's stream brings up is no message of the outer world: so it is none of `WALKS`.

    All that came at one moment proves the worker alive once.
    """
    await _evidence(ask, msg.worker_id, msg.incarnation)
    return await ask(msg)


async def fetch_shuffle_partition(ask: Ask, msg: FetchShufflePartition) -> OutputLocation:
    """Where the bytes are: which exact attempt, and who serves it (R23)."""
    resolved = await ask(ResolveMapOutput(msg.key, msg.reduce_partition))
    if not resolved.registered:
        return OutputLocation(resolved.key, endpoint="", size=None)
    return await ask(ReadMapOutput(resolved.key, msg.reduce_partition))


async def _with_evidence(
    ask: Ask, msg: Request[Reported], worker_id: WorkerId | None, incarnation: int
) -> Reported:
    """A report proves its worker alive: the one it names, else the one that held the attempt."""
    await _evidence(ask, worker_id, incarnation)
    reply = await ask(msg)
    if worker_id is None:
        await _evidence(ask, reply.worker_id)
    return reply


async def _evidence(ask: Ask, worker_id: WorkerId | None, incarnation: int = 0) -> None:
    """R18: a call proves its worker alive, but brings no dead one back."""
    if worker_id is not None:
        await ask(RecordEvidence(worker_id, incarnation, register=False))


walks(SubmitQuery)(submit_query)
walks(PlanSql)(plan_sql)
walks(RunQuery)(run_query)
walks(FetchQueryResults)(fetch_query_results)
walks(Heartbeat)(heartbeat)
walks(GetTask)(get_task)
walks(ReportTaskStatus)(report_task_status)
walks(RegisterMapOutput)(register_map_output)
walks(FetchShufflePartition)(fetch_shuffle_partition)
