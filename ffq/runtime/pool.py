"""Pools: several actors of one class behind one ref (A10)."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ffq.errors import words
from ffq.runtime._actor_base import ActorBase
from ffq.runtime._family import family_of
from ffq.runtime._start import start_child
from ffq.runtime.errors import ActorEnded, InvalidOption, SystemClosed
from ffq.runtime.lifecycle import State
from ffq.runtime.ref import ActorRef
from ffq.runtime.supervision import Supervision

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell
    from ffq.runtime._mailbox import MailboxCell
    from ffq.runtime._options import Options

M = TypeVar("M")


class Routing(ABC):
    """How a pool picks the member for a message. A routing object belongs to one pool."""

    @abstractmethod
    def pick(self, loads: Sequence[int], message: Any) -> int:
        """The index of the member to take; `loads` counts each member's queued and running."""


class RoundRobin(Routing):
    """One member after the other."""

    def __init__(self) -> None:
        self._next = -1

    def pick(self, loads: Sequence[int], message: Any) -> int:
        """The member after the last one taken."""
        self._next = (self._next + 1) % len(loads)
        return self._next


class LeastLoaded(Routing):
    """The member with the fewest messages queued and running; the first of equals."""

    def pick(self, loads: Sequence[int], message: Any) -> int:
        """The member with the smallest load."""
        return min(range(len(loads)), key=loads.__getitem__)


class ByKey(Routing):
    """Messages of one key always go to the same member, so they keep their order.

    `key` takes the message; the repr of what it returns decides, the same in every process. A
    member that is stopped or killed alone is not replaced, and the keys are dealt out anew.
    """

    def __init__(self, key: Callable[[Any], object]) -> None:
        self._key = key

    def pick(self, loads: Sequence[int], message: Any) -> int:
        """The member that owns the message's key."""
        return zlib.crc32(repr(self._key(message)).encode()) % len(loads)


class Pool(ActorBase[Any]):
    """The parent of a pool's members; it takes no messages itself."""

    _ctx: Cell

    def __init__(
        self,
        factory: Callable[..., ActorBase[Any]],
        args: tuple[Any, ...],
        size: int,
        options: Options,
        supervision: Supervision,
    ) -> None:
        self._factory = factory
        self._args = args
        self._size = size
        self._options = options
        self.supervision = supervision

    def _context_of(self, cell: Cell) -> Cell:
        return cell

    async def on_start(self) -> None:
        """Start the members, one after the other."""
        family = family_of(self._ctx)
        for number in range(self._size):
            await start_child(family, self._factory, self._args, str(number), self._options, False)


class _Loads(Sequence[int]):
    """Each member's load, counted when it is looked at: most routings look at none."""

    __slots__ = ("_members",)

    def __init__(self, members: Sequence[MailboxCell]) -> None:
        self._members = members

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [member.load() for member in self._members[index]]
        return self._members[index].load()

    def __repr__(self) -> str:
        return repr(self[:])


class PoolRef(ActorRef[M]):
    """A ref to a pool: each message goes to the member its routing picks, at the sending call.

    While the pool itself restarts or ends, every send raises ActorEnded.
    """

    __slots__ = ("_routing",)

    def __init__(self, cell: MailboxCell, routing: Routing) -> None:
        super().__init__(cell)
        self._routing = routing

    def _cell_for(self, message: Any) -> MailboxCell:
        if get_ident() != self._cell.system.thread:  # before the routing is asked, and moves on
            self._cell.system.check_thread(self.path)
        members = self._cell.children()
        # Not to those who are left of a pool that stops, or are there already of one that restarts:
        # a key would go to another member than before.
        if not members or not self._cell.accepting or self._cell.life.state is not State.RUNNING:
            self._cell.reject()
            closed = self._cell.system.closed
            kind = SystemClosed if closed else ActorEnded
            state = "its system is closed" if closed else self._cell.life.state.value
            raise kind(
                f"the pool {self.path} takes no messages now ({state}); "
                f"{type(message).__qualname__} was not sent"
            )
        picked = self._routing.pick(_Loads(members), message)
        if not isinstance(picked, int) or not 0 <= picked < len(members):
            raise InvalidOption(
                f"{self.path}: its routing, a {type(self._routing).__qualname__}, picked "
                f"{words(picked)} of {len(members)} members; right would be the index of one"
            )
        return members[picked]

    @property
    def members(self) -> tuple[ActorRef[M], ...]:
        """The members, in order of their number."""
        return tuple(ActorRef(member) for member in self._cell.children())
