"""The machines and their walks without mailboxes: every ask is answered at once.

For property tests and benchmarks, and as the reference that the actors must agree with. Notices are
delivered before the reply is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from ffq.core.liveness import liveness_machine
from ffq.core.machine import Machine, Party, Slice
from ffq.core.planning import PLANNER
from ffq.core.registry import registry_machine
from ffq.core.results import results_machine
from ffq.core.scheduling import scheduling_machine
from ffq.core.settings import CoordinatorSettings
from ffq.core.walks import OWNERS, WALKS
from ffq.errors import InvariantViolated
from ffq.messages import SweepStaleWorkers, Tick
from ffq.runtime.message import Request

R = TypeVar("R")


class CoreCoordinator:
    """Takes any message of a coordinator, of the outer world or internal, and the time in ms.

    Args:
        at_once: whether what is done in slices is done before the reply; else by `go_on`.
    """

    def __init__(
        self, settings: CoordinatorSettings | None = None, *, at_once: bool = True
    ) -> None:
        self.at_once = at_once
        self.slices: deque[Slice] = deque()
        self.settings = settings if settings is not None else CoordinatorSettings()
        self.scheduling = scheduling_machine(self.settings)
        self.liveness = liveness_machine(self.settings)
        self.registry = registry_machine()
        self.results = results_machine()
        self.machines: dict[Party, Machine[Any]] = {
            machine.party: machine
            for machine in (self.scheduling, self.liveness, self.registry, self.results)
        }

    def ask(self, message: Request[R], now_ms: int) -> R:
        """The reply. Raises what the parties raise."""
        walk = WALKS.get(type(message))
        try:
            if walk is None:
                return self.ask_owner(message, now_ms)
            reply: R = _answered(walk(_At(self, now_ms), message))
            return reply
        finally:
            self._finish(now_ms)

    def ask_owner(self, message: Request[R], now_ms: int) -> R:
        """As a walk asks: of the party that has a row for the message."""
        party = OWNERS[type(message)]
        if party is Party.PLANNER:
            planned: R = PLANNER[type(message)](message)
            return planned
        machine = self.machines[party]
        walk = machine.walks.get(type(message))
        if walk is not None:
            held: R = _answered(walk(_At(self, now_ms), message))
            return held
        outcome = machine.step(message, now_ms)
        for notice in outcome.notices:
            if isinstance(notice, Slice):
                self.slices.append(notice)
            else:
                self.ask_owner(notice, now_ms)
        return outcome.reply

    def go_on(self, now_ms: int) -> bool:
        """The next slice of what was too much for one step; False: nothing is left of any."""
        if not self.slices:
            return False
        self.ask_owner(self.slices.popleft(), now_ms)
        return True

    def sweep(self, now_ms: int) -> None:
        """What the liveness timer does (R19)."""
        self.ask(SweepStaleWorkers(now_ms), now_ms)

    def tick(self, now_ms: int) -> None:
        """What the scheduling timer does (R10, R27)."""
        self.ask(Tick(), now_ms)

    def _finish(self, now_ms: int) -> None:
        while self.at_once and self.go_on(now_ms):
            pass

    def validate_state(self) -> None:
        """All machines are consistent, and agree where they hold the same things.

        Raises:
            InvariantViolated: naming what is inconsistent.
        """
        for machine in self.machines.values():
            machine.validate_state()
        self.validate_agreement()

    def validate_agreement(self) -> None:
        """The second half of `validate_state`: the machines agree. Raises InvariantViolated."""
        require_agreement(self.machines)


def require_agreement(machines: Mapping[Party, Machine[Any]]) -> None:
    """What several machines hold is the same, once what they told each other has arrived.

    Raises:
        InvariantViolated: naming in what they differ.
    """
    scheduling = machines[Party.SCHEDULING].state
    live, known = machines[Party.LIVENESS].state.workers.keys(), scheduling.workers.live.keys()
    if live != known:
        raise InvariantViolated(
            f"liveness knows {len(live)} workers, scheduling {len(known)}, and they must be "
            f"the same"
        )
    published = machines[Party.REGISTRY].state.held_partitions()
    if published != scheduling.output_partitions:
        raise InvariantViolated(
            f"the registry holds {published} partitions, "
            f"scheduling counts {scheduling.output_partitions}"
        )
    stored = machines[Party.RESULTS].state.held_bytes()
    if stored != scheduling.held_result_bytes:
        raise InvariantViolated(
            f"results hold {stored} bytes, scheduling counts {scheduling.held_result_bytes}"
        )


class _At:
    """The `Ask` of walks at one moment."""

    def __init__(self, coordinator: CoreCoordinator, now_ms: int) -> None:
        self._coordinator = coordinator
        self._now_ms = now_ms

    async def __call__(self, message: Request[R]) -> R:
        return self._coordinator.ask_owner(message, self._now_ms)


def _answered(walk: Coroutine[Any, Any, R]) -> R:
    """Run a walk whose every ask is answered at once: one `send` takes it to its end."""
    try:
        walk.send(None)
    except StopIteration as done:
        reply: R = done.value
        return reply
    walk.close()
    raise InvariantViolated(f"{walk!r} waits for something other than an ask")
