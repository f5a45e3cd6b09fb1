"""Who waits for whom: refuses a wait that would wait on itself, through any chain (A8).

The graph is not stored: it is read off the envelopes. A running handler knows what it waits for
(`Envelope.waits`); a queued message waits until one of the handlers that fill its actor's slots
finishes; waiting for an actor's end waits for all its handlers; an actor that is down for a restart
in a group waits for whoever's turn it is. A wait closes a cycle when everything it could be freed
by is waiting, at the end of its chain, for the handler that is about to wait. Only waits made by
handlers are edges: a plain task holds nothing another actor needs.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ffq.runtime._envelope import DONE, QUEUED, Envelope, Node, handling
from ffq.runtime.errors import WaitCycle

Chain = tuple[Node, ...]
Search = Generator[Envelope | Node, Chain | None, Chain | None]
"""Part of a search: asks for the chain of other nodes, and returns its own."""


class waiting:  # noqa: N801  # reads as a verb: `with waiting(...)`
    """Record that the handler of the current task, if any, waits for `target`.

    Entering raises WaitCycle, naming the chain of actors, if that wait could never end. (A class:
    the context managers of contextlib write on the errors that pass, which frozen ones refuse.)
    """

    __slots__ = ("_doing", "_origin", "_target")

    def __init__(self, target: Envelope | Node, doing: str) -> None:
        self._target = target
        self._doing = doing
        self._origin = handling()

    def __enter__(self) -> None:
        if self._origin is not None:
            enter(self._origin, self._target, self._doing)

    def __exit__(self, *error: object) -> None:
        if self._origin is not None:
            leave(self._origin, self._target)


def enter(origin: Envelope, target: Envelope | Node, doing: str) -> None:
    """Add the edge origin → target. Raises WaitCycle if it closes a cycle."""
    chain: Chain | None = None
    if not (isinstance(target, Envelope) and target.status == QUEUED) or target.cell.slots_full():
        chain = _Search(origin).chain(target)  # seldom: most mail finds its actor idle
    if chain:
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


def leave(origin: Envelope, target: Envelope | Node) -> None:
    """Remove the edge origin → target."""
    if origin.waits is not None:
        origin.waits.remove(target)


class _Search:
    """Looks for the actors between a node and `origin`, if the node cannot go on before `origin`.

    Every result is None (the node can go on), or a chain of actors. A chain is empty when the node
    waits for something that is being looked at already: that alone frees nobody.
    """

    __slots__ = ("_free", "_open", "_origin", "_stuck")

    def __init__(self, origin: Envelope) -> None:
        self._origin = origin
        self._open: set[int] = set()
        self._free: set[int] = set()
        self._stuck: dict[int, Chain] = {}

    def chain(self, node: Envelope | Node) -> Chain | None:
        """The chain of one node.

        Works off generators, not calls: asks may be chained deeper than Python's stack.
        """
        stack = [self._chain(node)]
        result: Chain | None = None
        while stack:
            try:
                following = stack[-1].send(result)
            except StopIteration as done:
                stack.pop()
                result = done.value
            else:
                stack.append(self._chain(following))
                result = None
        return result

    def _chain(self, node: Envelope | Node) -> Search:
        if node is self._origin:
            return (self._origin.cell,)
        # All mail queued for one actor waits for the same thing: the actor stands for it, apart
        # from the wait for its end.
        queued = isinstance(node, Envelope) and node.status == QUEUED
        key = -id(node.cell) if isinstance(node, Envelope) and queued else id(node)
        if key in self._free:
            return None
        if key in self._open:
            return ()
        if key in self._stuck:
            return self._stuck[key]
        self._open.add(key)
        found = yield from self._look(node)
        self._open.discard(key)
        if found is None:
            self._free.add(key)
            # What was stuck may have been so only because this node was taken to be stuck.
            self._stuck.clear()
        else:
            self._stuck[key] = found
        return found

    def _look(self, node: Envelope | Node) -> Search:
        if not isinstance(node, Envelope):
            return _through(node, (yield from self._any_of([*node.handlers(), *node.children()])))
        if node.status == QUEUED:
            return (yield from self._queue(node.cell))
        if node.status == DONE or node.waits is None:
            return None
        return _through(node.cell, (yield from self._any_of(node.waits)))

    def _queue(self, cell: Node) -> Search:
        """Queued mail is stuck when every slot of its actor is taken by a stuck handler."""
        if not cell.slots_full():
            return None
        best: Chain | None = None
        for handler in cell.handlers():
            found = yield handler
            if found is None:
                return None
            best = best or found
        return _through(cell, best)

    def _any_of(self, nodes: Sequence[Envelope | Node]) -> Search:
        """A handler with several waits, or an end with several handlers, needs all of them."""
        best: Chain | None = None
        for node in nodes:
            found = yield node
            if found:
                return found
            best = found if best is None else best
        return best


def _through(cell: Node, chain: Chain | None) -> Chain | None:
    if not chain or chain[0] is cell:
        return chain
    return (cell, *chain)
