"""The coordinator in this process: its door, and the actors behind it, started and connected."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import attrs
import trio
from attrs import validators

from ffq.actors.bell import WorkBell
from ffq.actors.carried import MAX_SENT_BYTES, CarriedOutputs
from ffq.actors.exchange import Exchanges, Send
from ffq.actors.machine import Clock, MachineActor, ValidateState
from ffq.actors.parties import Parties
from ffq.actors.posting import PostedWalk, hop
from ffq.actors.rhythm import Timer
from ffq.actors.watches import Watch, Watches
from ffq.core.liveness import liveness_machine, stale_from_ms
from ffq.core.machine import Machine, Party
from ffq.core.registry import registry_machine
from ffq.core.results import results_machine
from ffq.core.scheduling import scheduling_machine
from ffq.core.settings import CoordinatorSettings
from ffq.core.timeouts import moment_ms, next_due_ms
from ffq.core.walks import OWNERS, PLANS, WALKS
from ffq.messages import (
    FetchQueryResults,
    FromWorker,
    Rpc,
    RunQuery,
    StreamRpc,
    SweepStaleWorkers,
    Tick,
    WatchQuery,
)
from ffq.runtime import ActorSystem, Hooks
from ffq.service import Chunks, Exchange, OnReply, Planner, Posted

C = TypeVar("C")
R = TypeVar("R")


@attrs.frozen
class ActorSettings:
    """Settings of the actors, besides those of the core.

    Attributes:
        mailbox: messages that wait for one actor; further senders wait.
        tick_ms: how often scheduling looks at what time alone has changed (R10, R27), where it may.
        sweep_ms: how often stale workers are looked for (R19), while one may be; at most a tenth of
            the timeout.
        watches: queries that may be watched at a time; each holds a stream open.
    """

    mailbox: int = attrs.field(default=1024, validator=validators.ge(1))
    tick_ms: int = attrs.field(default=250, validator=validators.ge(1))
    sweep_ms: int = attrs.field(default=500, validator=validators.ge(1))
    watches: int = attrs.field(default=128, validator=validators.ge(0))


@attrs.frozen
class ActorCoordinator:
    """`ffq.service.Coordinator` over actors in this Trio run.

    Raises, besides the core's errors, ActorEnded and SystemClosed while it shuts down.

    Attributes:
        parties: the actors and the planner.
        chunks: how the value behind each stream becomes its chunks. Behind a WatchQuery they find
            a `Watch`; behind a RunQuery that of its query, and the WatchQuery that it comes to.
        exchanges: the streams that workers hold open.
    """

    parties: Parties
    chunks: Mapping[type, Chunks]
    watches: Watches
    exchanges: Exchanges

    async def ask(self, message: Rpc[R] | StreamRpc[Any, R]) -> R:
        """The reply, or the frozen value that stands behind a stream."""
        walk = WALKS.get(type(message))
        reply: R
        if walk is not None:
            reply = await walk(self.parties.ask, message)
        elif (owner := OWNERS[type(message)]) is Party.PLANNER:
            reply = await self.parties.planner.ask(message)
        else:
            reply = await self.parties.actors[owner].ask(message)
        return reply

    def posts(self, message: type) -> bool:
        """All that is answered by actors alone: to plan takes a thread, and so does it wait."""
        return message not in PLANS and OWNERS.get(message) is not Party.PLANNER

    def post(self, message: Rpc[Any], on_reply: OnReply, deadline: float) -> Posted:
        """As `Posting.post`."""
        walk = WALKS.get(type(message))
        if walk is None:
            return self.parties.post(message, on_reply, deadline)
        walking = PostedWalk(walk(hop, message), self.parties, on_reply, deadline)
        walking.begin()
        return walking

    @asynccontextmanager
    async def stream(self, message: StreamRpc[C, R]) -> AsyncIterator[AsyncIterator[C]]:
        match message:
            case RunQuery():
                watched: WatchQuery | None = WatchQuery(message.query_id, result=True)
            case WatchQuery():
                watched = message
            case _:
                watched = None
        if watched is not None:
            # Before anything is submitted: what is refused for want of room has done nothing.
            one_call = isinstance(message, RunQuery)
            with self._watching(watched, patient=one_call) as watch:
                if isinstance(message, RunQuery):
                    await self.ask(message)
                async with self.chunks[type(message)](watched, watch) as updates:
                    yield updates
            return
        async with self.chunks[type(message)](message, await self.ask(message)) as chunks:
            yield chunks

    @contextmanager
    def _watching(self, message: WatchQuery, *, patient: bool) -> Iterator[Watch]:
        result = FetchQueryResults(message.query_id)
        with self.watches.registered(message.query_id) as ended:
            look, ask_result = partial(self.ask, message), partial(self.ask, result)
            yield Watch(look, ask_result, self.watches, ended, patient)

    async def serve_exchange(self, incoming: AsyncIterator[FromWorker], send: Send) -> None:
        """The coordinator's end of a worker's stream; see `Exchanges.serve`."""
        await self.exchanges.serve(incoming, send)

    def exchange(self) -> AbstractAsyncContextManager[Exchange]:
        """A worker's end of such a stream, in this process: an `ffq.service.OpenExchange`."""
        return self.exchanges.connect()

    async def validate_state(self) -> None:
        """Every machine checks itself. Raises InvariantViolated."""
        for actor in self.parties.actors.values():
            await actor.ask(ValidateState())


def steady_unix_ms() -> Clock:
    """A clock that begins at the wall clock's time and goes on with Trio's: it never goes back."""
    ahead_ms = time.time() * 1000 - trio.current_time() * 1000
    return lambda: int(trio.current_time() * 1000 + ahead_ms)


@asynccontextmanager
async def open_coordinator(
    planner: Planner,
    settings: CoordinatorSettings | None = None,
    actors: ActorSettings | None = None,
    *,
    chunks: Mapping[type, Chunks] | None = None,
    clock: Clock | None = None,
    hooks: Hooks | None = None,
) -> AsyncIterator[ActorCoordinator]:
    """The actors, alive while the block is open. `hooks` hear of every message handled.

    `clock` gives unix ms that never go back; without one it is `steady_unix_ms`. `chunks`: the
    streams that it serves.

    Raises ActorFailed when a machine was found inconsistent: the coordinator stops.
    """
    core = settings or CoordinatorSettings()
    own = actors or ActorSettings()
    now = clock or steady_unix_ms()
    parties = Parties(planner)
    watches = Watches(own.watches)
    sweep_ms = max(1, min(own.sweep_ms, core.worker_liveness_timeout_ms // 10))
    # Each starts after those that it may ask, and so ends before them.
    scheduling = scheduling_machine(core)
    liveness = liveness_machine(core)
    bell = WorkBell(scheduling.state)
    tick = Timer(
        own.tick_ms,
        Tick,
        lambda: next_due_ms(scheduling.state) - now(),
        moment_ms=partial(moment_ms, scheduling.state),
    )
    # Stamped before it queues behind evidence that arrived earlier: a worker whose beat still waits
    # in the mailbox is not stale. Evidence puts off when the next one is, and so do new workers.
    sweep = Timer(
        sweep_ms,
        lambda: SweepStaleWorkers(now()),
        lambda: stale_from_ms(liveness.state, now()) - now(),
        woken=False,
    )
    machines: list[tuple[Machine[Any], Timer | None]] = [
        (registry_machine(), None),
        (scheduling, tick),
        (liveness, sweep),
        (results_machine(), None),
    ]
    async with ActorSystem("coordinator", hooks=hooks) as system:
        for machine, timer in machines:
            parties.actors[machine.party] = await system.spawn(
                MachineActor,
                machine,
                now,
                parties,
                timer,
                watches if machine is scheduling else None,
                bell.ring if machine is scheduling else None,
                name=machine.party.value,
                mailbox=own.mailbox,
            )
        carried = CarriedOutputs(sent=min(MAX_SENT_BYTES, core.max_assignment_bytes))
        exchanges = Exchanges(parties, bell, carried, rest_ms=core.rest_ms)
        yield ActorCoordinator(parties, chunks or {}, watches, exchanges)
