"""Messages that the thread that sends takes by itself: order, errors, and that it stops in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import trio

from ffq.errors import NotReady
from ffq.rpc.routes import Send
from tests.rpc.echo import STREAM, Chunk, Request, open_echo

LARGE = 256 * 1024


def taking(numbers: Iterator[int], error: Exception | None = None) -> Callable[[], Chunk | None]:
    def take() -> Chunk | None:
        for number in numbers:
            return Chunk(payload=str(number).encode())
        if error is not None:
            raise error
        return None

    return take


async def received(handle: Callable[[Request, Send[Chunk]], object]) -> tuple[list[int], str]:
    """The numbers that come, and the error after them."""
    got = []
    async with open_echo(stream=handle) as channel:  # type: ignore[arg-type]
        try:
            async with channel.stream(STREAM, Request(), Chunk) as chunks:
                async for chunk in chunks:
                    got.append(int(chunk.payload))
        except NotReady as error:
            return got, error.message
    return got, ""


async def test_they_go_in_order_with_those_that_are_sent() -> None:
    async def handle(_: Request, send: Send[Chunk]) -> None:
        await send(Chunk(payload=b"0"))
        await send.at_hand(taking(iter(range(1, 20))))
        await send(Chunk(payload=b"20"))
        await send.at_hand(taking(iter(())))
        await send.at_hand(taking(iter((21, 22))))

    assert await received(handle) == (list(range(23)), "")


async def test_an_error_comes_to_the_handler_after_what_was_taken() -> None:
    seen = []

    async def handle(_: Request, send: Send[Chunk]) -> None:
        try:
            await send.at_hand(taking(iter(range(3)), NotReady("no more")))
        except NotReady as error:
            seen.append(error.message)
            raise

    assert await received(handle) == ([0, 1, 2], "no more")
    assert seen == ["no more"]


class Endless:
    """Large messages without an end; `closed` from when the handler has ended on."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = False
        self.taken_late = 0

    def __call__(self) -> Chunk:
        self.taken += 1
        self.taken_late += self.closed
        return Chunk(payload=bytes(LARGE))


@pytest.mark.parametrize("from_the_server", [False, True])
async def test_none_is_taken_when_the_handler_has_ended(from_the_server: bool) -> None:
    source, ended, scope = Endless(), trio.Event(), trio.CancelScope()

    async def handle(_: Request, send: Send[Chunk]) -> None:
        try:
            with scope:
                await send.at_hand(source)
        finally:
            source.closed = True
            ended.set()

    async with open_echo(stream=handle) as channel:
        async with channel.stream(STREAM, Request(), Chunk) as chunks:
            await anext(chunks)
            if from_the_server:
                scope.cancel()  # gRPC's thread writes all the while, or waits for the reader
                await ended.wait()
                async for _ in chunks:
                    if source.taken_late:
                        break
        await ended.wait()
    assert scope.cancelled_caught == from_the_server
    assert source.taken
    assert not source.taken_late
