"""A client: submits a query, watches it, perhaps cancels it, and compares the result."""

from __future__ import annotations

from collections import Counter

import attrs
import trio

from ffq.errors import ExecutionError, FfqError, NotReady, QuotaExceeded, Unavailable, UnknownId
from ffq.ids import QueryId
from ffq.messages import (
    CancelQuery,
    FetchQueryResults,
    GetQueryStatus,
    QueryState,
    QueryStatus,
    SubmitQuery,
    loaded,
)
from ffq.retry import until_answered
from tests.simulation.channel import SimChannel
from tests.simulation.data import decode, oracle
from tests.simulation.faults import FaultKind
from tests.simulation.invariants import violation
from tests.simulation.queries import Plan
from tests.simulation.settings import RETRY
from tests.simulation.trace import Trace

_POLL_S = 0.25
ONE_REFUSAL = attrs.evolve(RETRY, quota_tries=1)


@attrs.define(eq=False)
class SimClient:
    """One query's client. `state`: how it ended; None while it goes on."""

    query_id: QueryId
    plan: Plan
    shares: int
    at_ms: int
    cancel_after_ms: int | None
    coordinator: SimChannel
    trace: Trace
    state: QueryState | None = None
    status: QueryStatus | None = None
    canceled: bool = False
    crowded: bool = False
    forgotten: int = 0

    @property
    def operators(self) -> frozenset[str]:
        return frozenset().union(*(stage.operators for stage in self.plan.graph.stages))

    async def run(self) -> None:
        """From the submission to the end."""
        await trio.sleep_until(self.at_ms / 1000)
        async with trio.open_nursery() as nursery:
            if self.cancel_after_ms is not None:
                nursery.start_soon(self._cancel_later, self.cancel_after_ms)
            self.state = await self._carry_through()
            nursery.cancel_scope.cancel()
        self.trace.note(f"client of {self.query_id}: {self.state.name}")
        if self.cancel_after_ms is not None and not self.canceled:
            await self.cancel()

    async def _carry_through(self) -> QueryState:
        while True:
            await self._submit()
            status = await self._wait()
            if status is None:
                continue  # a coordinator that lost everything: submit again
            if status.state is not QueryState.SUCCEEDED:
                return status.state
            rows = await self._fetch()
            if rows is not None:
                self._compare(rows)
                return QueryState.SUCCEEDED

    async def _submit(self) -> None:
        while True:
            try:
                await until_answered(
                    lambda: self.coordinator.ask(SubmitQuery(self.query_id, self.plan.data)),
                    ONE_REFUSAL,
                    "SubmitQuery",
                )
            except QuotaExceeded as error:
                if not self.crowded:
                    self.crowded = True
                    self.trace.strike(FaultKind.OVERLOAD, f"{self.query_id} is refused for now")
                await trio.sleep(error.retry_after_ms / 1000)
            except ExecutionError:
                await trio.sleep(_POLL_S)
            else:
                self.trace.note(f"client: {self.query_id} <{self.plan.name}> is submitted")
                return

    async def _wait(self) -> QueryStatus | None:
        """Its status when it has ended; None when nobody knows it any more."""
        while True:
            try:
                with trio.fail_after(RETRY.timeout_ms / 1000):
                    self.status = await self.coordinator.ask(GetQueryStatus(self.query_id))
            except UnknownId:
                self._is_no_longer_kept()
                return None
            except (trio.TooSlowError, Unavailable, ExecutionError):
                pass
            else:
                if self.status.state.terminal:
                    return self.status
            await trio.sleep(_POLL_S)

    def _is_no_longer_kept(self) -> None:
        """What is submitted under its id from here on is another query, whose end is to come."""
        self.status = None
        self.forgotten += 1

    async def _fetch(self) -> list[int] | None:
        """The result's rows; None when it is not there any more."""
        try:
            result = await until_answered(
                lambda: self.coordinator.ask(FetchQueryResults(self.query_id)),
                RETRY,
                "FetchQueryResults",
            )
        except (UnknownId, NotReady, ExecutionError) as error:
            self.trace.note(f"client: no result of {self.query_id}: {error.message}")
            if isinstance(error, UnknownId):
                self._is_no_longer_kept()
            await trio.sleep(_POLL_S)
            return None
        try:
            return [row for part in result.parts for row in decode(b"".join(map(loaded, part)))]
        except ValueError as error:
            detail = f"{self.query_id} <{self.plan.name}>: its result is damaged: {error}"
            self.trace.fail(violation("result-equals-oracle", detail))
            return []

    def _compare(self, rows: list[int]) -> None:
        right = oracle(self.plan.graph, self.plan.scans(self.shares))
        if sorted(rows) != right:
            missing, extra = Counter(right) - Counter(rows), Counter(rows) - Counter(right)
            self.trace.fail(
                violation(
                    "result-equals-oracle",
                    f"{self.query_id} <{self.plan.name}> has {len(rows)} rows of {len(right)}; "
                    f"missing are {sorted(missing.elements())}, extra {sorted(extra.elements())}",
                )
            )

    async def _cancel_later(self, after_ms: int) -> None:
        await trio.sleep(after_ms / 1000)
        await self.cancel()
        await trio.sleep_forever()

    async def cancel(self) -> None:
        """Cancel it; an ended query answers its state (R4)."""
        self.canceled = True
        before, life, forgotten = self.status, self.coordinator.server.lives, self.forgotten
        try:
            reply = await until_answered(
                lambda: self.coordinator.ask(CancelQuery(self.query_id, "no more wanted")),
                RETRY,
                "CancelQuery",
            )
        except FfqError as error:
            self.trace.note(f"client: cancel of {self.query_id} is refused: {error.message}")
            return
        self.trace.note(f"client: cancel of {self.query_id} answers {reply.state.name}")
        if not reply.state.terminal:
            detail = f"{self.query_id} is {reply.state.name} after its cancel"
            self.trace.fail(violation("cancel-takes-effect", detail))
        if (life, forgotten) != (self.coordinator.server.lives, self.forgotten):
            return  # another coordinator, or another query: it never knew the state that stood
        if before is not None and before.state.terminal and before.state is not reply.state:
            detail = f"{self.query_id} was {before.state.name}, a cancel answers {reply.state.name}"
            self.trace.fail(violation("cancel-answers-standing-state", detail))
