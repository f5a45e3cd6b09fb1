"""The yardstick: a task reads a raw Trio memory channel and wakes the parked asker."""

from __future__ import annotations

import json
from typing import Any

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from benchmarks.actor_frameworks._measure import (
    ASKS,
    AT_ONCE,
    MAILBOX,
    SPAWNS,
    TELLS,
    Stopwatch,
    resident_bytes,
)


class Call:
    __slots__ = ("n", "task", "value")

    def __init__(self, n: int, task: Task | None) -> None:
        self.n = n
        self.task = task
        self.value = 0


async def serve(receive: trio.MemoryReceiveChannel[Call]) -> None:
    total = 0
    async for call in receive:
        total += call.n
        if call.task is not None:
            call.value = total
            reschedule(call.task)


def abort(_raise_cancel: Any) -> Abort:
    return Abort.SUCCEEDED


async def ask(send: trio.MemorySendChannel[Call], n: int) -> int:
    call = Call(n, current_task())
    send.send_nowait(call)
    await wait_task_rescheduled(abort)
    return call.value


async def figures() -> dict[str, float]:
    async with trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[Call](MAILBOX)
        nursery.start_soon(serve, receive)
        with Stopwatch(ASKS) as one:
            for _ in range(ASKS):
                await ask(send, 1)

        async def some() -> None:
            for _ in range(ASKS // AT_ONCE):
                await ask(send, 1)

        with Stopwatch(ASKS) as at_once:
            async with trio.open_nursery() as askers:
                for _ in range(AT_ONCE):
                    askers.start_soon(some)
        with Stopwatch(TELLS) as tell:
            for _ in range(TELLS):
                await send.send(Call(1, None))
            await ask(send, 1)
        with Stopwatch(SPAWNS) as spawn:
            for _ in range(SPAWNS):
                async with trio.open_nursery() as child:
                    own, its = trio.open_memory_channel[Call](MAILBOX)
                    child.start_soon(serve, its)
                    await own.aclose()
        count, before = 10_000, resident_bytes()
        channels = [trio.open_memory_channel[Call](MAILBOX) for _ in range(count)]
        for own, its in channels:
            nursery.start_soon(serve, its)
            await ask(own, 1)
        idle = (resident_bytes() - before) / count
        nursery.cancel_scope.cancel()
    return {
        "ask": one.rate,
        "ask100": at_once.rate,
        "tell": tell.rate,
        "spawn": spawn.rate,
        "idle_bytes": idle,
    }


if __name__ == "__main__":
    print(json.dumps(trio.run(figures)))
