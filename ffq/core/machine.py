"""What a core machine is: a state, a table of steps, and a version.

A step takes the state, one message and the time in unix ms, and gives the reply or raises; one
that raises a typed error has changed nothing. What others must be told it leaves in the state's
`notices`. A machine's table has one row per message:

    reads     changes nothing, tells nobody
    changes   may change the state; its notices are removals, which a courier delivers in time
    tells     may change the state; its notices are delivered before it is answered
    holds     not a step but a walk inside the machine: it may ask its own machine, and those that
              MAY_ASK names, while the machine serves nobody else

`tells` and `holds` are carried through once they are begun, also when their caller has gone: their
messages are `detached`. Where no two machines must agree, none of that is needed: see `walks`.

The version grows exactly when the state has changed. So a machine is a function of the steps that
grew it, each with its message and its time, in their order.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import attrs

from ffq.errors import InvariantViolated
from ffq.messages import (
    DropMapOutputs,
    DropQueryOutputs,
    DropQueryResults,
    DropResults,
    ForgetMore,
    FreeQueryId,
    GoOn,
    PublishMapOutput,
    PublishMapOutputs,
    SweepStaleWorkers,
    WorkerChanged,
    WorkerLost,
)
from ffq.runtime.message import Request, Sendable

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S", bound="MachineState")
S_contra = TypeVar("S_contra", contravariant=True)


class Party(enum.Enum):
    """Who answers messages in a coordinator: its four machines, and the planner."""

    SCHEDULING = "scheduling"
    LIVENESS = "liveness"
    REGISTRY = "registry"
    RESULTS = "results"
    PLANNER = "planner"

    __hash__ = object.__hash__  # looked up with each message: Enum's own is a function of Python


MAY_ASK: Final[Mapping[Party, frozenset[Party]]] = {
    Party.LIVENESS: frozenset({Party.SCHEDULING}),
    Party.RESULTS: frozenset({Party.SCHEDULING}),
    Party.SCHEDULING: frozenset({Party.REGISTRY}),
    Party.REGISTRY: frozenset(),
    Party.PLANNER: frozenset(),
}
"""Whom a machine may wait for while it serves nobody else. It has no cycle: no wait is for ever."""

Told: TypeAlias = WorkerChanged | WorkerLost | PublishMapOutput | PublishMapOutputs
"""Notices that are delivered before the step that made them is answered."""

Slice: TypeAlias = GoOn | ForgetMore | SweepStaleWorkers
"""A machine tells itself to do the next slice of what was too much for one step."""

Removal: TypeAlias = (
    DropMapOutputs | DropQueryOutputs | DropResults | DropQueryResults | FreeQueryId | Slice
)
"""Notices that a courier delivers: they say what to forget, and the last that it is forgotten."""

Notice: TypeAlias = Told | Removal


class MachineState(Protocol):
    """What every machine's state has beside what it is about."""

    version: int
    notices: list[Notice]


class Ask(Protocol):
    """Asks whichever party answers this message. Raises what that party raises."""

    def __call__(self, message: Request[R], /) -> Awaitable[R]: ...


class Step(Protocol[S_contra, M_contra, R_co]):
    def __call__(self, state: S_contra, message: M_contra, now_ms: int, /) -> R_co: ...


Walk: TypeAlias = Callable[[Ask, M], Coroutine[Any, Any, R]]
"""Asks parties in turn. It awaits nothing else, so that it runs with mailboxes and without."""


class Kind(enum.Enum):
    """What a row does with its machine; see the module's text."""

    READS = "reads"
    CHANGES = "changes"
    TELLS = "tells"
    HOLDS = "holds"


@attrs.frozen
class Row(Generic[S]):
    """One message of a machine. Of `step` and `walk` there is one."""

    kind: Kind
    step: Step[S, Any, Any] | None = None
    walk: Walk[Any, Any] | None = None


@attrs.frozen
class Register(Generic[S, M, R]):
    """The second half of `table.changes(Message)(step)`: there a wrong reply is a type error."""

    table: Table[S]
    message: type
    kind: Kind

    def __call__(self, step: Callable[[S, M, int], R]) -> Callable[[S, M, int], R]:
        self.table.add(self.message, Row(self.kind, step=step))
        return step


@attrs.frozen
class RegisterWalk(Generic[M, R]):
    """The second half of `table.holds(Message)(walk)` and of `walks(Message)(walk)`."""

    add: Callable[[Walk[Any, Any]], None]

    def __call__(self, walk: Walk[M, R]) -> Walk[M, R]:
        self.add(walk)
        return walk


@attrs.frozen(eq=False)
class Table(Generic[S]):
    """The rows of one machine. `validate` raises InvariantViolated, naming what is inconsistent."""

    party: Party
    validate: Callable[[S], None]
    rows: dict[type, Row[S]] = attrs.field(factory=dict)

    def add(self, message: type, row: Row[S]) -> None:
        """Raises InvariantViolated: the message has a row already."""
        if message in self.rows:
            raise InvariantViolated(f"{self.party.value} has two rows for {message.__name__}")
        self.rows[message] = row

    def reads(self, message: type[Sendable[M, R]]) -> Register[S, M, R]:
        return Register(self, message, Kind.READS)

    def changes(self, message: type[Sendable[M, R]]) -> Register[S, M, R]:
        return Register(self, message, Kind.CHANGES)

    def tells(self, message: type[Sendable[M, R]]) -> Register[S, M, R]:
        return Register(self, message, Kind.TELLS)

    def holds(self, message: type[Sendable[M, R]]) -> RegisterWalk[M, R]:
        return RegisterWalk(lambda walk: self.add(message, Row(Kind.HOLDS, walk=walk)))


@attrs.define  # made by each step: a frozen one takes twice as long
class Outcome(Generic[R]):
    """The reply of one step, and what others must be told, in this order."""

    reply: R
    notices: tuple[Notice, ...] = ()


class Machine(Generic[S]):
    """One machine at work."""

    def __init__(self, table: Table[S], state: S) -> None:
        self.party = table.party
        self.state = state
        self.walks: Mapping[type, Walk[Any, Any]] = {
            message: row.walk for message, row in table.rows.items() if row.walk is not None
        }
        """By message: those that are answered while the machine is held, and by no step."""
        self._table = table
        self._rows = table.rows

    @property
    def version(self) -> int:
        """Grows exactly when the state changes."""
        return self.state.version

    def step(self, message: Request[R], now_ms: int) -> Outcome[R]:
        """Raises what the step raises; InvariantViolated: no step of this machine takes it."""
        row = self._rows.get(type(message))
        if row is None or row.step is None:
            raise InvariantViolated(f"{self.party.value} has no step for {type(message).__name__}")
        state = self.state
        reply: R = row.step(state, message, now_ms)
        if not state.notices:
            return Outcome(reply)
        notices = tuple(state.notices)
        state.notices.clear()
        if row.kind is not Kind.TELLS:
            self._check_notices(row.kind, message, notices)
        return Outcome(reply, notices)

    def _check_notices(
        self, kind: Kind, message: Request[Any], notices: tuple[Notice, ...]
    ) -> None:
        """Raises InvariantViolated: a row of this kind leaves no such notice."""
        for notice in notices:
            if kind is Kind.READS or not isinstance(notice, Removal):
                raise InvariantViolated(
                    f"{self.party.value} {kind.value} with {type(message).__name__}, and "
                    f"{type(notice).__name__} came of it: only a row that tells may leave that"
                )

    def validate_state(self) -> None:
        """Raises InvariantViolated, naming what is inconsistent."""
        self._table.validate(self.state)
