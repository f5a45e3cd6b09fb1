"""`spawn`, the same for the system and for an actor's context."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

from ffq.runtime._options import DEFAULT_MAILBOX, DEFAULT_STASH, Options
from ffq.runtime.ref import ActorRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from ffq.runtime._family import Family
    from ffq.runtime.actor import Actor
    from ffq.runtime.supervision import Supervision

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
        factory: Callable[[Unpack[Ts]], Actor[M]],
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
        from ffq.runtime._spawn import spawn  # noqa: PLC0415

        options = Options(mailbox, max_concurrency, stash, supervision)
        cell = await spawn(self._family, factory, args, name, options, get_if_exists)
        return ActorRef(cell)
