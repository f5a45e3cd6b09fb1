"""PlanSql at a gateway, and plans that bring their tables."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ffq.client import Client, connect
from ffq.errors import (
    InvalidQuery,
    InvalidRequest,
    PlanningError,
    PlanningLimit,
    QuotaExceeded,
    StorageError,
    UnknownId,
)
from ffq.gateway.sql import SqlPlanner
from ffq.messages import PlanSql
from ffq.plan import dump_plan, parse_plan
from ffq.plan.inline import InlineTable
from ffq.plan.model import WithTables
from ffq.plan.stages import cut
from ffq.proto import ffq_ext_pb2 as ext
from ffq.sql.limits import PlanningLimits
from tests.gateway.harness import CALL_TIMEOUT_S, Wire, open_gateway

ENDLESS = "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tables")
    pq.write_table(pa.table({"k": [1, 2], "s": ["x", "y"]}), made / "t.parquet")
    pq.write_table(pa.table({"other": [1.5]}), made / "other.parquet")
    entries = [{"name": "t", "paths": ["t.parquet"]}]
    (made / "tables.json").write_text(json.dumps(entries))
    return made


@asynccontextmanager
async def opened(folder: Path, **settings: object) -> AsyncIterator[tuple[Wire, Client]]:
    async with (
        open_gateway(catalog_path=folder / "tables.json", **settings) as gateway,
        connect(gateway.endpoint) as client,
    ):
        yield gateway, client


async def test_a_client_gets_a_plan_of_its_text_and_the_result_s_columns(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    async with opened(folder) as (_, client):
        planned = await client.plan_sql("SELECT k + $1 AS x, s FROM t", [1])
        assert [(one.name, one.type) for one in planned.columns] == [
            ("x", "BIGINT"),
            ("s", "VARCHAR"),
        ]
        assert planned.tables == await client.tables() == ("t",)
        assert not isinstance(parse_plan(planned.plan_bytes), WithTables)

        brought = await client.plan_sql("FROM 'other.parquet'")
        plan = parse_plan(brought.plan_bytes)
        assert isinstance(plan, WithTables)
        (definition,) = map(json.loads, plan.tables)
        assert definition["paths"] == [str(folder / "other.parquet")]

        over = await client.plan_sql("FROM t", tables={"t": "other.parquet"})
        assert [one.name for one in over.columns] == ["other"]

        with pytest.raises(InvalidQuery) as caught:
            await client.plan_sql("SELECT k,\n  nope FROM t")
        assert (caught.value.line, caught.value.column) == (2, 3)
        assert caught.value.__notes__ == ["line 2:   nope FROM t\n          ^"]
        with pytest.raises(StorageError, match=r"no file matches .*/no\*\.parquet"):
            await client.plan_sql("FROM 'no*.parquet'")
        with pytest.raises(InvalidRequest, match="a object is no value"):
            await client.plan_sql("SELECT $1", [object()])
        with pytest.raises(InvalidRequest, match=r"inline: \[3\]; right would be InlineTables"):
            await client.plan_sql("SELECT 1", inline=[3])  # type: ignore[list-item]
        with pytest.raises(InvalidRequest, match=r"tables\['t'\] is 3"):
            await client.plan_sql("SELECT 1", tables={"t": 3})  # type: ignore[dict-item]

        # A plan's tables are found when it is submitted.
        for each in (brought, over):
            handle = await client.submit(each.plan_bytes)
            assert (await handle.status()).state.name == "QUEUED"
            elsewhere = each.plan_bytes.replace(b"other.parquet", b"nowhere.parquet")
            with pytest.raises(StorageError, match=r"no such file or folder: .*/nowhere\.parquet"):
                await client.submit(elsewhere)


async def test_a_gateway_plans_small_queries_as_one_task_up_to_its_bound(folder: Path) -> None:
    sql = "SELECT s, max(k) AS k FROM t GROUP BY s"

    async def planned(**settings: int) -> tuple[int, tuple[str, ...]]:
        async with opened(folder, **settings) as (_, client):
            found = await client.plan_sql(sql)
            return len(cut(parse_plan(found.plan_bytes)).stages), found.choices

    count, choices = await planned()
    assert count == 1
    assert choices[0].startswith("the query is one task: it reads about")
    assert await planned(one_task_bytes=0) == (2, ())


def rows_of(path: Path, name: str = "x") -> InlineTable:
    return InlineTable(name, path.read_bytes())


async def test_rows_that_come_with_a_query_are_in_its_plan_and_checked_with_it(
    folder: Path,
) -> None:
    own = rows_of(folder / "other.parquet")
    async with opened(folder) as (gateway, client):
        planned = await client.plan_sql("SELECT k, other FROM t, x", inline=[own])
        plan = parse_plan(planned.plan_bytes)
        assert isinstance(plan, WithTables)
        assert plan.inline == (own,)
        sizes = {one.name: (one.rows, one.bytes) for one in planned.sizes}
        assert sizes["x"] == (1, len(own.parquet))
        handle = await client.submit(planned.plan_bytes)
        assert (await handle.status()).state.name == "QUEUED"
        for data in (b"", b"PAR1", own.parquet[:-9]):
            unsound = InlineTable("x", data)
            with pytest.raises(PlanningError, match="rows of table 'x', .* no sound Parquet"):
                await client.submit(dump_plan(attrs.evolve(plan, inline=(unsound,))))
        brought = [ext.InlineTable(name="x", parquet=data) for data in (b"?", bytes(2**21))]
        for tables, code, reason in (
            (brought[:1], "FAILED_PRECONDITION", "PLANNING"),
            (brought, "INVALID_ARGUMENT", "INVALID_CONFIG"),
        ):
            request = ext.PlanSqlRequest(sql="FROM x", inline=tables)
            refused = await gateway.refused("PlanSql", request)
            assert (refused.code, refused.reason) == (grpc.StatusCode[code], reason)
        # The process that planned is as good as before.
        assert (await client.plan_sql("FROM x", inline=[own])).columns[0].name == "other"


async def test_a_gateway_may_take_no_tables_from_clients(folder: Path) -> None:
    rows = [rows_of(folder / "other.parquet")]
    async with opened(folder) as (_, client):
        own = await client.plan_sql("FROM x", tables={"x": folder / "other.parquet"})
        own_rows = await client.plan_sql("FROM x", inline=rows)
    async with opened(folder, client_tables=False) as (_, client):
        with pytest.raises(InvalidQuery, match="takes no tables from clients, and so not x"):
            await client.plan_sql("FROM x", inline=rows)
        with pytest.raises(PlanningError, match="takes no tables from clients, and so not x"):
            await client.submit(own_rows.plan_bytes)
        assert (await client.plan_sql("FROM t")).tables == ("t",)
        with pytest.raises(InvalidQuery, match="takes no tables from clients, and so not x"):
            await client.plan_sql("FROM x", tables={"x": folder / "other.parquet"})
        with pytest.raises(InvalidQuery, match="reads no files that a query names"):
            await client.plan_sql(f"FROM '{folder}/other.parquet'")
        with pytest.raises(PlanningError, match="takes no tables from clients, and so not x"):
            await client.submit(own.plan_bytes)


async def test_others_are_served_while_a_hostile_text_is_planned_and_ended(folder: Path) -> None:
    planning = PlanningLimits(time_ms=700)
    async with opened(folder, planning=planning) as (_, client):
        ended = trio.Event()

        async def plan_endless() -> None:
            with pytest.raises(PlanningLimit, match="took longer than 700 ms"):
                await client.plan_sql(ENDLESS)
            ended.set()

        with trio.fail_after(CALL_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(plan_endless)
                served = 0
                while not ended.is_set():
                    await client.workers()
                    served += 1
                assert served > 10
            assert (await client.plan_sql("FROM t")).tables == ("t",)


async def test_R30_queries_that_wait_to_be_planned_are_bounded_and_end_with_their_callers() -> None:
    refused: list[str] = []
    both = trio.Event()
    with SqlPlanner(None, processes=1, max_waiting=2) as planner:

        async def plan() -> None:
            try:
                await planner.plan(PlanSql(ENDLESS))
            except QuotaExceeded as error:
                refused.append(error.message)
                if len(refused) == 2:
                    both.set()

        with trio.fail_after(CALL_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(plan)
                await both.wait()
                nursery.cancel_scope.cancel()
            assert refused == ["2 queries wait to be planned: try again later"] * 2
            assert (await planner.plan(PlanSql("SELECT 1"))).columns


async def test_a_plan_that_is_known_waits_for_no_process(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"k": [1]}), file)
    asked = PlanSql(f"FROM '{file}'")
    with SqlPlanner(None, processes=1) as planner:
        plans = [await planner.plan_then(repr, asked) for _ in range(2)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(planner.plan, PlanSql(ENDLESS))
            await wait_all_tasks_blocked()
            with trio.fail_after(CALL_TIMEOUT_S):
                plans.append(await planner.plan_then(repr, asked))
                assert len(set(plans)) == 1
            pq.write_table(pa.table({"w": ["a"]}), file)
            nursery.cancel_scope.cancel()
        with trio.fail_after(CALL_TIMEOUT_S):
            changed = await planner.plan(asked)
            assert [column.name for column in changed.columns] == ["w"]


WRONG = [
    (ext.PlanSqlRequest(), "INVALID_ARGUMENT", "INVALID_QUERY"),
    (ext.PlanSqlRequest(sql="SELECT"), "INVALID_ARGUMENT", "INVALID_QUERY"),
    (ext.PlanSqlRequest(sql="COPY t TO 'x'"), "INVALID_ARGUMENT", "INVALID_QUERY"),
    (
        ext.PlanSqlRequest(sql="SELECT 1", parameters_json=b"\xff"),
        "INVALID_ARGUMENT",
        "INVALID_CONFIG",
    ),
    (
        ext.PlanSqlRequest(sql="SELECT $a", parameters_json=b'{"a": {"sql": "1"}}'),
        "INVALID_ARGUMENT",
        "INVALID_CONFIG",
    ),
    (
        ext.PlanSqlRequest(sql="SELECT 1", table_json=["{"]),
        "INVALID_ARGUMENT",
        "INVALID_CONFIG",
    ),
    (
        ext.PlanSqlRequest(sql="SELECT 1", table_json=['{"name": "t", "paths": ["a"]}'] * 2),
        "INVALID_ARGUMENT",
        "INVALID_CONFIG",
    ),
    (
        ext.PlanSqlRequest(sql="SELECT 1", partitions=2**32 - 1),
        "INVALID_ARGUMENT",
        "INVALID_CONFIG",
    ),
    (
        ext.PlanSqlRequest(sql="SELECT reservoir_quantile(k, 0.5) FROM t"),
        "UNIMPLEMENTED",
        "UNSUPPORTED",
    ),
    (ext.PlanSqlRequest(sql="FROM 'no.parquet'"), "INTERNAL", "IO"),
]


async def test_what_is_wrong_has_a_status_and_a_reason(folder: Path) -> None:
    async with opened(folder) as (gateway, _):
        for request, code, reason in WRONG:
            refused = await gateway.refused("PlanSql", request)
            assert (refused.code, refused.reason) == (grpc.StatusCode[code], reason), request


async def test_a_text_is_refused_by_its_size(folder: Path) -> None:
    async with opened(folder) as (gateway, client):
        with pytest.raises(InvalidRequest, match=r"16777217 bytes of text; the bound is"):
            await client.plan_sql("x" * (16 * 1024 * 1024 + 1))
        big = ext.PlanSqlRequest(sql="x" * (33 * 1024 * 1024))
        assert (await gateway.refused("PlanSql", big)).code in {
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }


async def test_a_text_is_planned_submitted_and_watched_in_one_call(folder: Path) -> None:
    async with opened(folder) as (gateway, client):
        text = ext.PlanSqlRequest(sql="SELECT k FROM t")
        async with gateway.reading("RunQuery", ext.RunQueryRequest(query_id="7", sql=text)):
            assert (await client.status("7")).state.name == "QUEUED"
        plan = (await client.plan_sql("SELECT k FROM t")).plan_bytes
        await client.submit(plan, "7")  # it is that one


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (ext.RunQueryRequest(query_id="7"), "INVALID_ARGUMENT", "a RunQuery of nothing"),
        (ext.RunQueryRequest(query_id="7", physical_plan_json=b"x"), "INVALID_ARGUMENT", "plan"),
        (
            ext.RunQueryRequest(query_id="7", sql=ext.PlanSqlRequest(sql="SELECT q FROM t")),
            "INVALID_ARGUMENT",
            "q",
        ),
    ],
)
async def test_what_is_refused_in_that_call_is_not_submitted(
    folder: Path, request_: ext.RunQueryRequest, code: str, said: str
) -> None:
    async with opened(folder) as (gateway, client):
        refused = await gateway.refused("RunQuery", request_)
        assert refused.code.name == code
        assert said in refused.text
        with pytest.raises(UnknownId):
            await client.status("7")
