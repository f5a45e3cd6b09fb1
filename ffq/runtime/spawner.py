"""`spawn`, the same for the system and for an actor's context."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

from ffq.runtime._checks import check_instance
from ffq.runtime._options import DEFAULT_MAILBOX, DEFAULT_OPTIONS, DEFAULT_STASH, Options
from ffq.runtime._start import start_child
from ffq.runtime.errors import InvalidOption
from ffq.runtime.pool import Pool, PoolRef, RoundRobin, Routing
from ffq.runtime.ref import ActorRef
from ffq.runtime.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import Callable

    from ffq.runtime._actor_base import ActorBase
    from ffq.runtime._family import Family

M = TypeVar("M")
Ts = TypeVarTuple("Ts")


class Spawner:
    """Something that can have children."""

    __slots__ = ()

    @property
    def _family(self) -> Family:
        raise AttributeError(f"{type(self).__qualname__} has no family")

    async def spawn(
        self,
        factory: Callable[[Unpack[Ts]], ActorBase[M]],
        *args: *Ts,
        name: str | None = None,
        mailbox: int = DEFAULT_MAILBOX,
        max_concurrency: int = 1,
        stash: int = DEFAULT_STASH,
        supervision: Supervision | None = None,
        get_if_exists: bool = False,
    ) -> ActorRef[M]:
        """Start an actor as a child and return its ref when it is ready (A1).

        `factory` is called with `args`, now and at every restart: an actor class, or a function
        that makes one (`functools.partial` for keyword arguments). `mailbox` and `stash` are
        bounds in messages. With `max_concurrency` above 1, handlers that wait run side by side.
        `supervision` overrides the parent's policy for failures of this child. `get_if_exists`
        returns the living child of that name, if there is one.

        Raises what the start raised, NameTaken, InvalidOption, SystemClosed.
        """
        options = Options(mailbox, max_concurrency, stash, supervision)
        return ActorRef(
            await start_child(self._family, factory, args, name, options, get_if_exists)
        )

    async def spawn_pool(
        self,
        factory: Callable[[Unpack[Ts]], ActorBase[M]],
        *args: *Ts,
        size: int,
        routing: Routing | None = None,
        name: str | None = None,
        mailbox: int = DEFAULT_MAILBOX,
        max_concurrency: int = 1,
        stash: int = DEFAULT_STASH,
        supervision: Supervision | None = None,
    ) -> PoolRef[M]:
        """Start `size` actors alike and return one ref to all of them (A10).

        `routing` picks the member for each message, round-robin if not given. The bounds are those
        of each member; `supervision` is how the pool treats a member's failure.

        Raises what `spawn` raises, InvalidOption.
        """
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidOption(
                f"{self._family.path}/{name or 'pool'}: a pool of size={size!r} must have 1 or more"
            )
        who = f"{self._family.path}/{name or 'pool'}"
        if routing is not None:
            check_instance(f"{who}: routing", routing, Routing)
        if supervision is not None:
            check_instance(f"{who}: supervision", supervision, Supervision)
        options = Options(mailbox, max_concurrency, stash)
        options.check(who)
        policy = supervision or Supervision()
        make = partial(Pool, factory, args, size, options, policy)
        cell = await start_child(self._family, make, (), name, DEFAULT_OPTIONS, False)
        return PoolRef(cell, routing or RoundRobin())
