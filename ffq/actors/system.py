"""The coordinator's actors, started and connected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
from attrs import validators

from ffq.actors._machine import Clock
from ffq.actors.facade import CoordinatorActors, Planner
from ffq.actors.liveness import LivenessActor
from ffq.actors.registry import RegistryActor
from ffq.actors.results import ResultsActor
from ffq.actors.scheduling import ConnectStores, SchedulingActor
from ffq.core import (
    CoordinatorSettings,
    LivenessCore,
    RegistryCore,
    ResultsCore,
    SchedulingCore,
)
from ffq.runtime import ActorSystem, Hooks


@attrs.frozen
class ActorSettings:
    """Settings of the actors, besides those of the core.

    Attributes:
        mailbox: messages that wait for one actor; further senders wait.
        tick_ms: how often scheduling looks at what time alone has changed (R10, R27).
        sweep_ms: how often stale workers are looked for (R19); at most a tenth of the timeout.
    """

    mailbox: int = attrs.field(default=1024, validator=validators.ge(1))
    tick_ms: int = attrs.field(default=250, validator=validators.ge(1))
    sweep_ms: int = attrs.field(default=500, validator=validators.ge(1))


def trio_clock_ms() -> int:
    """Trio's clock as whole ms."""
    return int(trio.current_time() * 1000)


@asynccontextmanager
async def open_coordinator(
    planner: Planner,
    settings: CoordinatorSettings | None = None,
    actors: ActorSettings | None = None,
    clock: Clock = trio_clock_ms,
    hooks: Hooks | None = None,
) -> AsyncIterator[CoordinatorActors]:
    """The actors, alive while the block is open. `hooks` hear of every message handled.

    Raises ActorFailed when a machine was found inconsistent: the coordinator stops.
    """
    core = settings or CoordinatorSettings()
    own = actors or ActorSettings()
    sweep_ms = max(1, min(own.sweep_ms, core.worker_liveness_timeout_ms // 10))
    async with ActorSystem("coordinator", hooks=hooks) as system:
        scheduling = await system.spawn(
            SchedulingActor,
            SchedulingCore(core),
            clock,
            own.tick_ms,
            name="scheduling",
            mailbox=own.mailbox,
        )
        liveness = await system.spawn(
            LivenessActor,
            LivenessCore(core),
            clock,
            scheduling,
            sweep_ms,
            name="liveness",
            mailbox=own.mailbox,
        )
        registry = await system.spawn(
            RegistryActor,
            RegistryCore(),
            clock,
            scheduling,
            name="registry",
            mailbox=own.mailbox,
        )
        results = await system.spawn(
            ResultsActor,
            ResultsCore(),
            clock,
            scheduling,
            name="results",
            mailbox=own.mailbox,
        )
        await scheduling.ask(ConnectStores(registry, results))
        yield CoordinatorActors(scheduling, liveness, registry, results, clock, planner)
