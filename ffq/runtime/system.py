"""The actor system: the scope in which actors live."""

from __future__ import annotations

from math import inf
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import trio

from ffq.errors import words
from ffq.runtime._checks import check_instance, check_seconds
from ffq.runtime._failures import has_cancelled
from ffq.runtime._family import Family
from ffq.runtime._portal import Portal
from ffq.runtime._system_base import SystemBase
from ffq.runtime._words import note
from ffq.runtime.errors import (
    ActorNotFound,
    InvalidOption,
    LedgerMismatch,
    SystemClosed,
)
from ffq.runtime.hooks import Hooks
from ffq.runtime.introspection import ActorInfo, PendingAsk, describe, pending_asks, render
from ffq.runtime.ledger import Ledger
from ffq.runtime.ref import ActorRef
from ffq.runtime.spawner import Spawner
from ffq.runtime.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

    from ffq.runtime._actor_base import ActorBase
    from ffq.runtime._cell import Cell

M = TypeVar("M")


class ActorSystem(SystemBase, Spawner):
    """The top of a tree of actors, as an async context manager.

    Leaving the block stops the top actors, the last started first, and waits for every actor;
    when the block is left by an exception or a cancellation they are killed instead. Either way
    nothing is left running. A failure that no supervision absorbs cancels the block and comes out
    of it as ActorFailed.

    Args:
        name: shown in messages.
        supervision: what happens when a top actor fails; by default nothing is restarted.
        debug: check reply types and message payloads at every message.
        hooks: called at starts, ends, failures, messages and dead letters.
        stop_timeout: seconds; whoever has not ended so long after the block was left is killed.
    """

    def __init__(
        self,
        name: str = "actors",
        *,
        supervision: Supervision | None = None,
        debug: bool = False,
        hooks: Hooks | None = None,
        stop_timeout: float = inf,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise InvalidOption(f"an actor system needs a non-empty name, not {words(name)}")
        if supervision is not None:
            check_instance(f"the system {name}: supervision", supervision, Supervision)
        if hooks is not None:
            check_instance(f"the system {name}: hooks", hooks, Hooks)
        check_seconds(f"the system {name}: stop_timeout", stop_timeout)
        super().__init__(name, debug, hooks)
        self._stop_timeout = stop_timeout
        self._supervision = supervision or Supervision()
        self._errors: list[Exception] = []
        self._manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._top: Family | None = None

    @property
    def _family(self) -> Family:
        if self._top is None or self.closed:
            state = "closed" if self.closed else "not open: use `async with`"
            raise SystemClosed(f"the system {self.name} is {state}")
        return self._top

    async def __aenter__(self) -> Self:
        if self._manager is not None:
            raise SystemClosed(f"the system {self.name} was used already; make a new one")
        self.thread = get_ident()
        self._manager = trio.open_nursery()
        nursery = await self._manager.__aenter__()
        self._top = Family(self, self, "", nursery, self._supervision)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._manager is not None
        assert self._top is not None
        self.stopping = True
        # Trio rebuilds groups that pass a nursery. What holds no cancellation need not pass, and so
        # leaves the block as the very object the body raised.
        own = error if error is not None and not has_cancelled(error) else None
        outcome = error if own is None else None
        if error is None:
            try:
                with trio.move_on_after(self._stop_timeout):
                    await self._top.stop_all()
                for cell in self._cells():
                    cell.kill()
            except BaseException as stopped:  # noqa: BLE001  # handed to the nursery below
                outcome = stopped
        self._top.nursery.cancel_scope.cancel()
        left: BaseException | None = own
        try:
            swallowed = await self._manager.__aexit__(
                type(outcome) if outcome else None,
                outcome,
                outcome.__traceback__ if outcome else None,
            )
            if not swallowed:
                left = left or outcome
        except BaseException as raised:  # noqa: BLE001  # sorted out below
            left = raised if own is None else BaseExceptionGroup("", [own, raised])
        self.closed = True
        self.dead_letters.close()
        for free in self.at_end:
            free()
        try:
            self.ledger.check()
        except LedgerMismatch as mismatch:
            self._errors.append(mismatch)
        self._leave(error, left)

    def _leave(self, error: BaseException | None, left: BaseException | None) -> None:
        """Raise what must leave the block in place of the body's own error.

        A cancellation from outside leaves as one Cancelled, and not beside an error.
        """
        leaves = [*self._errors, *_leaves(left, error)]
        found = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)] or leaves
        if found and isinstance(found[0], trio.Cancelled):
            found = [error] if isinstance(error, trio.Cancelled) else found[:1]
        others = [leaf for leaf in found if leaf is not error]
        if not others:
            return
        try:
            if len(found) == 1:
                raise found[0]
            raise BaseExceptionGroup(f"the system {self.name} failed", found)
        finally:
            del found, others, error, left, leaves

    def takes_children(self) -> bool:
        """False once the block is being left."""
        return not self.stopping

    def fail(self, error: Exception, doing: str) -> None:
        """A failure has gone up to the top: everything ends and the block raises it (A6)."""
        note(error, f"left the system {self.name} while {doing}")
        self._errors.append(error)
        if self._top is not None:
            self._top.nursery.cancel_scope.cancel()

    def portal(self) -> Portal:
        """A way in for other threads, asyncio and synchronous code (A13).

        Raises WrongThread, SystemClosed.
        """
        nursery = self._family.nursery
        self.check_thread("portal()")
        return Portal(self, nursery)

    def tree(self) -> tuple[ActorInfo, ...]:
        """The top actors with all below them, as they are now (A12)."""
        return tuple(describe(cell) for cell in self._cells())

    def render_tree(self) -> str:
        """The tree of actors as aligned text (A12)."""
        return render(self.name, self.tree())

    def pending_asks(self) -> tuple[PendingAsk, ...]:
        """Every ask in the system that has no reply yet (A12)."""
        return tuple(pending_asks(self._cells_below()))

    @property
    def ledger(self) -> Ledger:
        """What became of every message so far, those of living actors too (A11).

        Read it again for later counts: this adds them up as they are now.
        """
        total = Ledger()
        self.books.enter_into(total)
        for cell in self._cells_below():
            cell.enter_into(total)
        return total

    def _cells(self) -> tuple[Cell, ...]:
        return () if self._top is None else tuple(self._top.children.values())

    def _cells_below(self) -> Iterator[Cell]:
        """Every living actor, parents first; without recursion, for trees are deep."""
        todo = list(reversed(self._cells()))
        while todo:
            cell = todo.pop()
            yield cell
            todo.extend(reversed(cell.children()))

    @overload
    def get_actor(self, path: str) -> ActorRef[Any]: ...

    @overload
    def get_actor(self, path: str, kind: type[ActorBase[M]]) -> ActorRef[M]: ...

    def get_actor(self, path: str, kind: type[ActorBase[Any]] | None = None) -> ActorRef[Any]:
        """The living actor at a path, "/bank/account-7", or a top actor by its name (A9).

        Raises ActorNotFound, also when the actor is not of class `kind`; InvalidOption.
        """
        ref = self.find_actor(path, kind)
        if ref is None:
            what = f" of class {kind.__qualname__}" if kind else ""
            raise ActorNotFound(f"the system {self.name} has no actor {path!r}{what}")
        return ref

    def find_actor(
        self, path: str, kind: type[ActorBase[Any]] | None = None
    ) -> ActorRef[Any] | None:
        """Like `get_actor`, but None when there is no such actor. Raises InvalidOption."""
        check_instance(f"the system {self.name}: an actor's path", path, str)
        if kind is not None:
            check_instance(f"the system {self.name}: the class of an actor", kind, type)
        children = {} if self._top is None else self._top.children
        cell: Cell | None = None
        for part in path.removeprefix("/").split("/"):
            cell = children.get(part)
            if cell is None:
                return None
            children = {} if cell.family is None else cell.family.children
        if cell is None or (kind is not None and not issubclass(cell.kind, kind)):
            return None
        return cell.ref


def _leaves(error: BaseException | None, whole: BaseException | None) -> list[BaseException]:
    """The exceptions in a nest of groups, in order; `whole` is not taken apart."""
    if error is None:
        return []
    if isinstance(error, BaseExceptionGroup) and error is not whole:
        return [leaf for part in error.exceptions for leaf in _leaves(part, whole)]
    return [error]
