"""Calls and streams where Trio is a guest of gRPC's loop: all is as it is between threads."""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio

from ffq.errors import NotReady
from ffq.rpc.guest import run_as_guest
from ffq.rpc.loop import shared_loop
from tests.rpc import test_bridge, test_duplex, test_posted_calls
from tests.rpc.echo import call, open_echo

Case = Callable[[], Coroutine[Any, Any, None]]


def cases() -> list[Any]:
    """The tests of these modules that want nothing of pytest."""
    return [
        pytest.param(case, id=name)
        for module in (test_bridge, test_duplex, test_posted_calls)
        for name, case in vars(module).items()
        if name.startswith("test_")
        and inspect.iscoroutinefunction(case)
        and not inspect.signature(case).parameters
    ]


@pytest.mark.parametrize("case", cases())
def test_as_between_threads(case: Case) -> None:
    run_as_guest(case)


def test_there_are_such_cases() -> None:
    assert len(cases()) > 30


def test_servers_share_the_thread_of_their_run() -> None:
    async def main() -> int:
        async with open_echo() as channel, shared_loop() as loop:
            assert loop.one_thread
            assert await call(channel) == "x"
            assert [each for each in threading.enumerate() if each.name == "ffq-grpc"] == []

            async def thread() -> int:
                return threading.get_ident()

            return await loop.run(thread())

    assert run_as_guest(main) == threading.get_ident()


def test_a_run_in_another_thread_has_a_loop_of_its_own() -> None:
    async def other() -> bool:
        async with open_echo() as channel, shared_loop() as loop:
            assert await call(channel) == "x"
            return loop.one_thread

    async def main() -> bool:
        async with shared_loop():
            return await trio.to_thread.run_sync(trio.run, other)

    assert not run_as_guest(main)


def test_what_the_run_raises_is_raised_and_the_next_run_works() -> None:
    async def fails() -> None:
        raise NotReady("as it is")

    async def works() -> str:
        async with open_echo() as channel:
            return await call(channel, "again")

    with pytest.raises(NotReady, match="as it is"):
        run_as_guest(fails)
    assert run_as_guest(works) == "again"


@pytest.mark.parametrize("asleep", [False, True])
def test_ctrl_c_is_for_the_run_and_ends_it_in_order(asleep: bool) -> None:
    left = []

    async def main() -> None:
        try:
            async with open_echo() as channel:
                await call(channel)
                if asleep:  # it comes while gRPC's loop waits, not Trio's task
                    await trio.to_thread.run_sync(os.kill, os.getpid(), signal.SIGINT)
                else:
                    os.kill(os.getpid(), signal.SIGINT)
                await trio.sleep_forever()
        finally:
            left.append("in order")

    with pytest.raises(BaseExceptionGroup) as caught:
        run_as_guest(main)
    assert caught.value.split(KeyboardInterrupt)[1] is None
    assert left == ["in order"]
