"""What benchmarks start, and that an inconsistent coordinator does not pass."""

from __future__ import annotations

import os
import signal
import time

import pytest
import trio
import trio.testing

from benchmarks._gateway import CONSISTENT, checked_coordinator
from benchmarks._processes import cpu_seconds
from ffq.actors.coordinator import ActorCoordinator
from ffq.errors import InvariantViolated
from tests.actors.harness import InlinePlanner


def test_the_clock_of_a_process_is_its_processor_time() -> None:
    before, own = cpu_seconds(os.getpid()), time.process_time()
    assert before <= own
    sum(range(100_000))
    assert cpu_seconds(os.getpid()) > before


async def test_a_coordinator_that_is_told_to_look_says_that_it_is_consistent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with checked_coordinator(InlinePlanner()):
        await trio.testing.wait_all_tasks_blocked()
        os.kill(os.getpid(), signal.SIGUSR1)
        while CONSISTENT not in capsys.readouterr().err:  # noqa: ASYNC110  # a line that must come
            await trio.sleep(0.01)


async def test_an_inconsistent_coordinator_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_self: ActorCoordinator) -> None:
        raise InvariantViolated("a task runs nowhere")

    monkeypatch.setattr(ActorCoordinator, "validate_state", broken)
    with pytest.RaisesGroup(
        pytest.RaisesExc(InvariantViolated, match="runs nowhere"), flatten_subgroups=True
    ):
        async with checked_coordinator(InlinePlanner()):
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGUSR1)
            await trio.sleep_forever()
