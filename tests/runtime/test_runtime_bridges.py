"""A13: other threads, asyncio and synchronous code."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import threading
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import ffq.runtime.portal
from ffq.runtime import ActorFailed, ActorRef, ActorSystem
from ffq.runtime.errors import InvalidOption, ProtocolError, SystemClosed
from ffq.runtime.portal import Portal, SyncActorSystem
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total


async def test_A13_another_thread_asks_and_tells() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        portal = system.portal()

        def in_a_thread() -> int:
            portal.tell(ref, Add(1))
            with pytest.raises(ValueError, match="boom"):
                portal.ask(ref, Fail())
            return portal.ask(ref, Add(5))

        assert await trio.to_thread.run_sync(in_a_thread) == 6


async def test_A13_a_timeout_in_a_thread_cancels_the_handler() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        portal = system.portal()

        def in_a_thread() -> None:
            with pytest.raises(TimeoutError, match="0.01 seconds"):
                portal.ask(ref, Hold("a"), timeout=0.01)

        await trio.to_thread.run_sync(in_a_thread)
        assert await ref.ask(Total()) == 0
        assert gate.log == ["a waits", "a cancelled"]


async def test_A13_calls_under_way_when_the_system_closes_raise() -> None:
    gate = Gate()
    raised: list[str] = []
    with trio.CancelScope() as scope:
        async with ActorSystem("s") as system:
            ref = await system.spawn(Holder, gate)
            portal = system.portal()

            def in_a_thread() -> None:
                with pytest.raises(SystemClosed, match="s is closed"):
                    portal.ask(ref, Hold("a"))
                raised.append("under way")
                with pytest.raises(SystemClosed, match="s is closed"):
                    portal.ask(ref, Hold("b"))
                raised.append("after")

            thread = threading.Thread(target=in_a_thread)
            thread.start()
            while not gate.log:  # noqa: ASYNC110  # set from another thread
                await trio.sleep(0.001)
            scope.cancel()
            await trio.sleep_forever()
    await trio.to_thread.run_sync(thread.join)
    assert raised == ["under way", "after"]


async def test_A13_a_portal_refuses_to_block_its_own_trio_thread() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        with pytest.raises(ProtocolError, match="Trio thread"):
            system.portal().ask(ref, Add(1))


async def test_A13_asyncio_code_asks_and_its_cancel_reaches_the_handler() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        counter = await system.spawn(Counter)
        holder = await system.spawn(Holder, gate)
        portal = system.portal()

        async def under_asyncio() -> list[int]:
            await portal.tell_asyncio(counter, Add(1))
            replies = await asyncio.gather(
                *(portal.ask_asyncio(counter, Add(1)) for _ in range(10))
            )
            waiting = asyncio.ensure_future(portal.ask_asyncio(holder, Hold("a")))
            while not gate.log:  # noqa: ASYNC110  # set from another thread
                await asyncio.sleep(0.001)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(ValueError, match="boom"):
                await portal.ask_asyncio(counter, Fail())
            return replies

        replies = await trio.to_thread.run_sync(lambda: asyncio.run(under_asyncio()))
        assert sorted(replies) == list(range(2, 12))
        assert await holder.ask(Total()) == 0
        assert gate.log == ["a waits", "a cancelled"]


def test_A13_synchronous_code_has_a_system_on_a_thread_of_its_own() -> None:
    with SyncActorSystem("sync") as actors:
        counter = actors.spawn(Counter, 10, name="c")
        actors.tell(counter, Add(1))
        assert actors.ask(counter, Add(5), timeout=30) == 16
        with pytest.raises(ValueError, match="boom"):
            actors.ask(counter, Fail())
    with pytest.raises(SystemClosed, match="sync"):
        actors.ask(counter, Add(1))
    with pytest.raises(SystemClosed, match="used already"), actors:
        pass


def test_A13_a_synchronous_system_is_not_closed_on_its_own_thread() -> None:
    async def close() -> None:
        actors.__exit__(None, None, None)

    with SyncActorSystem("sync") as actors:
        counter = actors.spawn(Counter, 1)
        with pytest.raises(ProtocolError, match=r"closed on its own thread.*where it was entered"):
            actors.portal.call(close)
        assert actors.ask(counter, Add(1)) == 2


def test_A13_a_crash_comes_out_of_the_synchronous_block() -> None:
    closed: list[str] = []
    with pytest.raises(ActorFailed, match="/c failed"), SyncActorSystem("sync") as actors:
        counter = actors.spawn(Counter, name="c")
        actors.tell(counter, Fail())
        try:
            while True:
                actors.ask(counter, Total())
        except Exception as error:  # noqa: BLE001  # ended or closed: the crash is under way
            closed.append(type(error).__name__)
    assert closed[0] in {"SystemClosed", "ActorEnded"}


def test_A13_an_error_in_the_synchronous_block_ends_the_system_and_stays_itself() -> None:
    gate = Gate
    with pytest.raises(KeyError, match="mine"), SyncActorSystem("sync") as actors:
        holder = actors.portal.call(lambda: _holding(actors, gate))
        assert holder
        raise KeyError("mine")
    assert actors.system.closed


def test_A13_ctrl_c_ends_the_wait_whichever_thread_takes_the_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    # What runs in the background of a shell ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with SyncActorSystem("sync") as actors:
            holder = actors.spawn(Holder, gate)
            waits = gate.wait

            async def interrupted(who: str) -> None:
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
                await waits(who)

            monkeypatch.setattr(gate, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                actors.ask(holder, Hold("a"))
            assert actors.ask(holder, Total()) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert gate.log == ["a waits", "a cancelled"]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Ctrl-C as soon as this has been called once."""
    original = getattr(owner, name)
    once = iter([True])

    def called(*args: Any) -> Any:
        result = original(*args)
        if next(once, False):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, called)


def test_A13_ctrl_c_before_the_wait_ends_the_call_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its function may run already when nobody waits for it yet."""
    with SyncActorSystem("sync") as actors:
        holder = actors.spawn(Holder, Gate())
        interrupt_after(monkeypatch, Portal, "run_soon")
        with pytest.raises(KeyboardInterrupt):
            actors.ask(holder, Hold("a"))
        assert actors.ask(holder, Total(), timeout=60) == 0


def test_A13_ctrl_c_while_the_system_opens_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupt_after(monkeypatch, ffq.runtime.portal, "wait_blocking")
    with pytest.raises(KeyboardInterrupt), SyncActorSystem("interrupted"):
        pytest.fail("it was let in")
    assert "actors-interrupted" not in {each.name for each in threading.enumerate()}


def test_A13_any_exception_comes_out_of_a_blocking_call() -> None:
    """Also the one that the wait itself uses."""

    async def empty() -> None:
        raise queue.Empty("mine")

    with SyncActorSystem("sync") as actors, pytest.raises(queue.Empty, match="mine"):
        actors.portal.call(empty)


async def _holding(actors: SyncActorSystem, gate: type[Gate]) -> bool:
    ref = await actors.system.spawn(Holder, gate())
    await ref.tell(Hold("for ever"))
    return True


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 10**400], ids=["negative", "nan", "huge"])
async def test_A13_a_timeout_that_cannot_be_is_refused_in_the_thread(
    seconds: float,
) -> None:
    async with ActorSystem("s") as system:
        ref = await system.spawn(Counter)
        portal = system.portal()

        def in_a_thread() -> int:
            with pytest.raises(InvalidOption, match="of the system s: timeout="):
                portal.ask(ref, Add(1), timeout=seconds)
            return portal.ask(ref, Add(1), timeout=0x10000)

        assert await trio.to_thread.run_sync(in_a_thread) == 1


class Beyond(BaseException):
    pass


@pytest.mark.parametrize(
    ("cleanup", "expected"),
    [(None, SystemClosed), (ValueError, ExceptionGroup), (Beyond, SystemClosed)],
)
async def test_A13_a_call_with_a_nursery_cut_off_by_the_close_frees_its_thread(
    cleanup: type[BaseException] | None, expected: type[Exception]
) -> None:
    """Trio cuts it off with a group, not with a lone Cancelled."""
    raised: list[type[BaseException]] = []
    waiting = trio.Event()

    async def untidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            if cleanup is not None:
                raise cleanup("cleanup")

    async def call() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(untidy)
            nursery.start_soon(trio.sleep_forever)
            waiting.set()

    async def use() -> None:
        async with ActorSystem() as system:
            portal = system.portal()

            def in_a_thread() -> None:
                try:
                    portal.call(call)
                except BaseException as error:  # noqa: BLE001
                    raised.append(type(error))

            thread = threading.Thread(target=in_a_thread)
            thread.start()
            threads.append(thread)
            await waiting.wait()
            await trio.testing.wait_all_tasks_blocked()

    threads: list[threading.Thread] = []
    if cleanup is Beyond:
        with pytest.raises(Beyond):
            await use()
    else:  # an Exception has reached the caller, and leaves the system alone
        await use()
    await trio.to_thread.run_sync(threads[0].join)
    assert raised == [expected]


@pytest.mark.parametrize("wrong", [None, 5, "run"])
async def test_A13_what_is_no_function_is_refused_by_run_soon(wrong: Any) -> None:
    async with ActorSystem("s") as system:
        ref = await system.spawn(Counter)
        portal = system.portal()

        def in_a_thread() -> int:
            with pytest.raises(InvalidOption, match=f"of the system s: {wrong!r} is no function"):
                portal.run_soon(wrong)
            return portal.ask(ref, Add(1))

        assert await trio.to_thread.run_sync(in_a_thread) == 1


async def test_A13_what_is_async_is_refused_by_run_soon() -> None:
    async def nothing() -> None:
        pytest.fail("it ran")

    async with ActorSystem() as system:
        with pytest.raises(InvalidOption, match="is a coroutine already"):
            system.portal().run_soon(nothing())  # type: ignore[arg-type]
        with pytest.raises(InvalidOption, match="is async: give it to submit or call"):
            system.portal().run_soon(nothing)


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), ExceptionGroup("mine", [KeyError()])])
async def test_A13_an_error_of_run_soon_is_logged_and_hurts_nobody(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    async with ActorSystem("s") as system:
        ref = await system.spawn(Counter)
        portal = system.portal()

        def in_a_thread() -> int:
            portal.run_soon(fail)
            return portal.ask(ref, Add(1))

        assert await trio.to_thread.run_sync(in_a_thread) == 1
    (record,) = caplog.records
    assert "a portal of the system s" in record.getMessage()
    assert "fail" in record.getMessage()
    assert record.exc_info
    assert record.exc_info[1] is error


async def test_A13_ctrl_c_in_run_soon_ends_the_system_as_elsewhere() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with ActorSystem() as system:
            system.portal().run_soon(interrupt)
            await trio.sleep_forever()
    assert system.closed


async def test_A13_nothing_that_run_soon_calls_for_a_closed_system_hurts_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async with ActorSystem("s") as system:
        portal = system.portal()
    portal.run_soon(interrupt)
    while not caplog.records:
        await trio.lowlevel.checkpoint()
    assert "a portal of the system s" in caplog.text


async def test_A13_a_cancelled_future_cancels_the_call() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        future = system.portal().submit(partial(ref.ask, Hold("a")))
        await trio.testing.wait_all_tasks_blocked()
        assert gate.log == ["a waits"]
        assert future.cancel()
        # The cancel comes in through Trio's queue for other threads, as everything does here.
        while len(gate.log) < 2:
            await trio.lowlevel.checkpoint()
        assert gate.log == ["a waits", "a cancelled"]


def test_A13_asyncio_code_uses_a_system_on_a_thread_and_after_it_closed() -> None:
    async def under_asyncio(actors: SyncActorSystem) -> tuple[int, Portal, ActorRef[Add]]:
        counter = actors.spawn(Counter, 1)
        return await actors.portal.ask_asyncio(counter, Add(1)), actors.portal, counter

    with SyncActorSystem("sync") as actors:
        total, portal, counter = asyncio.run(under_asyncio(actors))
    assert total == 2
    with pytest.raises(SystemClosed, match="sync is closed"):
        asyncio.run(portal.ask_asyncio(counter, Add(1)))


async def test_A13_an_error_of_run_soon_survives_a_filter_that_raises() -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of somebody's")

    def fail() -> None:
        raise ValueError("lost in a broken filter")

    logger = logging.getLogger("ffq.runtime")
    logger.addFilter(broken)
    try:
        async with ActorSystem() as system:
            counter = await system.spawn(Counter)
            system.portal().run_soon(fail)
            await trio.testing.wait_all_tasks_blocked()
            assert await counter.ask(Add(1)) == 1
    finally:
        logger.removeFilter(broken)


def test_A13_a_forked_child_is_told_that_the_portal_leads_nowhere() -> None:
    with SyncActorSystem("sync") as actors:
        counter = actors.spawn(Counter)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:  # it may do nothing but say what it found, and go
            try:
                found = "an answer" if actors.ask(counter, Add(1)) else ""
            except BaseException as error:  # noqa: BLE001
                found = f"{type(error).__name__}: {error}"
            os.write(writing, found.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as said:
            found = said.read()
        assert os.waitpid(child, 0)[1] == 0
        assert found.startswith("SystemClosed: a portal of the system sync leads into the process")
        assert actors.ask(counter, Add(1)) == 1


def test_A13_the_error_of_the_block_is_kept_beside_a_failure() -> None:
    with pytest.raises(ExceptionGroup) as caught, SyncActorSystem("sync") as actors:
        counter = actors.spawn(Counter, name="c")
        actors.tell(counter, Fail())
        while not actors._outcome.done():
            actors._thread.join(0.01)
        raise KeyError("mine")
    failed, mine = caught.value.exceptions
    assert isinstance(failed, ActorFailed)
    assert isinstance(mine, KeyError)
