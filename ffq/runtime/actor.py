"""The base class of actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ffq.runtime._actor_base import ActorBase
from ffq.runtime.context import ActorContext
from ffq.runtime.errors import NotStarted

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ffq.runtime._cell import Cell

    M_contra = TypeVarWithDefault("M_contra", contravariant=True, default=Any)
else:
    M_contra = TypeVar("M_contra", contravariant=True)


class Actor(ActorBase[M_contra]):
    """An object whose methods run one message at a time, in a task of its own.

    Declare the protocol as the type parameter, `class Counter(Actor[Add | Get])`, and write one
    method decorated with `handles` per message, async or plain. A message of the protocol without
    a handler is a MissingHandler when the class is defined. Handlers outside of the protocol are
    private: a ref from `spawn` does not take them, `self.ctx.ref` does.

    `supervision` says what happens when a child of this actor fails.
    """

    @property
    def ctx(self) -> ActorContext:
        """The actor's link to its system. Raises NotStarted before `on_start`."""
        ctx: ActorContext | None = self._ctx
        if ctx is None:
            raise NotStarted(
                f"{type(self).__qualname__} has no context: no system has started this object; "
                "use `spawn`, and `on_start` instead of `__init__` for what needs the context"
            )
        return ctx

    def _context_of(self, cell: Cell) -> ActorContext:
        return ActorContext(cell)
