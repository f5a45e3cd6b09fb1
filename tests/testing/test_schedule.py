"""What `ffq.testing` knows of Trio beyond its documentation still holds, switch by switch."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio._core import _run
from trio.testing import MockClock, wait_all_tasks_blocked

from ffq.testing._actor_schedule import StallDetector, seeded_schedule


def order_of(seed: int) -> str:
    """In which order tasks run that are ready in the same pass."""
    order: list[str] = []

    async def note(name: str) -> None:
        await trio.lowlevel.checkpoint()
        order.append(name)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for name in "abcdefgh":
                nursery.start_soon(note, name)

    with seeded_schedule(seed):
        trio.run(main)
    return "".join(order)


def stalls_of(program: Callable[[], Awaitable[object]]) -> int:
    """How often it was found that nothing can happen; the program is cancelled then."""
    stalls: list[None] = []

    async def main() -> None:
        with trio.CancelScope() as scope:

            def on_stall() -> None:
                stalls.append(None)
                scope.cancel()

            trio.lowlevel.add_instrument(StallDetector(on_stall))
            await program()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return len(stalls)


def test_the_generator_and_the_switch_are_where_they_were() -> None:
    assert isinstance(_run._r, random.Random)
    assert isinstance(_run._ALLOW_DETERMINISTIC_SCHEDULING, bool)


def test_the_generator_decides_the_order() -> None:
    orders = [order_of(seed) for seed in range(20)]
    assert len(set(orders)) > 10
    assert orders == [order_of(seed) for seed in range(20)]


def test_the_generator_outside_is_not_touched() -> None:
    before = _run._r.getstate()
    order_of(1)
    assert _run._r.getstate() == before


def test_a_program_that_waits_for_itself_stalls() -> None:
    assert stalls_of(trio.sleep_forever) == 1


def test_a_shield_does_not_keep_a_stalled_program() -> None:
    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    assert stalls_of(shielded) == 1


async def other_thread() -> None:
    await trio.to_thread.run_sync(lambda: None)


async def socket() -> None:
    one, other = trio.socket.socketpair()
    with one, other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.recv, 1)
            await wait_all_tasks_blocked()
            await other.send(b"x")


async def deadline() -> None:
    await trio.sleep(1_000)


@pytest.mark.parametrize("program", [other_thread, socket, deadline, wait_all_tasks_blocked])
def test_what_will_be_woken_does_not_stall(program: Callable[[], Awaitable[object]]) -> None:
    assert stalls_of(program) == 0
