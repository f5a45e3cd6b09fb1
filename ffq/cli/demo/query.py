"""One query of the demo: run, shown, judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import attrs
import pyarrow as pa
import trio

from ffq.cli.demo.compare import difference, direct_answer
from ffq.cli.demo.queries import DemoQuery
from ffq.cli.demo.screen import Screen
from ffq.cli.output.attempts import attempts_grid
from ffq.cli.progress import shown
from ffq.client import Client, QueryHandle
from ffq.display.results import result_grid
from ffq.errors import ExecutionError
from ffq.messages import AttemptStatus
from ffq.threads import run_blocking

# What a scope with a timeout binds is bound once `cancelled_caught` is seen to be false.
# pyright: reportPossiblyUnboundVariable=false

QUERY_TIMEOUT_S = 600.0

During = Callable[[QueryHandle], Awaitable[None]]


@attrs.frozen
class Outcome:
    """`problem`: how the answer differs from DuckDB's; None when it does not."""

    attempts: tuple[AttemptStatus, ...]
    problem: str | None


@attrs.frozen
class QueryRunner:
    _client: Client
    _screen: Screen
    _dataset: Path

    async def run(self, query: DemoQuery, during: During | None = None) -> Outcome:
        """Run a query on the cluster and in DuckDB, and show both answers' verdict.

        Args:
            during: runs beside the query, as soon as it is submitted.

        Raises:
            FfqError: the query failed, or did not end within QUERY_TIMEOUT_S.
        """
        self._screen.heading(query.title)
        if query.remark:
            self._screen.say(query.remark)
        with trio.move_on_after(QUERY_TIMEOUT_S) as patience:
            handle = await self._client.submit(query.plan)
            async with trio.open_nursery() as nursery:
                if during is not None:
                    nursery.start_soon(during, handle)
                with shown(query.title, beside=self._screen.out) as progress:
                    await handle.wait(progress)
            answer = await handle.fetch()
            attempts = await handle.attempts()
        if patience.cancelled_caught:
            raise ExecutionError(f"{query.title} did not end within {QUERY_TIMEOUT_S:g} s")
        self._screen.grid(result_grid(answer))
        self._screen.grid(attempts_grid(attempts, "Attempts"))
        return Outcome(attempts, await self._judge(query, answer))

    async def _judge(self, query: DemoQuery, answer: pa.Table) -> str | None:
        expected = await run_blocking(
            partial(direct_answer, query.sql, self._dataset), abandon_on_cancel=True
        )
        problem = difference(answer, expected)
        if problem is None:
            self._screen.good(
                f"{query.title}: the answer matches DuckDB's ({answer.num_rows} rows)"
            )
        else:
            self._screen.bad(f"{query.title}: the answer DIFFERS from DuckDB's: {problem}")
        return problem
