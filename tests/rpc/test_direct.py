"""A coordinator that is asked in its own process fails as one that is asked over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from ffq.errors import (
    ConnectionClosed,
    ExecutionError,
    FfqError,
    InvalidQuery,
    QuotaExceeded,
    Unavailable,
    UnknownId,
)
from ffq.ids import QueryId
from ffq.messages import FetchQueryResults, ListWorkers
from ffq.rpc.chunks import InMemory
from ffq.rpc.direct import DirectCoordinator
from ffq.rpc.status import INTERNAL_TEXT
from ffq.runtime.errors import ActorEnded

FETCH = FetchQueryResults(QueryId("1"))


@attrs.define
class Inner:
    """Fails as it is told: when it is asked, when a stream begins, or after its first chunk."""

    error: Exception | None = None
    at: str = "ask"
    open_streams: int = 0

    async def ask(self, message: object) -> Any:
        self._fail("ask")
        return message

    @asynccontextmanager
    async def stream(self, _: object) -> AsyncIterator[AsyncIterator[Any]]:
        self._fail("begin")
        self.open_streams += 1
        try:
            yield self._chunks() if self.at == "later" else InMemory(iter((b"a", b"b")))
        finally:
            self.open_streams -= 1

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield b"a"
        self._fail("later")

    def _fail(self, at: str) -> None:
        if self.error is not None and self.at == at:
            raise self.error


async def read(coordinator: DirectCoordinator) -> list[bytes]:
    async with coordinator.stream(FETCH) as chunks:
        return [chunk async for chunk in chunks]


async def test_what_is_answered_is_passed_on() -> None:
    coordinator = DirectCoordinator(Inner(), "h:1")
    answer: object = await coordinator.ask(ListWorkers())
    assert answer == ListWorkers()
    assert await read(coordinator) == [b"a", b"b"]


@pytest.mark.parametrize("at", ["ask", "begin", "later"])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (UnknownId("no such query", reason="EXPIRED"), UnknownId("no such query")),
        (InvalidQuery("what\n is  it", line=2, column=3), InvalidQuery("what is it")),
        (QuotaExceeded("full", retry_after_ms=70), QuotaExceeded("full")),
        (ActorEnded("it has ended"), Unavailable("h:1: it has ended")),
        (ZeroDivisionError("a secret"), ExecutionError(INTERNAL_TEXT)),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_errors_are_those_that_a_caller_over_grpc_sees(
    raised: Exception, seen: FfqError, at: str
) -> None:
    inner = Inner(raised, at)
    coordinator = DirectCoordinator(inner, "h:1")
    with pytest.raises(type(seen)) as caught:
        if at == "ask":
            await coordinator.ask(ListWorkers())
        else:
            await read(coordinator)
    assert (type(caught.value), caught.value.message) == (type(seen), seen.message)
    if isinstance(raised, UnknownId | QuotaExceeded | InvalidQuery):
        told = vars(caught.value)
        assert {name: told[name] for name in vars(raised) if name != "message"} == {
            name: value for name, value in vars(raised).items() if name != "message"
        }
    assert inner.open_streams == 0


async def test_what_a_streams_reader_raises_stays_what_it_is() -> None:
    inner = Inner()
    with pytest.raises(ZeroDivisionError):
        async with DirectCoordinator(inner, "h:1").stream(FETCH):
            raise ZeroDivisionError
    assert inner.open_streams == 0


async def test_after_its_end_it_is_no_use_to_try_again() -> None:
    coordinator = DirectCoordinator(Inner(), "h:1")
    async with coordinator.stream(FETCH) as chunks:
        coordinator.close()
        with pytest.raises(ConnectionClosed):
            await anext(chunks)
    with pytest.raises(ConnectionClosed, match="h:1: this client is not open"):
        await coordinator.ask(ListWorkers())
    with pytest.raises(ConnectionClosed):
        await read(coordinator)
