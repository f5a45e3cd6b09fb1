"""Who waits for work, and who is woken when some appears.

Scheduling rings whenever its state has changed. Then one of those for whom there is work is woken,
the one that waits longest: taking a task changes the state again, which wakes the next. So many
that wait cost nothing when one task appears, and no wait is a poll.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import attrs
import trio

from ffq.core.offers import has_work_for
from ffq.core.state import SchedulingState
from ffq.ids import WorkerId

_NEVER = -1


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
        for seat in self.seats:
            if seat.is_offered:
                del self.seats[seat]
                seat.call()
                return
