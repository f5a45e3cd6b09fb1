"""Data of a program at a coordinator somewhere else: its rows are with whoever runs the query."""

from __future__ import annotations

import signal
from pathlib import Path

import pyarrow as pa
import pytest
import trio

import ffq
from ffq.client.session.inline import inline_table
from tests.integration.cluster import LIVENESS_MS, ROWS, cluster
from tests.processes import END_TIMEOUT_S
from tests.profiles import IS_QUICK

pytestmark = pytest.mark.skipif(IS_QUICK, reason="several processes: the profile ci runs it")

NAMES = {"k": [0, 1, 2, None], "name": ["none", None, "two", "nobody"]}
EXPECTED = {
    name: (ROWS // 10, sum(range(k, ROWS, 10))) for k, name in enumerate(["none", None, "two"])
}
QUERY = (
    "SELECT name, count(*) AS n, sum(v) AS total FROM "
    "op('test.gate', (SELECT t.k, v, name FROM t JOIN names USING (k)), file => $1, "
    "returns => {'k': 'BIGINT', 'v': 'BIGINT', 'name': 'VARCHAR'}) GROUP BY name"
)


def totals(table: pa.Table) -> dict[str | None, tuple[int, int]]:
    return {row["name"]: (row["n"], int(row["total"])) for row in table.to_pylist()}


async def test_each_row_counts_once_whoever_joins_it_and_whoever_dies(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path, liveness_ms=LIVENESS_MS) as there,
        ffq.connect(there.endpoint) as session,
    ):
        with there.workers("w1", "w2", slots=1) as (first, _):
            await session.register("names", NAMES)
            joined = session.table("t").join(session.table("names"), "k")
            found = joined.group_by("name").agg(n=ffq.count(), total=ffq.col("v").sum())
            assert totals(await found.collect()) == EXPECTED

            inline = [inline_table("names", NAMES)]
            planned = await session.plan_sql(QUERY, [str(there.dataset.gate)], inline=inline)
            query = await session.submit(planned.plan_bytes)
            for worker in ("w1", "w2"):
                await there.running_on(query, worker)
            first.signal(signal.SIGKILL)
            first.wait()
            there.dataset.gate.touch()
            with trio.fail_after(END_TIMEOUT_S):
                assert totals(await query.result()) == EXPECTED
            ended = {each.worker_id for each in await query.attempts() if each.committed}
            assert ended == {"w2"}
