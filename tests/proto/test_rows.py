"""The wire rows are complete: one for each RPC, and for each message of the outer world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from google.protobuf.descriptor import ServiceDescriptor

from ffq import messages
from ffq.gateway.app import stream_chunks
from ffq.ids import QueryId, WorkerId
from ffq.messages import GetTask, Rpc, StreamRpc
from ffq.proto.rows import (
    CONTROL_PLANE,
    HEARTBEAT_SERVICE,
    INSPECTION,
    ROWS,
    SHUFFLE_SERVICE,
    SQL,
    Role,
    Wire,
    row_of,
)
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import coordinator_routes
from ffq.settings import GatewaySettings

SERVICES: tuple[ServiceDescriptor, ...] = (
    CONTROL_PLANE,
    SHUFFLE_SERVICE,
    HEARTBEAT_SERVICE,
    INSPECTION,
    SQL,
)


def outer() -> set[type]:
    return {
        each
        for each in vars(messages).values()
        if isinstance(each, type)
        and issubclass(each, Rpc | StreamRpc)
        and each not in {Rpc, StreamRpc}
    }


def test_every_message_of_the_outer_world_has_a_row_and_no_other_has() -> None:
    missing = sorted(each.__name__ for each in outer() - ROWS.keys())
    assert missing == [], "add a row in ffq/proto/rows.py"
    inner = sorted(each.__name__ for each in ROWS.keys() - outer())
    assert inner == [], "no remote door takes these: they are what parties tell each other"


def test_every_method_of_the_services_has_a_row_of_its_kind() -> None:
    wanted = {
        (service.full_name, method.name): method.server_streaming
        for service in SERVICES
        for method in service.methods
    }
    have = {(row.service, row.method): row.streams for row in ROWS.values()}
    assert have == wanted


def test_every_stream_has_a_source_of_chunks() -> None:
    async def main() -> None:
        settings = GatewaySettings(bind="127.0.0.1:0")
        with ChannelPool() as peers:
            served = stream_chunks(settings, peers)
        streams = {each for each in outer() if issubclass(each, StreamRpc)}
        assert served.keys() == streams

    trio.run(main)


def test_a_gateway_serves_every_row() -> None:
    class Nobody:
        ask = stream = None

    routes = coordinator_routes(Nobody())  # type: ignore[arg-type]
    assert {(route.service, route.method) for route in routes} == {
        (row.service, row.method) for row in ROWS.values()
    }


def test_only_a_pull_may_not_be_repeated() -> None:
    """Each answer to GetTask assigns anew; whatever else is sent twice counts once (R1, R13)."""
    assert [row.method for row in ROWS.values() if not row.repeatable] == ["GetTask"]
    assert row_of(GetTask(WorkerId("w"), 1)).role is Role.WORKER


def test_what_carries_only_ids_is_bounded_to_a_mebibyte() -> None:
    unbounded = {row.method for row in ROWS.values() if row.max_request_bytes is None}
    assert unbounded == {
        "SubmitQuery",
        "RunQuery",
        "RegisterQueryResults",
        "RegisterMapOutput",
        "ReportTaskStatus",
        "Heartbeat",
    }


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.method)
def test_the_docs_say_who_calls_it(row: Wire[Any, Any, Any, Any]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    (line,) = (line for line in text.splitlines() if f"| {row.method} |" in line)
    assert row.role.value in line.split("|")[3]


def test_a_query_id_stays_what_it_is_on_its_way() -> None:
    row = row_of(messages.CancelQuery(QueryId("q"), "why"))
    assert row.decode(row.encode(messages.CancelQuery(QueryId("q"), "why"))).reason == "why"
