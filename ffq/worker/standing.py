"""A worker's stream while it is open: what it says on it, and what it does with what comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from ffq.errors import FfqError, Unavailable
from ffq.ids import AttemptKey
from ffq.messages import (
    Assignment,
    AttemptEnd,
    EndAnswer,
    FromWorker,
    Heartbeat,
    HeartbeatReply,
    RegisterQueryResults,
    TaskState,
)
from ffq.service import Exchange

_HOLDS_FOR_BEATS: Final = 2.5
"""What a worker said it has room for holds for so many beats: one may be late."""

MAX_ENDS: Final = 32
"""Attempts whose end one message tells: with what they carry it stays below 2 MiB."""
_GATHER_S: Final = 0.002
"""So long the end of an attempt may wait for others, while more waits here to be run."""


@attrs.frozen
class StandingSettings:
    """Times in ms. `silence_ms`: the stream is given up when so long nothing comes on it."""

    heartbeat_ms: int
    silence_ms: int


@attrs.frozen
class Worker:
    """The worker behind the stream.

    Attributes:
        beat: its next heartbeat.
        room: how many more attempts it can start now.
        ahead: how many more may wait for a slot.
        waits: whether any do.
        start: takes assignments.
        give_back: takes attempts that are wanted back, if they wait.
        obey: takes the answer to a beat; raises WorkerSuperseded.
        attached: told once that the coordinator has answered on this stream.
    """

    beat: Callable[[], Heartbeat]
    room: Callable[[], int]
    ahead: Callable[[], int]
    waits: Callable[[], bool]
    start: Callable[[tuple[Assignment, ...]], None]
    give_back: Callable[[tuple[AttemptKey, ...]], None]
    obey: Callable[[HeartbeatReply], None]
    attached: Callable[[], None]


@attrs.define(eq=False)
class _End:
    """An attempt's end on its way. `at_once`: it waits for none. `answer` None: none has come."""

    end: AttemptEnd
    at_once: bool
    said: bool = False
    answer: EndAnswer | None = None
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.frozen
class _Rest:
    """What was said last, if that was a beat of a worker with nothing to do; and until when beats
    that say the same may be left out.
    """

    said: Heartbeat | None = None
    lasts_ms: int = 0
    until: float = 0.0

    @classmethod
    def after(cls, beat: Heartbeat | None, rest_ms: int) -> _Rest:
        """None: of something else that was said."""
        busy = beat is not None and (beat.running_tasks or beat.running_attempts)
        if beat is None or busy or beat.held_queries or not rest_ms:
            return cls()
        return cls(beat, rest_ms, trio.current_time() + rest_ms / 1000)

    def covers(self, beat: Heartbeat, later: float) -> bool:
        """Whether this one may be left out, where the next look is `later`."""
        same = self.said is not None and attrs.evolve(beat, at_ms=self.said.at_ms) == self.said
        return same and later <= self.until


class Standing:
    """One stream, from its first beat to its end.

    Until the first beat is answered it takes no assignments: the coordinator may not know such
    streams at all.
    """

    def __init__(self, exchange: Exchange, settings: StandingSettings, worker: Worker) -> None:
        self._exchange = exchange
        self._settings = settings
        self._worker = worker
        self._received = 0
        self._attached = False
        self.was_attached = False
        """Whether it ever was."""
        self._finished = False
        self._news = trio.Event()
        self._gathering = False
        self._failure: FfqError | None = None
        self._ends: deque[_End] = deque()
        """That are to be said; then those that were."""
        self._said: deque[_End] = deque()
        self._rest_ms = 0
        self._rest = _Rest()

    @property
    def attached(self) -> bool:
        """Whether the coordinator has answered on it, and it has not ended."""
        return self._attached

    def room_changed(self) -> None:
        """The worker has more or less room than before."""
        if not self._may_gather:
            self._news.set()

    def finish(self) -> None:
        """Take nothing more but what is under way. The coordinator then ends the stream."""
        self._finished = True
        self._news.set()

    async def end(self, end: AttemptEnd) -> EndAnswer | None:
        """Tell how an attempt ended. None: it was not told, and has to be by other means.

        Raises Unavailable: it was told, and the stream broke before the answer.
        """
        if not self._attached or self._finished:
            return None
        at_once = end.report.state is not TaskState.SUCCEEDED or isinstance(
            end.made, RegisterQueryResults
        )
        waiting = _End(end, at_once)
        self._ends.append(waiting)
        if not self._may_gather:
            self._news.set()
        try:
            await waiting.over.wait()
        finally:
            if waiting in self._ends:
                self._ends.remove(waiting)
        if waiting.said and waiting.answer is None:
            raise Unavailable("Work: the stream broke before the answer")
        return waiting.answer

    async def carry(self) -> FfqError | None:
        """Until it ends: why it did; None: in order, as `finish` asked for or of its own accord."""
        async with trio.open_nursery() as nursery:

            async def speak() -> None:
                try:
                    await self._speak()
                except FfqError as error:
                    self._failure = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(speak)
            try:
                await self._listen()
            except FfqError as error:
                self._failure = error
            self._attached = False
            nursery.cancel_scope.cancel()
        for each in (*self._said, *self._ends):
            each.over.set()
        return self._failure

    async def _speak(self) -> None:
        """Beats as they are due, and what there is room for as it changes."""
        interval = self._settings.heartbeat_ms / 1000
        next_at = trio.current_time()
        told = -1
        while not self._finished:
            self._news = trio.Event()
            beat = None
            if trio.current_time() >= next_at:
                # In step, so that it rests no longer than it may, and no shorter.
                next_at = max(next_at, trio.current_time() - interval) + interval
                beat = self._worker.beat()
                if self._rest.covers(beat, next_at):
                    beat = None
            limit = self._received + (self._worker.room() if self._attached else 0)
            ends = self._next_ends()
            if beat is not None or ends or limit != told:
                told = limit
                self._rest = _Rest.after(beat, self._rest_ms)
                pause_ms = max(self._settings.heartbeat_ms, self._rest.lasts_ms)
                holds_ms = round(_HOLDS_FOR_BEATS * pause_ms)
                ahead = self._worker.ahead() if self._attached else 0
                await self._exchange.send(FromWorker(beat, limit, holds_ms, ends, ahead))
            if not self._ends:  # none came meanwhile
                with trio.move_on_at(next_at):
                    await self._news.wait()
            await self._gather()
        self._exchange.finish()

    @property
    def _may_gather(self) -> bool:
        """Whether ends need not be told yet: others follow."""
        return (
            self._gathering
            and not self._finished
            and len(self._ends) < MAX_ENDS
            and self._worker.waits()
            and not any(each.at_once for each in self._ends)
        )

    async def _gather(self) -> None:
        """While the worker has more to run than slots, the ends of a short while go together."""
        self._gathering = True
        if self._ends and self._may_gather:
            self._news = trio.Event()
            with trio.move_on_after(_GATHER_S):
                await self._news.wait()
        self._gathering = False

    def _next_ends(self) -> tuple[AttemptEnd, ...]:
        """All that are ready, as far as one message holds them."""
        ends: list[AttemptEnd] = []
        while self._ends and len(ends) < MAX_ENDS:
            each = self._ends.popleft()
            each.said = True
            self._said.append(each)
            ends.append(each.end)
        return tuple(ends)

    async def _listen(self) -> None:
        while True:
            # While it rests nothing is answered.
            silence_ms = self._settings.silence_ms + self._rest_ms
            try:
                with trio.fail_after(silence_ms / 1000):
                    message = await self._exchange.receive()
            except trio.TooSlowError:
                raise Unavailable(f"Work: nothing came within {silence_ms} ms") from None
            if message is None:
                return
            # First what came: room is then counted with it.
            for answer in message.answers:
                if self._said:
                    said = self._said.popleft()
                    said.answer = answer
                    said.over.set()
            self._received += len(message.tasks)
            self._worker.start(message.tasks)
            if message.recalled:
                self._worker.give_back(message.recalled)
            if message.beat is not None:
                self._rest_ms = message.rest_ms
                self._worker.obey(message.beat)
                if not self._attached:
                    self._attached = self.was_attached = True
                    self._worker.attached()
                    self._news.set()
