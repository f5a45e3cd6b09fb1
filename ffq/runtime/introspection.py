"""What a system looks like from outside: the tree of actors, and who waits for what (A12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import trio

from ffq.runtime.lifecycle import State

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell


@attrs.frozen
class ActorInfo:
    """One actor at one moment. `mailbox`, `capacity` and `waiting_senders` count messages."""

    path: str
    kind: str
    state: State
    mailbox: int
    capacity: int
    waiting_senders: int
    handled: int
    restarts: int
    age: float
    """Seconds since spawn, on Trio's clock."""
    children: tuple[ActorInfo, ...]

    def walk(self) -> Iterator[ActorInfo]:
        """This actor and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@attrs.frozen
class PendingAsk:
    """An ask without a reply yet; `asker` is the Trio task that waits."""

    target: str
    message: Any
    asker: str


def describe(cell: Cell) -> ActorInfo:
    """The subtree of one actor."""
    return ActorInfo(
        path=cell.path,
        kind=cell.kind.__name__,
        state=cell.life.state,
        mailbox=len(cell.mailbox),
        capacity=cell.capacity,
        waiting_senders=len(cell.overflow or ()),
        handled=cell.handled,
        restarts=cell.restarts,
        age=trio.current_time() - cell.started_at,
        children=tuple(describe(child) for child in cell.children()),
    )


def pending_asks(cells: Iterable[Cell]) -> Iterator[PendingAsk]:
    """Every ask that waits for a reply in these actors and below."""
    for cell in cells:
        for envelope in cell.pending():
            if envelope.asks and envelope.task is not None:
                yield PendingAsk(cell.path, envelope.message, envelope.task.name)
        yield from pending_asks(cell.children())


def render(name: str, actors: Iterable[ActorInfo]) -> str:
    """The tree as text, one aligned line per actor."""
    rows: list[tuple[str, ...]] = [
        ("actor", "class", "state", "mailbox", "handled", "restarts", "age s")
    ]
    for actor in actors:
        rows.extend(_rows(actor, 0))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"system {name}", *lines])


def _rows(actor: ActorInfo, depth: int) -> Iterator[tuple[str, ...]]:
    waiting = f"+{actor.waiting_senders}" if actor.waiting_senders else ""
    yield (
        "  " * depth + actor.path.rsplit("/", 1)[-1],
        actor.kind,
        actor.state.value,
        f"{actor.mailbox}{waiting}/{actor.capacity}",
        str(actor.handled),
        str(actor.restarts),
        f"{actor.age:.1f}",
    )
    for child in actor.children:
        yield from _rows(child, depth + 1)
