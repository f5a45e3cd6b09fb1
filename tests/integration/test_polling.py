"""A worker process whose coordinator answers calls, and whose streams are swallowed on the way."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Never

import attrs
import trio

from ffq.client import connect
from ffq.gateway.app import open_gateway
from ffq.proto import ffq_ext_pb2 as ext
from ffq.rpc.exchange import exchange_route
from ffq.rpc.polling import open_polls
from ffq.rpc.routes import Duplex, Unary, coordinator_routes
from ffq.rpc.server import serve
from ffq.settings import GatewaySettings
from tests.integration.cluster import ROWS_OF_T, same_rows, totals, write_dataset
from tests.processes import END_TIMEOUT_S, running
from tests.profiles import heavy


@attrs.define
class OnTheWay:
    """What carries calls and no streams. `polls`: calls that carried one's messages."""

    streams: int = 0
    polls: list[ext.PollRequest] = attrs.field(factory=list)
    granted: int = 0
    """Assignments that came by them."""

    def swallow(self, route: Duplex[Any, Any]) -> Duplex[Any, Any]:
        async def handle(requests: AsyncIterator[Any], send: object) -> Never:
            self.streams += 1
            async for _ in requests:
                pass
            await trio.sleep_forever()
            raise AssertionError(send)

        return attrs.evolve(route, handle=handle)

    def watch(self, route: Unary[Any, Any]) -> Unary[Any, Any]:
        async def handle(request: ext.PollRequest) -> ext.PollResponse:
            self.polls.append(request)
            answer: ext.PollResponse = await route.handle(request)
            for message in answer.says:
                self.granted += sum(len(stage.tasks) for stage in message.stages)
            return answer

        return attrs.evolve(route, handle=handle)


@heavy
async def test_a_worker_works_by_polls_where_nothing_carries_streams(tmp_path: Path) -> None:
    """Its tasks and their ends go by them, and at its orderly end it says that it goes."""
    dataset = write_dataset(tmp_path)
    settings = GatewaySettings(bind="127.0.0.1:0", catalog_path=dataset.catalog)
    way = OnTheWay()
    async with (
        open_gateway(settings) as coordinator,
        open_polls(coordinator, settings.rpc) as polls,
        trio.open_nursery() as nursery,
    ):
        routes = (
            *coordinator_routes(coordinator, coordinator),
            way.swallow(exchange_route(coordinator)),
            way.watch(polls.route),
        )
        address = await nursery.start(serve, routes, settings.bind)
        command = ("worker", f"--coordinator={address.endpoint}", "--shuffle-bind=127.0.0.1:0")
        with running(*command, "--heartbeat-ms=100") as process:
            await happened(lambda: any(each.wait_ms for each in way.polls))
            assert way.streams == 2
            async with connect(address.endpoint) as client:
                assert same_rows(await client.run(totals(ROWS_OF_T)), dataset.expected())
            said = [message for each in way.polls for message in each.says]
            assert way.granted == sum(len(message.ends) for message in said) > 1
            process.signal(signal.SIGTERM)
            await happened(lambda: process.process.poll() is not None)
            assert process.wait() == 0
            assert [each for each in way.polls if each.finished]
        nursery.cancel_scope.cancel()


async def happened(what: Callable[[], bool]) -> None:
    """Wait until something holds of another process; fails after END_TIMEOUT_S."""
    with trio.fail_after(END_TIMEOUT_S):
        while not what():  # noqa: ASYNC110 - it happens in another process
            await trio.sleep(0.02)
