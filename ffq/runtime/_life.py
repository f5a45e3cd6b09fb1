"""The life of an actor: its states, its events, and the table that says what follows on what.

An actor lives from spawn to end. Its object lives from a start to a fall: one incarnation. A state
of this life is four facts, and everything else that is asked of it follows from them:

- the **phase**, what its task is at;
- the **wish**, what others want of it: GO, STOP or KILL. It only grows: a stop after a kill changes
  nothing, a kill after a stop does;
- the **causes** of a fall: this actor FAILED, or goes down because a SIBLING did. They add up, and
  a new incarnation forgets them;
- whether it was ever **born**: its start has succeeded once, so whoever spawned it has its ref.

A fall is an incarnation that is being ended from outside or by a failure: its handlers, tasks and
children are cancelled. ABORTING is the fall of one that has not started yet: it has no `on_stop`.
After its fall an actor is HELD (a sibling's failure took it down, and its turn to start again comes
with the group), is WAITING (it failed itself, and its supervisor starts it again after a delay), or
has ENDED. What decides is the table below, the one after it where the phase alone does not, and:

- A stop changes the wish alone. While the actor starts, falls or is down it is remembered: the
  restart under way goes on, and the new incarnation finishes the mail that is left. One that is
  down and has no mail has nothing to start again for: it is DRAINED, and has ended.
- A stopping actor does not go down with a sibling; one that is on its way down already does.
- A kill lets every incarnation fall, and nothing starts again after it.
- A failure before birth ends the actor: whoever spawned it gets the error. Later ones go to the
  supervisor, also those of an actor that will not start again: they count all the same.
- One whose first start a sibling's failure aborted does start again: who spawned it waits on.

An event that the table has no entry for is a bug of the framework: IllegalTransition, and the
state stays as it was. Effects (cancelling, waking, dead letters), the order within a group and the
graph of waits are not here: `Cell` and `Family` carry out what this file says. Pure: no Trio.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cache, partial

import attrs

from ffq.runtime.errors import IllegalTransition
from ffq.runtime.lifecycle import EndReason, State


class Phase(enum.Enum):
    """What an actor's task is at."""

    STARTING = "starting"
    """The object is made and `on_start` runs, the first time or again."""
    SERVING = "serving"
    """It handles messages."""
    FINISHING = "finishing"
    """Its mail is done: children stop, `on_stop` runs."""
    ABORTING = "aborting"
    """A start that failed or is cancelled."""
    FALLING = "falling"
    """An incarnation that had started fails or is cancelled; `on_stop` runs."""
    HELD = "held"
    """Down because of a sibling, until its turn in the group."""
    WAITING = "waiting"
    """Down after its own failure, until its supervisor starts it again."""
    ENDED = "ended"


class Wish(enum.IntEnum):
    """What others want of an actor; a later one never takes back an earlier one."""

    GO = 0
    STOP = 1
    KILL = 2


class Cause(enum.Flag):
    """Why an incarnation falls; no cause at all when it is killed."""

    NONE = 0
    FAILED = enum.auto()
    SIBLING = enum.auto()


class Event(enum.Enum):
    """What happens to an actor."""

    STARTED = "started"
    """`on_start` has returned."""
    DRAINED = "drained"
    """It is to stop and no mail is left."""
    FAIL = "fail"
    """A handler, task, child, start or cleanup failed."""
    SIBLING = "sibling"
    """A sibling failed, and this one is to go down with it."""
    GIVE_UP = "give up"
    """Its start or cleanup waits for one that waits for it in the same group restart."""
    STOP = "stop"
    KILL = "kill"
    DOWN = "down"
    """The incarnation is over, and no failure of it will be mended by a restart."""
    ABSORBED = "absorbed"
    """The incarnation is over, and the supervisor will start the actor again for its failure."""
    RESUME = "resume"
    """The supervisor has it start again."""
    CUT = "cut"
    """Its task ends at once: cancelled from above, or by worse than an Exception."""

    __hash__ = object.__hash__  # looked up at every step of a life; Enum's is a Python function


@attrs.frozen(eq=False)
class Life:
    """One state of a life. There is one object per state, so they are compared by identity."""

    phase: Phase
    wish: Wish
    causes: Cause
    born: bool
    # What follows. Stored, for much of it is asked at every message or at every spawn.
    falling: bool = attrs.field(init=False)
    """On its way down: no handler may begin."""
    stopping: bool = attrs.field(init=False)
    """It takes no new mail."""
    down: bool = attrs.field(init=False)
    """Between two incarnations."""
    killed: bool = attrs.field(init=False)
    """It must end, and at once."""
    over: bool = attrs.field(init=False)
    """It has ended; at most its books are still open."""
    started: bool = attrs.field(init=False)
    """The present incarnation has started, and so has something to clean up."""
    falls_for_sibling: bool = attrs.field(init=False)
    """On its way down because of a sibling, which waits until it is down."""
    unjudged: bool = attrs.field(init=False)
    """It has a failure that the supervisor has not been told of."""
    state: State = attrs.field(init=False)
    """What users see."""
    reason: EndReason = attrs.field(init=False)
    """Why it has ended. One that was never born has not stopped: it was ended before."""

    def __attrs_post_init__(self) -> None:
        derive = partial(object.__setattr__, self)
        phase, failed = self.phase, Cause.FAILED in self.causes
        falling = phase in (Phase.ABORTING, Phase.FALLING)
        derive("falling", falling)
        derive("stopping", self.wish is not Wish.GO)
        derive("down", phase in (Phase.HELD, Phase.WAITING))
        derive("killed", self.wish is Wish.KILL)
        derive("over", phase is Phase.ENDED)
        derive("started", phase in (Phase.SERVING, Phase.FINISHING, Phase.FALLING))
        derive("falls_for_sibling", falling and Cause.SIBLING in self.causes)
        derive("unjudged", (falling or phase is Phase.FINISHING) and self.born and failed)
        derive("state", self._state())
        stopped = self.wish is Wish.STOP and self.born
        derive(
            "reason",
            EndReason.FAILED if failed else EndReason.STOPPED if stopped else EndReason.KILLED,
        )

    def _state(self) -> State:
        if self.phase in (Phase.STARTING, Phase.ABORTING):
            return State.STARTING
        if self.down:
            return State.RESTARTING
        if self.over:
            return State.ENDED
        return State.STOPPING if self.stopping else State.RUNNING

    def __str__(self) -> str:
        causes = "+".join(str(cause.name).lower() for cause in self.causes) or "no cause"
        birth = "born" if self.born else "unborn"
        return f"{self.phase.value} ({self.wish.name.lower()}, {causes}, {birth})"


NO = None
"""The event cannot happen in this phase."""
SAME = "same"
"""The event changes nothing at all, not even wish and causes."""
LATER = "later"
"""`AFTER_A_FALL` says it."""

# fmt: off
STARTING, SERVING, FINISHING, ABORTING, FALLING, HELD, WAITING, ENDED = Phase

PHASE_AFTER: dict[Event, tuple[Phase | str | None, ...]] = {
    # in phase:      starting   serving    finishing  aborting   falling  held      waiting   ended
    Event.STARTED:  (SERVING,   NO,        NO,        FALLING,   NO,      NO,       NO,       NO),
    Event.DRAINED:  (NO,        FINISHING, NO,        NO,        NO,      ENDED,    ENDED,    NO),
    Event.FAIL:     (ABORTING,  FALLING,   FINISHING, ABORTING,  FALLING, NO,       NO,       NO),
    Event.SIBLING:  (ABORTING,  FALLING,   SAME,      ABORTING,  FALLING, SAME,     SAME,     SAME),
    Event.GIVE_UP:  (ABORTING,  NO,        NO,        ABORTING,  FALLING, NO,       NO,       NO),
    Event.STOP:     (STARTING,  SERVING,   FINISHING, ABORTING,  FALLING, HELD,     WAITING,  SAME),
    Event.KILL:     (ABORTING,  FALLING,   FALLING,   ABORTING,  FALLING, ENDED,    ENDED,    SAME),
    Event.DOWN:     (NO,        NO,        ENDED,     LATER,     LATER,   NO,       NO,       NO),
    Event.ABSORBED: (NO,        NO,        NO,        LATER,     LATER,   NO,       NO,       NO),
    Event.RESUME:   (NO,        NO,        NO,        NO,        NO,      STARTING, STARTING, NO),
    Event.CUT:      (ENDED,     ENDED,     ENDED,     ENDED,     ENDED,   ENDED,    ENDED,    NO),
}

BOTH = Cause.FAILED | Cause.SIBLING
AFTER_A_FALL: dict[Event, dict[Cause, Phase]] = {  # unless it was killed: then DOWN is its end
    Event.DOWN: {
        Cause.SIBLING: HELD, Cause.FAILED: ENDED, BOTH: ENDED, Cause.NONE: ENDED,
    },
    Event.ABSORBED: {Cause.FAILED: WAITING, BOTH: HELD},
}
# fmt: on


def _after(life: Life, event: Event) -> Life | None:
    """The state that follows by the tables and the rules at the top; None when it cannot happen."""
    column = tuple(Phase).index(life.phase)
    phase = PHASE_AFTER[event][column]
    wish, causes, born = life.wish, life.causes, life.born
    if phase is SAME or (event is Event.SIBLING and life.stopping):
        return life
    if event is Event.DRAINED and not life.stopping:
        return None
    if event is Event.ABSORBED and (life.killed or not born):
        return None
    if phase is LATER:
        phase = ENDED if life.killed else AFTER_A_FALL[event].get(causes)
    if not isinstance(phase, Phase):
        return None
    if event is Event.STOP:
        wish = max(wish, Wish.STOP)
    elif event is Event.KILL:
        wish = Wish.KILL
    elif event is Event.FAIL:
        causes |= Cause.FAILED
    elif event in (Event.SIBLING, Event.GIVE_UP):
        causes |= Cause.SIBLING
    elif event is Event.RESUME:
        causes = Cause.NONE
    return _state(phase, wish, causes, born or event is Event.STARTED)


@cache
def _state(phase: Phase, wish: Wish, causes: Cause, born: bool) -> Life:
    return Life(phase, wish, causes, born)


def _expand(first: Life) -> dict[Life, dict[Event, Life]]:
    """Every state that can be reached from `first`, and what follows on each event there."""
    table: dict[Life, dict[Event, Life]] = {}
    todo = [first]
    while todo:
        life = todo.pop()
        if life not in table:
            steps = ((event, _after(life, event)) for event in Event)
            table[life] = {event: follows for event, follows in steps if follows is not None}
            todo.extend(table[life].values())
    return table


NEW = _state(STARTING, Wish.GO, Cause.NONE, False)
"""The first state of every life."""

TRANSITIONS: Mapping[Life, Mapping[Event, Life]] = _expand(NEW)
"""The tables written out: state → event → state, for every state that there is."""


def after(life: Life, event: Event) -> Life:
    """The state that follows. Raises IllegalTransition."""
    follows = TRANSITIONS[life].get(event)
    if follows is None:
        raise IllegalTransition(f"an actor that is {life} cannot {event.name}")
    return follows
