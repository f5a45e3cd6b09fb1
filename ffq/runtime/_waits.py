"""Who waits for whom: refuses a wait that would wait on itself, through any chain (A8).

The graph is not stored: it is read off the envelopes. A running handler knows what it waits for
(`Envelope.waits`); a queued message waits until one of the handlers that fill its actor's slots
finishes; waiting for an actor's end waits for all its handlers. A wait closes a cycle when
everything it could be freed by is waiting, at the end of its chain, for the handler that is about
to wait. Only waits made by handlers are edges: a plain task holds nothing another actor needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ffq.runtime._envelope import DONE, QUEUED, Envelope, handling
from ffq.runtime.errors import WaitCycle

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell

Chain = tuple["Cell", ...]


@contextmanager
def waiting(target: Envelope | Cell, doing: str) -> Iterator[None]:
    """Record that the handler of the current task, if any, waits for `target`.

    Raises WaitCycle, naming the chain of actors, if that wait could never end.
    """
    origin = handling()
    if origin is None:
        yield
        return
    enter(origin, target, doing)
    try:
        yield
    finally:
        leave(origin, target)


def enter(origin: Envelope, target: Envelope | Cell, doing: str) -> None:
    """Add the edge origin → target. Raises WaitCycle if it closes a cycle."""
    chain = _chain(target, origin, set())
    if chain is not None:
        path = (origin.cell.path, *(cell.path for cell in chain))
        raise WaitCycle(
            f"{origin.cell.path} would wait on itself: {' → '.join(path)} ({doing}); "
            "reply first and tell the rest, or give the actor a higher max_concurrency",
            path,
        )
    if origin.waits is None:
        origin.waits = [target]
    else:
        origin.waits.append(target)


def leave(origin: Envelope, target: Envelope | Cell) -> None:
    """Remove the edge origin → target."""
    if origin.waits is not None:
        origin.waits.remove(target)


def _chain(node: Envelope | Cell, origin: Envelope, seen: set[int]) -> Chain | None:
    """The actors from `node` to `origin` if `node` cannot go on before `origin` does."""
    if node is origin:
        return (origin.cell,)
    if id(node) in seen:
        return None
    seen.add(id(node))
    if not isinstance(node, Envelope):
        return _through(node, _any_of([*node.handlers(), *node.children()], origin, seen))
    if node.status == QUEUED:
        return _queued(node.cell, origin, seen)
    if node.status == DONE or node.waits is None:
        return None
    return _through(node.cell, _any_of(node.waits, origin, seen))


def _queued(cell: Cell, origin: Envelope, seen: set[int]) -> Chain | None:
    handlers = cell.handlers()
    if not cell.slots_full():
        return None
    chains = [_chain(handler, origin, seen) for handler in handlers]
    if not chains or any(chain is None for chain in chains):
        return None
    return chains[0] if handlers[0] is origin else _through(cell, chains[0])


def _any_of(nodes: Sequence[Envelope | Cell], origin: Envelope, seen: set[int]) -> Chain | None:
    for node in nodes:
        chain = _chain(node, origin, seen)
        if chain is not None:
            return chain
    return None


def _through(cell: Cell, chain: Chain | None) -> Chain | None:
    if chain is None:
        return None
    return chain if chain[0] is cell and len(chain) > 1 else (cell, *chain)
