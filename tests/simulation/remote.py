"""The coordinator as workers and clients reach it: over the simulated network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import attrs

from ffq.actors import CoordinatorActors
from ffq.errors import NotReady, UnknownId
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    DrainWorker,
    FetchQueryResults,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    ListAttempts,
    ListQueries,
    ListWorkers,
    QueryState,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ResultParts,
    SubmitReply,
    TaskState,
    WorkerStatus,
)
from tests.simulation.faults import FaultKind
from tests.simulation.invariants import violation
from tests.simulation.network import Network
from tests.simulation.server import SimServer
from tests.simulation.transport import Peer
from tests.simulation.watch import Inputs

T = TypeVar("T")


class Crashing(Peer, Protocol):
    """A worker that may crash where the weather says so."""

    async def crash_at(self, point: FaultKind) -> None: ...


@attrs.define
class RemoteCoordinator:
    """`ffq.service.Coordinator` for one node; `node` is None for clients."""

    name: str
    node: Crashing | None
    network: Network
    server: SimServer

    async def _call(self, method: str, ask: Callable[[CoordinatorActors], Awaitable[T]]) -> T:
        async def handle() -> T:
            return await ask(self.server.up())

        return await self.network.call(self.name, self.node, method, handle)

    async def _crash_at(self, point: FaultKind) -> None:
        if self.node is not None:
            await self.node.crash_at(point)

    # --- clients -----------------------------------------------------------------------------

    async def submit_plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitReply:
        return await self._call("SubmitQuery", lambda up: up.submit_plan(query_id, plan_bytes))

    async def get_query_status(self, msg: GetQueryStatus) -> QueryStatus:
        return await self._call("GetQueryStatus", lambda up: up.get_query_status(msg))

    async def cancel_query(self, msg: CancelQuery) -> CancelReply:
        return await self._call("CancelQuery", lambda up: up.cancel_query(msg))

    async def fetch_query_results(self, msg: FetchQueryResults) -> ResultParts:
        return await self._call("FetchQueryResults", lambda up: up.fetch_query_results(msg))

    async def list_queries(self, msg: ListQueries) -> tuple[QueryStatus, ...]:
        return await self._call("ListQueries", lambda up: up.list_queries(msg))

    async def list_attempts(self, msg: ListAttempts) -> tuple[AttemptStatus, ...]:
        return await self._call("ListAttempts", lambda up: up.list_attempts(msg))

    async def list_workers(self, msg: ListWorkers) -> tuple[WorkerStatus, ...]:
        return await self._call("ListWorkers", lambda up: up.list_workers(msg))

    async def drain_worker(self, msg: DrainWorker) -> None:
        await self._call("DrainWorker", lambda up: up.drain_worker(msg))

    # --- workers -----------------------------------------------------------------------------

    async def get_task(self, msg: GetTask) -> tuple[Assignment, ...]:
        async def ask(up: CoordinatorActors) -> tuple[Assignment, ...]:
            watch = self.server.watch
            assignments = await up.get_task(msg)
            if len(assignments) > msg.capacity:
                found = f"{len(assignments)} assignments for a capacity of {msg.capacity}"
                self.network.trace.fail(violation("capacity", found))
            for each in assignments:
                self._check_inputs(each, {} if watch is None else watch.committed.get(each.key))
            return assignments

        return await self._call("GetTask", ask)

    def _check_inputs(self, given: Assignment, committed: Inputs | None) -> None:
        named = {(each.stage_id, each.map_task): each.attempt for each in given.inputs}
        if committed is not None and (named != committed or len(named) != len(given.inputs)):
            found = f"{given.key} is told to read {given.inputs}, committed are {committed}"
            self.network.trace.fail(violation("inputs-are-committed", found))

    async def heartbeat(self, msg: Heartbeat) -> HeartbeatReply:
        reply = await self._call("Heartbeat", lambda up: up.heartbeat(msg))
        if reply.stop_attempts or not reply.accepted:
            stopped = ", ".join(map(str, reply.stop_attempts))
            self.network.trace.note(f"{self.name} is told: accepted={reply.accepted} [{stopped}]")
        return reply

    async def report_task_status(self, msg: ReportTaskStatus) -> ReportReply:
        self._note(msg.key, f"reports {msg.state.name} {msg.message}".rstrip())
        reply = await self._call("ReportTaskStatus", lambda up: up.report_task_status(msg))
        if not reply.counted:
            self._note(msg.key, "its report does not count")
        if msg.state is TaskState.SUCCEEDED:
            await self._crash_at(FaultKind.CRASH_AFTER_COMMIT)
        return reply

    async def register_map_output(self, msg: RegisterMapOutput) -> RegisterReply:
        reply = await self._call("RegisterMapOutput", lambda up: up.register_map_output(msg))
        self._note(msg.key, f"registered its output, counted={reply.counted}")
        await self._crash_at(FaultKind.CRASH_BEFORE_REPORT)
        return reply

    async def register_query_results(self, msg: RegisterQueryResults) -> RegisterReply:
        async def ask(up: CoordinatorActors) -> RegisterReply:
            reply = await up.register_query_results(msg)
            if msg.last:
                await self._check_not_served(up, msg.query_id)
            return reply

        reply = await self._call("RegisterQueryResults", ask)
        if msg.last and msg.key is not None:
            self._note(msg.key, f"uploaded its result, counted={reply.counted}")
            await self._crash_at(FaultKind.CRASH_BEFORE_REPORT)
        return reply

    async def _check_not_served(self, up: CoordinatorActors, query_id: QueryId) -> None:
        """An uploaded result is no result before its query has SUCCEEDED (R26)."""
        try:
            await up.fetch_query_results(FetchQueryResults(query_id))
        except (NotReady, UnknownId):
            return
        status = await up.get_query_status(GetQueryStatus(query_id))
        if status.state is not QueryState.SUCCEEDED:
            found = f"{query_id} is {status.state.name} and its result was given out"
            self.network.trace.fail(violation("results-after-success-only", found))

    def _note(self, key: AttemptKey, line: str) -> None:
        self.network.trace.note(f"{self.name}: {key} {line}")
