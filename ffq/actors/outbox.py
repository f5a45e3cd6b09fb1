"""Removals on their way to the stores.

Scheduling need not wait for a store to forget something, and must not wait for results, which asks
it. So it leaves such notices here and a courier delivers them. Those about one query are merged: it
has at most five entries, also once scheduling holds it no more. The last to come up is FreeQueryId,
which scheduling waits for before it takes the id again: the others would remove what is not theirs.

That a machine is to go on comes by the same way, so that other messages are handled before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

import trio

from ffq.core.machine import Removal
from ffq.ids import AttemptKey, QueryId
from ffq.messages import DropMapOutputs, DropResults, ForgetMore, GoOn, SweepStaleWorkers

MOST_KEYS: Final = 1_000
"""In one notice: a store is not to be kept long by it."""

_Keyed: TypeAlias = type[DropMapOutputs | DropResults]
_Keys: TypeAlias = OrderedDict[AttemptKey, None]


class Outbox:
    """Merged notices in the order in which their queries first came up."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[type, QueryId | None], Removal | _Keys] = OrderedDict()
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: Removal) -> None:
        """Add a notice; does not wait."""
        match notice:
            case DropMapOutputs() | DropResults():
                self._merge(type(notice), notice.keys)
            case ForgetMore() | GoOn() | SweepStaleWorkers():
                self._waiting[type(notice), None] = notice
            case _:
                self._waiting[type(notice), notice.query_id] = notice
        self._changed.set()

    def _merge(self, kind: _Keyed, keys: Iterable[AttemptKey]) -> None:
        for key in keys:
            known = self._waiting.setdefault((kind, key.query_id), OrderedDict())
            if isinstance(known, OrderedDict):
                known[key] = None

    async def get(self) -> Removal:
        """The oldest notice, of at most so many keys as one may have; waits for one."""
        while not self._waiting:
            self._changed = trio.Event()
            await self._changed.wait()
        place, oldest = next(iter(self._waiting.items()))
        if not isinstance(oldest, OrderedDict):
            del self._waiting[place]
            return oldest
        keys = tuple(islice(oldest, MOST_KEYS))
        for key in keys:
            del oldest[key]
        if not oldest:
            del self._waiting[place]
        removal: Removal = place[0](keys)
        return removal
