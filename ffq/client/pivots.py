"""PIVOT without IN: a query of its own asks for the values, and then the whole is planned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import attrs
import pyarrow as pa

from ffq.errors import InvalidQuery, UnsupportedPlan
from ffq.messages import PlanSql, SqlPlan
from ffq.sql.parameters import dump_parameters, load_parameters
from ffq.sql.pivots import UnlistedPivots, unlisted_pivots
from ffq.sql.text import Edited, before_edits, without_place


@attrs.frozen
class PivotPlanner:
    """Has queries planned, whose columns the data may decide.

    Attributes:
        plan: has a query planned that says its columns.
        run: runs a plan.
    """

    plan: Callable[[PlanSql], Awaitable[SqlPlan]]
    run: Callable[[bytes], Awaitable[pa.Table]]

    async def planned(self, message: PlanSql) -> SqlPlan:
        """
        Raises:
            InvalidQuery: what is wrong with the query, and where in its text; also values of which
                no columns can be made.
            QueryFailed, QueryCanceled: asking for values did not succeed.

        And as `plan`.
        """
        edits: list[Edited] = []
        try:
            while (asked := unlisted_pivots(message.sql)) is not None:
                edits.append(asked.listed(await self._values(message, asked)))
                message = attrs.evolve(message, sql=edits[-1].text.decode())
            return await self.plan(message)
        except InvalidQuery as error:
            if not edits:
                raise
            raise _placed(error.message, edits) from error
        except UnsupportedPlan as error:
            if not edits:
                raise
            raise UnsupportedPlan(_placed(error.message, edits).message) from error

    async def _values(self, message: PlanSql, asked: UnlistedPivots) -> Iterable[tuple[int, str]]:
        given = load_parameters(message.parameters_json)
        needed = {name: value for name, value in given.items() if name.lower() in asked.parameters}
        query = attrs.evolve(message, sql=asked.query, parameters_json=dump_parameters(needed))
        try:
            planned = await self.plan(query)
        except (InvalidQuery, UnsupportedPlan) as error:  # its place is one in a text of ours
            said = asked.fail(f"its values cannot be asked for: {without_place(error.message)}")
            if isinstance(error, InvalidQuery):
                raise said from error
            raise UnsupportedPlan(said.message) from error
        rows = await self.run(planned.plan_bytes)
        return zip(*(column.to_pylist() for column in rows.columns), strict=True)


def _placed(message: str, edits: list[Edited]) -> InvalidQuery:
    """What is said of the last text, of the first one."""
    error = InvalidQuery(message)
    for edited in reversed(edits):
        error = before_edits(error.message, edited)
    return error
