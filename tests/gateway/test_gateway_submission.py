"""Submitting over gRPC: the same plan again, large plans, more plans than can be read at once."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import trio

from ffq import plan as p
from ffq.catalog import ScanSettings
from ffq.errors import QuotaExceeded
from ffq.gateway.planning import QueryPlanner
from ffq.ids import QueryId
from ffq.messages import ReadPlan
from ffq.plan.codec import parse_plan
from ffq.plan.limits import PlanLimits
from ffq.proto import ffq_distributed_pb2 as wire
from tests.gateway.harness import ONE_STAGE, open_gateway

FOUR_MIB = 4 * 1024 * 1024


def plan_of(size: int) -> p.Relation:
    return p.scan("t", ["k"]).filter(p.col("k") == "x" * size)


async def test_R1_the_same_bytes_again_are_not_planned_again(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"k": [1], "v": [1]}), file)
    catalog = tmp_path / "tables.json"
    catalog.write_text(json.dumps([{"name": "t", "uri": str(file)}]))
    async with open_gateway(catalog_path=catalog) as gateway:
        await gateway.submit("1", ONE_STAGE)
        file.unlink()
        assert (await gateway.submit("1", ONE_STAGE)).state == wire.QUERY_STATE_QUEUED
        # A client that sent something else is told so, even if that is no plan at all.
        request = wire.SubmitQueryRequest(query_id="1", physical_plan_json=b"no plan")
        got = await gateway.refused("SubmitQuery", request)
        assert (got.code, got.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PLAN_CONFLICT")


async def test_R7_answers_of_get_task_fit_a_peer_that_receives_4_mib() -> None:
    """The harness's channel has gRPC's default limit: 4 MiB a message."""
    async with open_gateway() as gateway:
        for number in range(8):
            await gateway.submit(str(number), plan_of(1_500_000))
        answers = [await gateway.pull(capacity=8) for _ in range(5)]
        assert [len(tasks) for tasks in answers] == [2, 2, 2, 2, 0]
        assert {task.query_id for tasks in answers for task in tasks} == set("01234567")


async def test_R30_the_largest_plan_that_is_taken_can_be_assigned_a_larger_one_is_refused() -> None:
    async with open_gateway() as gateway:
        overhead = len(plan_of(0).to_json())
        await gateway.submit("1", plan_of(3_500_000 - overhead))
        (task,) = await gateway.pull(capacity=8)
        assert len(task.plan_fragment_json) == 3_500_000
        for size in (3_500_001, FOUR_MIB + 1, 5_000_000):
            padded = plan_of(0).to_json() + b" " * (size - overhead)
            request = wire.SubmitQueryRequest(query_id="2", physical_plan_json=padded)
            got = await gateway.refused("SubmitQuery", request)
            assert (got.code, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PLAN")
            assert "the bound is 3500000 bytes" in got.text


async def test_R30_plans_that_wait_to_be_read_are_bounded() -> None:
    planner = QueryPlanner(None, ScanSettings(), PlanLimits(), threads=1, max_waiting=2)
    refused: list[QuotaExceeded] = []

    async def submit(number: int) -> None:
        try:
            await planner.ask(ReadPlan(QueryId(str(number)), ONE_STAGE.to_json()))
        except QuotaExceeded as error:
            refused.append(error)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(submit, number)
    assert len(refused) == 3
    assert "2 plans wait to be read" in refused[0].message


async def test_R31_a_scan_is_cut_for_the_slots_that_are_there_when_it_is_submitted(
    tmp_path: Path,
) -> None:
    """A peer on the fixed wire still gets one task, over the whole plan."""
    table = pa.table({"k": range(30), "v": range(30)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    catalog = tmp_path / "tables.json"
    catalog.write_text(json.dumps([{"name": "t", "uri": str(tmp_path)}]))
    request = wire.HeartbeatRequest(
        worker_id="w",
        custom_operator_capabilities=["ffq.splits"],
        incarnation=1,
        engine_family="test",
        shuffle_endpoint="127.0.0.1:1",
        slots=3,
    )
    pull = wire.GetTaskRequest(worker_id="w", capacity=1, incarnation=1)
    async with open_gateway(catalog_path=catalog) as gateway:
        await gateway.submit("before-any-worker", ONE_STAGE)
        await gateway.call("Heartbeat", request)
        await gateway.submit("for-three-slots", ONE_STAGE)
        tasks = [(await gateway.call("GetTask", pull)).tasks[0] for _ in range(2)]
        counts = {task.query_id: task.task_count for task in tasks}
        assert counts == {"before-any-worker": 8, "for-three-slots": 3}
        await gateway.submit("for-a-peer", ONE_STAGE)
        (task,) = await gateway.pull("peer", capacity=8)
        assert (task.query_id, list(task.scans)) == ("for-a-peer", [])


async def test_peers_get_the_casts_that_their_planner_left_out(tmp_path: Path) -> None:
    """An engine that computes on operands of one type only expects them in the plan.

    Only where every file of the table has that float: beside wider whole numbers a cast would
    lose digits.
    """
    pq.write_table(pa.table({"x": [1.5], "y": [1.5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [2.5], "y": [2]}), tmp_path / "b.parquet")
    catalog = tmp_path / "tables.json"
    catalog.write_text(json.dumps([{"name": "t", "uri": str(tmp_path)}]))
    rows = p.scan("t", ["x", "y"])
    plan = rows.filter((p.col("x") > 5) & (p.col("y") > 5)).project("x")
    cast = rows.filter((p.col("x") > p.lit(5).cast("Float64")) & (p.col("y") > 5)).project("x")
    async with open_gateway(catalog_path=catalog) as gateway:
        await gateway.submit("1", plan)
        await gateway.submit("1", plan)  # R1: the same bytes are the same plan
        (task,) = await gateway.pull()
        assert parse_plan(task.plan_fragment_json) == cast.node
        await gateway.submit("2", rows.filter(p.col("y") > 5))
        (task,) = await gateway.pull()
        assert task.plan_fragment_json == rows.filter(p.col("y") > 5).to_json()
