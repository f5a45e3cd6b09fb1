"""Who waits for work, and who is woken when some appears.

Scheduling rings whenever its state has changed. Then one of those for whom there is work is woken,
the one that waits longest: taking a task changes the state again, which wakes the next. So many
that wait cost nothing when one task appears, and no wait is a poll.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs
import trio

from ffq.core.offers import has_work_for
from ffq.core.state import SchedulingState
from ffq.ids import WorkerId

_NEVER = -1


@attrs.define(eq=False)
class Seat:
    """One that waits. `refused_at`: the version of the state in which it asked and got nothing."""

    worker_id: WorkerId
    _bell: WorkBell
    _called: trio.Event = attrs.field(factory=trio.Event)
    _refused_at: int = _NEVER

    @property
    def is_offered(self) -> bool:
        return self._bell.version != self._refused_at and self._bell.has_work_for(self.worker_id)

    def asks(self) -> None:
        """It is about to ask: getting nothing, it need not ask again before something changes."""
        self._refused_at = self._bell.version

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

    def call(self) -> None:
        self._called.set()


class WorkBell:
    """Rung by the actor that owns `state`, between its steps; looks at it, and changes nothing."""

    def __init__(self, state: SchedulingState) -> None:
        self._state = state
        self.seats: OrderedDict[Seat, None] = OrderedDict()
        """Those that wait, the one that waits longest first."""

    @property
    def version(self) -> int:
        return self._state.version

    def has_work_for(self, worker_id: WorkerId) -> bool:
        return has_work_for(self._state, worker_id)

    def ring(self) -> None:
        """Something may have changed, or whoever was called has not taken what there is."""
        for seat in self.seats:
            if seat.is_offered:
                del self.seats[seat]
                seat.call()
                return
