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
    children: tuple[ActorInfo, ...] = attrs.field(repr=lambda below: f"<{len(below)}>")

    def walk(self) -> Iterator[ActorInfo]:
        """This actor and all below it, parents first."""
        for actor, _ in _walk([self]):
            yield actor


@attrs.frozen
class PendingAsk:
    """An ask without a reply yet; `asker` is the Trio task that waits, "posted" where none does."""

    target: str
    message: Any
    asker: str


def describe(cell: Cell) -> ActorInfo:
    """The subtree of one actor. Without recursion, as all here: trees are deep."""
    below: dict[Cell, ActorInfo] = {}
    cells = [cell]
    for each in cells:  # grows: parents before their children
        cells.extend(each.children())
    for each in reversed(cells):
        below[each] = _describe(each, tuple(below[child] for child in each.children()))
    return below[cell]


def _describe(cell: Cell, children: tuple[ActorInfo, ...]) -> ActorInfo:
    return ActorInfo(
        path=cell.path,
        kind=cell.kind.__name__,
        state=cell.life.state,
        mailbox=cell.queued(),
        capacity=cell.capacity,
        waiting_senders=len(cell.overflow or ()),
        handled=cell.handled,
        restarts=cell.restarts,
        age=trio.current_time() - cell.started_at,
        children=children,
    )


def pending_asks(cells: Iterable[Cell]) -> Iterator[PendingAsk]:
    """Every ask that waits for a reply in these actors."""
    for cell in cells:
        for envelope in cell.pending():
            if envelope.asks and envelope.awaited:
                asker = "posted" if envelope.task is None else envelope.task.name
                yield PendingAsk(cell.path, envelope.message, asker)


def render(name: str, actors: Iterable[ActorInfo]) -> str:
    """The tree as text, one aligned line per actor."""
    rows: list[tuple[str, ...]] = [
        ("actor", "class", "state", "mailbox", "handled", "restarts", "age s")
    ]
    rows.extend(_row(actor, depth) for actor, depth in _walk(actors))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"system {name}", *lines])


def _walk(actors: Iterable[ActorInfo]) -> Iterator[tuple[ActorInfo, int]]:
    """These and all below them with their depth, parents first."""
    todo = [(actor, 0) for actor in reversed(tuple(actors))]
    while todo:
        actor, depth = todo.pop()
        yield actor, depth
        todo.extend((child, depth + 1) for child in reversed(actor.children))


def _row(actor: ActorInfo, depth: int) -> tuple[str, ...]:
    waiting = f"+{actor.waiting_senders}" if actor.waiting_senders else ""
    return (
        "  " * depth + actor.path.rsplit("/", 1)[-1],
        actor.kind,
        actor.state.value,
        f"{actor.mailbox}{waiting}/{actor.capacity}",
        str(actor.handled),
        str(actor.restarts),
        f"{actor.age:.1f}",
    )
