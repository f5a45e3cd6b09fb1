"""Removals on their way to the stores.

Scheduling need not wait for a store to forget something, and must not wait for results, which asks
it. So it leaves such notices here and a courier delivers them. Those about one query are merged: it
has at most five entries, also once scheduling holds it no more. The last to come up is FreeQueryId,
which scheduling waits for before it takes the id again: the others would remove what is not theirs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs
import trio

from ffq.core.machine import Removal
from ffq.ids import AttemptKey, QueryId
from ffq.messages import DropMapOutputs, DropResults


class Outbox:
    """Merged notices in the order in which their queries first came up."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[type, QueryId], Removal] = OrderedDict()
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: Removal) -> None:
        """Add a notice; does not wait."""
        if isinstance(notice, DropMapOutputs | DropResults):
            for query_id, keys in _by_query(notice.keys).items():
                self._merge(notice, query_id, keys)
        else:
            self._waiting[type(notice), notice.query_id] = notice
        self._changed.set()

    def _merge(
        self,
        notice: DropMapOutputs | DropResults,
        query_id: QueryId,
        keys: tuple[AttemptKey, ...],
    ) -> None:
        place = (type(notice), query_id)
        known = self._waiting.get(place)
        if isinstance(known, DropMapOutputs | DropResults):
            keys = tuple(dict.fromkeys((*known.keys, *keys)))
        self._waiting[place] = attrs.evolve(notice, keys=keys)

    async def get(self) -> Removal:
        """The oldest notice; waits for one."""
        while not self._waiting:
            self._changed = trio.Event()
            await self._changed.wait()
        return self._waiting.popitem(last=False)[1]


def _by_query(keys: Iterable[AttemptKey]) -> dict[QueryId, tuple[AttemptKey, ...]]:
    found: dict[QueryId, tuple[AttemptKey, ...]] = {}
    for key in keys:
        found[key.query_id] = (*found.get(key.query_id, ()), key)
    return found
