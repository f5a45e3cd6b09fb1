"""Who waits for work, and who is woken when some appears.

Scheduling rings whenever its state has changed. Then one of those for whom there is work is woken:
taking a task changes the state again, which wakes the next. So many that wait cost nothing when one
task appears, and no wait is a poll.

It is the one that waits longest, unless another one runs nothing and was given tasks of the plan
before, of those the last one: a worker that has run a fragment runs it again in less time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import attrs
import trio

from ffq.core.offers import has_work_for, is_idle, next_plan
from ffq.core.state import SchedulingState
from ffq.ids import WorkerId
from ffq.messages import Assignment

_NEVER = -1
_MOST_PLANS: Final = 32
"""Plans of each worker that are remembered: about as many as it keeps."""
_LOOKS: Final = 16
"""Workers that one look for the best one takes: there may be thousands that wait."""


@attrs.frozen
class Needs:
    """What a worker takes now: for its `slots`, and `ahead`, to wait there for one."""

    slots: int = 0
    ahead: int = 0

    def __bool__(self) -> bool:
        return bool(self.slots or self.ahead)

    def exceed(self, others: Needs) -> bool:
        return self.slots > others.slots or self.ahead > others.ahead


@attrs.define(eq=False)
class Seat:
    """One that waits. `refused_at`: the version of the state in which it asked for `refused` and
    got nothing.
    """

    worker_id: WorkerId
    _bell: WorkBell
    _needs: Callable[[], Needs]
    _called: trio.Event = attrs.field(factory=trio.Event)
    _refused_at: int = _NEVER
    _refused: Needs = Needs()
    _plans: OrderedDict[int, int] = attrs.field(factory=OrderedDict)
    """By hash of a plan that it was given tasks of, when that was."""

    @property
    def is_offered(self) -> bool:
        needs = self._needs()
        if self._bell.version == self._refused_at and not needs.exceed(self._refused):
            return False
        return self._bell.has_work_for(self.worker_id, needs)

    def asks(self) -> None:
        """It is about to ask: getting nothing, it need not ask again before something changes."""
        self._refused_at = self._bell.version
        self._refused = self._needs()

    def may_ask_again(self) -> None:
        """Time alone may have changed what it would get."""
        self._refused_at = _NEVER

    def given(self, tasks: Iterable[Assignment]) -> None:
        """They were assigned to this worker."""
        last: bytes | None = None
        for task in tasks:
            if task.plan_bytes is not last:
                last = task.plan_bytes
                self._plans[hash(last)] = self._bell.version
                self._plans.move_to_end(hash(last))
        while len(self._plans) > _MOST_PLANS:
            self._plans.popitem(last=False)

    def knows_since(self, plan: bytes) -> int:
        """When it was last given a task of the plan, as a version of the state; -1: never, as far
        as is remembered.
        """
        return self._plans.get(hash(plan), _NEVER)

    async def called(self) -> None:
        """Returns when there is work for this worker; at once, when there is some now."""
        while not self.is_offered:
            self._called = trio.Event()
            self._bell.seats[self] = None
            try:
                await self._called.wait()
            finally:
                self._bell.seats.pop(self, None)

    def look(self) -> None:
        """It takes more than before, or for longer."""
        if self in self._bell.seats and self.is_offered:
            del self._bell.seats[self]
            self.call()

    def call(self) -> None:
        self._called.set()


class WorkBell:
    """Rung by the actor that owns `state`, between its steps; looks at it, and changes nothing."""

    def __init__(self, state: SchedulingState) -> None:
        self._state = state
        self.seats: OrderedDict[Seat, None] = OrderedDict()
        """Those that wait, the one that waits longest first."""
        self.recalls: dict[WorkerId, Callable[[], object]] = {}
        """By worker, what is called when it has to be told to give something back."""

    @property
    def version(self) -> int:
        return self._state.version

    def has_work_for(self, worker_id: WorkerId, needs: Needs) -> bool:
        return bool(needs) and has_work_for(
            self._state, worker_id, slots=needs.slots > 0, ahead=needs.ahead > 0
        )

    @property
    def is_recalling(self) -> bool:
        """Whether something is on its way back to whoever has slots for it."""
        return self._state.workers.recalled > 0

    def ring(self) -> None:
        """Something may have changed, or whoever was called has not taken what there is."""
        for worker_id in self._state.workers.recalling:
            if worker_id in self.recalls:
                self.recalls[worker_id]()
        for first in self.seats:
            if first.is_offered:
                seat = self._best(first)
                del self.seats[seat]
                seat.call()
                return

    def _best(self, first: Seat) -> Seat:
        """Whom to call, where `first` is the one that waits longest."""
        plan = next_plan(self._state, first.worker_id) if len(self.seats) > 1 else None
        if plan is None:
            return first
        best, since = first, _NEVER
        for seat in islice(self.seats, _LOOKS):
            known = seat.knows_since(plan)
            if known > since and is_idle(self._state, seat.worker_id) and seat.is_offered:
                best, since = seat, known
        return best
