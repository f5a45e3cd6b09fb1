"""docs/how-to/fastapi.md: its app under a real server, with clients that wait and that go away."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx2
import pytest

import ffq
from tests.docs.blocks import blocks_of, reading
from tests.docs.pages import ROOT
from tests.processes import END_TIMEOUT_S, gateway, running, worker

PAGE = "docs/how-to/fastapi.md"
MORE = """
from app import *

ENDLESS = "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b"

@app.get("/endless")
async def endless(seconds: float, request: Request, session: Session) -> int:
    table = await while_wanted(request, session.sql(ENDLESS).collect(), seconds=seconds)
    return table.num_rows

@app.get("/endless.ndjson")
async def endless_stream(session: Session) -> StreamingResponse:
    async with AsyncExitStack() as stack:
        batches = await stack.enter_async_context(session.sql(ENDLESS).stream())
        return StreamingResponse(lines(batches, stack.pop_all()))
"""
"""Endpoints made of what the app has, over queries that take long."""


@attrs.frozen
class Served:
    url: str
    coordinator: ffq.SyncClient

    def count(self, state: ffq.QueryState) -> int:
        """How many queries of the cluster are in it."""
        return sum(query.state is state for query in self.coordinator.queries())

    def wait_for(self, count: int, state: ffq.QueryState) -> None:
        """Until so many are; fails after a long while."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while self.count(state) < count:
            assert time.monotonic() < deadline, self.coordinator.queries()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("fastapi")
    with reading(folder) as reader:
        for block in blocks_of(PAGE)[:3]:
            if block.title or block.language == "python":
                reader.follow(block)
    (folder / "more.py").write_text(MORE)
    with (
        gateway() as (_, endpoint),
        worker(endpoint, "w1"),
        running(
            "more:app",
            "--port=0",
            module="uvicorn",
            cwd=folder,
            env={"FFQ_COORDINATOR_ENDPOINT": endpoint, "PYTHONPATH": str(ROOT)},
        ) as server,
        ffq.SyncClient(endpoint) as coordinator,
    ):
        line = server.wait_for("Uvicorn running on")
        url = re.search(r"http://[\d.:]+", line)
        assert url is not None
        yield Served(url[0], coordinator)


def get(served: Served, path: str) -> httpx2.Response:
    return httpx2.get(served.url + path, timeout=END_TIMEOUT_S)


def test_a_parameter_has_a_type_and_is_never_text_of_the_query(served: Served) -> None:
    answer = get(served, "/customers/7/spent?since=2025-07-01")
    assert answer.json() == {"orders": 200, "spent": 599400}
    refused = get(served, "/customers/7%20OR%201=1/spent?since=2025-07-01")
    assert refused.status_code == 422


def test_a_result_streams_line_by_line(served: Served) -> None:
    with httpx2.stream(
        "GET", f"{served.url}/orders?since=2025-12-01", timeout=END_TIMEOUT_S
    ) as got:
        assert got.headers["content-type"] == "application/x-ndjson"
        rows = [json.loads(line) for line in got.iter_lines()]
    assert len(rows) == 500
    assert {row["day"] for row in rows} == {"2025-12-01"}


def test_a_query_past_its_time_is_a_504_and_goes_on_nowhere(served: Served) -> None:
    answer = get(served, "/endless?seconds=0.3")
    assert (answer.status_code, answer.json()) == (504, {"detail": "the query took too long"})
    deadline = time.monotonic() + END_TIMEOUT_S
    while any(not query.state.terminal for query in served.coordinator.queries()):
        assert time.monotonic() < deadline, "it runs for ever"
        time.sleep(0.05)


def test_a_client_that_goes_away_takes_its_query_along(served: Served) -> None:
    before = served.count(ffq.QueryState.CANCELED)
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /endless?seconds=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        served.wait_for(1, ffq.QueryState.RUNNING)
    served.wait_for(before + 1, ffq.QueryState.CANCELED)


def test_a_stream_whose_reader_goes_away_ends_its_query(served: Served) -> None:
    before = served.count(ffq.QueryState.CANCELED)
    with httpx2.stream("GET", f"{served.url}/endless.ndjson", timeout=END_TIMEOUT_S) as got:
        assert got.status_code == 200
        served.wait_for(1, ffq.QueryState.RUNNING)
    served.wait_for(before + 1, ffq.QueryState.CANCELED)
