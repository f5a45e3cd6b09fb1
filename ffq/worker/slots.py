"""What a worker has been given: what runs in its slots, what waits for one, what is at its end.

An attempt whose end is being told takes no slot any more: the next one begins in it meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import attrs
import trio

from ffq.ids import AttemptKey
from ffq.messages import Assignment, AttemptEnd, EndAnswer, TaskState
from ffq.worker.ahead import Ahead
from ffq.worker.attempt import RETURNED_MESSAGE, STOPPED_MESSAGE, AttemptContext, AttemptRun


@attrs.frozen
class SlotSettings:
    """`slots`: attempts at once. `ahead_ms`: of so much work may wait for one. `stop_grace_ms`: how
    long a stopped attempt may take to be reported.
    """

    slots: int
    ahead_ms: int
    stop_grace_ms: int


class Slots:
    """The attempts of one worker, each a task of its own once it has a slot.

    Args:
        stuck: how many slots are held by what was stopped and does not end.
        changed: told when there may be more room, or less.
    """

    def __init__(
        self,
        settings: SlotSettings,
        context: Callable[[], AttemptContext],
        stuck: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._context = context
        self._stuck = stuck
        self._changed = changed
        self._running: dict[AttemptKey, AttemptRun] = {}
        self._handed: set[AttemptKey] = set()
        """Of those, the ones that run no more: their ends are told on the stream."""
        self._ahead = Ahead(settings.slots, settings.ahead_ms)
        self._nursery: trio.Nursery | None = None
        self._stopping = False

    @property
    def keys(self) -> tuple[AttemptKey, ...]:
        """All that it has been given and whose last report has not been answered yet."""
        return (*self._running, *self._ahead.keys)

    @property
    def count(self) -> int:
        """How many of these have begun."""
        return len(self._running)

    @property
    def waits(self) -> bool:
        """Whether any of them has not."""
        return len(self._ahead) > 0

    @property
    def capacity(self) -> int:
        """How many more a call may bring."""
        return self._settings.slots - len(self._running) - len(self._ahead) - self._stuck()

    @property
    def room(self) -> int:
        """How many more could begin now."""
        return 0 if self._stopping else max(0, self._free - len(self._ahead))

    @property
    def room_ahead(self) -> int:
        """How many more may wait."""
        return 0 if self._stopping else self._ahead.room

    @property
    def _free(self) -> int:
        busy = len(self._running) - len(self._handed)
        return self._settings.slots - busy - self._stuck()

    async def serve(self, taking: Callable[[], Awaitable[None]]) -> None:
        """Run what is taken, until `taking` has returned and all of it has come to its end."""
        async with trio.open_nursery() as self._nursery:
            await taking()

    def take(self, assignments: tuple[Assignment, ...]) -> None:
        """What is here already is not taken twice."""
        for assignment in assignments:
            if assignment.key not in self._running:
                self._ahead.put(assignment)
        self.begin()
        if self._stopping:
            self.give_back(self._ahead.keys)

    def stop(self) -> None:
        """All are to be reported as stopped; so are those that come yet."""
        self._stopping = True
        for attempt in self._running.values():
            attempt.scope.cancel()
        self.give_back(self._ahead.keys)

    def drop(self, key: AttemptKey) -> bool:
        """Nobody waits for it any more. False: it is not here."""
        attempt = self._running.get(key)
        if attempt is not None:
            attempt.scope.cancel()
        return self._ahead.take(key) is not None or attempt is not None

    def give_back(self, keys: tuple[AttemptKey, ...]) -> None:
        """Those that wait are reported as such. They take no slot while they are."""
        for key in keys:
            assignment = self._ahead.take(key)
            if assignment is not None and self._nursery is not None:
                self._running[key] = AttemptRun(self._context(), assignment)
                self._handed.add(key)
                self._nursery.start_soon(self._return, self._running[key])

    def hand(self, end: AttemptEnd) -> None:
        """An attempt runs no more, and its end is being told."""
        key = end.report.key
        self._handed.add(key)
        attempt = self._running.get(key)
        if attempt is not None and end.report.state is TaskState.SUCCEEDED:
            self._ahead.note(trio.current_time() - attempt.began_at)
        self.begin()

    def handed(self, key: AttemptKey, answer: EndAnswer | None) -> None:
        """That is over. An attempt whose end was not taken has a slot again."""
        if answer not in {EndAnswer.COUNTED, EndAnswer.TOO_LATE}:
            self._handed.discard(key)
            self._changed()

    def begin(self) -> None:
        """Begin what waits, as far as there are slots.

        To be asked now and then: what was stuck may have left its slot.
        """
        while self._free > 0 and not self._stopping and self._nursery is not None:
            assignment = self._ahead.take()
            if assignment is None:
                return
            attempt = self._running[assignment.key] = AttemptRun(self._context(), assignment)
            self._nursery.start_soon(self._run, attempt)

    async def _run(self, attempt: AttemptRun) -> None:
        key = attempt.assignment.key
        try:
            await attempt.run()
            if self._stopping and attempt.scope.cancelled_caught:
                with trio.move_on_after(self._settings.stop_grace_ms / 1000):
                    await attempt.report_stopped()
            if key not in self._handed:
                self._ahead.note(trio.current_time() - attempt.began_at)
        finally:
            self._forget(key)
        self.begin()

    async def _return(self, attempt: AttemptRun) -> None:
        grace_s = self._settings.stop_grace_ms / 1000 if self._stopping else math.inf
        why = STOPPED_MESSAGE if self._stopping else RETURNED_MESSAGE
        try:
            with trio.move_on_after(grace_s):
                await attempt.give_back(why)
        finally:
            self._forget(attempt.assignment.key)

    def _forget(self, key: AttemptKey) -> None:
        del self._running[key]
        self._handed.discard(key)
        self._changed()
