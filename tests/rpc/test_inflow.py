"""Messages of a stream on their way from gRPC's thread to Trio: order, bound, ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from ffq.rpc.inflow import Inflow

WINDOW = 3


class Source:
    """Numbers without an end; `taken` counts them, `full` is set once it waits for room."""

    def __init__(self) -> None:
        self.taken = 0
        self.full = threading.Event()

    def __iter__(self) -> Iterator[int]:
        while True:
            if self.taken == WINDOW:
                self.full.set()
            yield self.taken
            self.taken += 1


async def filled(inflow: Inflow[int], numbers: Iterator[int] | Source | list[int]) -> None:
    with inflow.ending():
        await trio.to_thread.run_sync(inflow.fill, numbers)


async def test_messages_come_in_order_then_the_end() -> None:
    inflow: Inflow[int] = Inflow(WINDOW)
    got = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(filled, inflow, list(range(20)))
        with pytest.raises(trio.EndOfChannel):
            while True:
                got.append(await inflow.receive())
    assert got == list(range(20))


async def test_R30_the_thread_is_ahead_by_the_window_alone() -> None:
    inflow: Inflow[int] = Inflow(WINDOW)
    source = Source()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(filled, inflow, source)
        await trio.to_thread.run_sync(source.full.wait)
        await trio.testing.wait_all_tasks_blocked()
        assert source.taken == WINDOW, "one more is in its hand"
        assert [await inflow.receive() for _ in range(10)] == list(range(10))
        inflow.close()  # and so the thread ends, which waits for room
    assert source.taken <= WINDOW + 11


async def test_an_error_comes_after_what_came_before_it() -> None:
    def two_then_fail() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError

    inflow: Inflow[int] = Inflow(WINDOW)
    with pytest.raises(ZeroDivisionError):
        await trio.to_thread.run_sync(inflow.fill, two_then_fail())
    with inflow.ending():
        assert [await inflow.receive(), await inflow.receive()] == [1, 2]
    with pytest.raises(trio.EndOfChannel):
        await inflow.receive()
