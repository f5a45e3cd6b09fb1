"""The network in memory: every call takes a moment, and a fault may strike it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol, TypeVar

import attrs
import trio

from ffq.errors import ExecutionError, FfqError, Unavailable
from ffq.runtime.errors import ActorError
from tests.simulation.faults import FaultKind
from tests.simulation.injector import COORDINATOR, FaultInjector
from tests.simulation.invariants import violation
from tests.simulation.trace import MAX_CALLS, Trace

T = TypeVar("T")
S = TypeVar("S")

RPC_TIMEOUT_MS = 1_000
_LATE_MS = (30_000, 90_000)
_SHARE, _SHARE_OF_RARE = 0.1, 0.5
"""Of calls whose callers leave."""
_RARE = frozenset({"CancelQuery", "FetchQueryResults", "SubmitQuery"})
_LEAVING_LASTS_S = 12.0
"""As long as faults do: then all that was begun is to end well."""
_MOST_STEPS = 40
"""Steps of the scheduler within which nearly every call is answered."""


class Paused(Protocol):
    """Holds a node's messages while the node is paused."""

    async def gate(self) -> None: ...


@attrs.define
class Network:
    """Carries calls to the coordinator. `serve` hands a call to the coordinator that is up.

    `late`: duplicates that are still on their way. `leaving`: draws whose callers leave in the
    midst of their call; None: nobody does. `left`: how often, by method.
    """

    trace: Trace
    faults: FaultInjector
    chance: random.Random
    nursery: trio.Nursery
    late: int = 0
    leaving: random.Random | None = None
    left: Counter[str] = attrs.field(factory=Counter)

    async def call(
        self,
        source: str,
        node: Paused | None,
        method: str,
        handle: Callable[[], Awaitable[T]],
    ) -> T:
        """One call to the coordinator and its answer.

        What is lost is never answered: the caller's time limit is the way out.

        Raises what the coordinator answers; Unavailable when none is up.
        """
        self.count()
        if node is not None:
            await node.gate()
        struck = self.faults.message_faults(source, method)
        await trio.sleep(self.latency_s(struck))
        if FaultKind.REQUEST_LOST in struck or self.faults.is_cut(source, COORDINATOR):
            await trio.sleep_forever()
        if FaultKind.DUPLICATE in struck:
            self._again(method, handle, self.chance.uniform(0.0, 5.0))
        if FaultKind.LATE_DUPLICATE in struck:
            self._again(method, handle, self.chance.uniform(*_LATE_MS) / 1000)
        if FaultKind.DELAY in struck:
            # It arrives when its sender waits for it no more.
            self._again(method, handle, RPC_TIMEOUT_MS / 1000 * self.chance.uniform(1.1, 5.0))
            await trio.sleep_forever()
        if self.leaving is not None and self._leaves(method, self.leaving):
            self.left[method] += 1
            await self.cut_short(handle, self.leaving.randrange(_MOST_STEPS))
            await trio.sleep_forever()
        try:
            answer = await answered(handle)
        except FfqError:
            await self._way_back(source, node, struck)
            raise
        await self._way_back(source, node, struck)
        return answer

    def _leaves(self, method: str, leaving: random.Random) -> bool:
        share = _SHARE_OF_RARE if method in _RARE else _SHARE
        return self.someone_leaves() and leaving.random() < share

    def someone_leaves(self) -> bool:
        """Whether it is still the time for it."""
        return trio.current_time() < _LEAVING_LASTS_S

    async def cut_short(self, handle: Callable[[], Awaitable[T]], steps: int) -> None:
        """The caller is gone after so many steps: what answers it is cancelled where it is."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._unheard, handle)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    async def _unheard(self, handle: Callable[[], Awaitable[T]]) -> None:
        with suppress(FfqError):
            await answered(handle)

    async def _way_back(self, source: str, node: Paused | None, struck: list[FaultKind]) -> None:
        if FaultKind.ANSWER_LOST in struck or self.faults.is_cut(COORDINATOR, source):
            await trio.sleep_forever()
        if node is not None:
            await node.gate()

    def latency_s(self, struck: list[FaultKind]) -> float:
        """How long a message is under way."""
        if FaultKind.REORDER in struck:
            return self.chance.uniform(0.0, 0.8)
        return self.chance.uniform(0.0002, 0.004)

    def _again(self, method: str, handle: Callable[[], Awaitable[T]], delay_s: float) -> None:
        self.late += 1
        self.nursery.start_soon(self._deliver, method, handle, delay_s)

    async def _deliver(
        self, method: str, handle: Callable[[], Awaitable[T]], delay_s: float
    ) -> None:
        await trio.sleep(delay_s)
        try:
            await answered(handle)
        except FfqError as error:
            self.trace.note(f"the stray {method} is refused: {error.stable_reason}")
        else:
            self.trace.note(f"the stray {method} is answered")
        self.late -= 1

    def count(self) -> None:
        """One message more. Too many are a failed check."""
        self.trace.calls += 1
        if self.trace.calls > MAX_CALLS:
            self.trace.fail(violation("no-livelock", f"more than {MAX_CALLS} calls"))


async def answered(handle: Callable[[], Awaitable[T]]) -> T:
    """What reaches the caller: typed errors as they are, an actor's end as Unavailable.

    Raises FfqError: whatever else is raised becomes ExecutionError, as on the wire (R28).
    """
    try:
        return await handle()
    except ActorError as error:
        raise Unavailable(f"the coordinator went away: {type(error).__name__}") from None
    except FfqError:
        raise
    except Exception as error:
        raise ExecutionError(f"the coordinator failed: {type(error).__name__}") from error
