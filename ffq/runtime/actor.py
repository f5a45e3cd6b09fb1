"""The base class of actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ffq.runtime._handlers import build_routes, check_protocol, declared_protocol
from ffq.runtime.context import ActorContext
from ffq.runtime.errors import NotStarted, ProtocolError
from ffq.runtime.supervision import Supervision

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ffq.runtime._cell import Cell
    from ffq.runtime._handlers import Routes

    M_contra = TypeVarWithDefault("M_contra", contravariant=True, default=Any)
else:
    M_contra = TypeVar("M_contra", contravariant=True)


class Actor(Generic[M_contra]):
    """An object whose methods run one message at a time, in a task of its own.

    Declare the protocol as the type parameter, `class Counter(Actor[Add | Get])`, and write one
    method decorated with `handles` per message, async or plain. A message of the protocol without
    a handler is a MissingHandler when the class is defined. Handlers outside of the protocol are
    private: a ref from `spawn` does not take them, `self.ctx.ref` does.

    `supervision` says what happens when a child of this actor fails.
    """

    supervision: Supervision = Supervision()

    __routes__: ClassVar[Routes] = {}
    __protocol__: ClassVar[frozenset[type]] = frozenset()
    _ctx: ActorContext | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__routes__ = build_routes(cls)
        cls.__protocol__ = declared_protocol(cls, Actor)
        check_protocol(cls, cls.__protocol__, cls.__routes__)

    @property
    def ctx(self) -> ActorContext:
        """The actor's link to its system. Raises NotStarted before `on_start`."""
        if self._ctx is None:
            raise NotStarted(
                f"{type(self).__qualname__} has no context: no system has started this object; "
                "use `spawn`, and `on_start` instead of `__init__` for what needs the context"
            )
        return self._ctx

    def attach(self, cell: Cell) -> None:
        """Called by the framework when it starts this object: once, an incarnation is a new object.

        Raises ProtocolError the second time.
        """
        if self._ctx is not None:
            raise ProtocolError(
                f"{cell.path}: the factory gave the object that is or was {self._ctx.path}; "
                f"it must make a new {type(self).__qualname__} each time"
            )
        self._ctx = ActorContext(cell)

    async def on_start(self) -> None:
        """Runs before the first message; the actor is ready, and spawn returns, when it returns."""

    async def on_stop(self) -> None:
        """Runs at the end of every incarnation that had started, after its tasks and children.

        After a kill it runs in a cancelled scope, as a `finally` block would.
        """
