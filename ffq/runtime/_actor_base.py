"""What the framework asks of an actor object; `Actor` adds what its author sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ffq.runtime._handlers import build_routes, check_hooks, check_protocol, declared_protocol
from ffq.runtime.errors import ProtocolError
from ffq.runtime.supervision import Supervision

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ffq.runtime._handlers import Routes

    M_contra = TypeVarWithDefault("M_contra", contravariant=True, default=Any)
else:
    M_contra = TypeVar("M_contra", contravariant=True)


class ActorBase(Generic[M_contra]):
    """An object with handlers, that starts and stops. The base of `Actor`; not for users."""

    supervision: Supervision = Supervision()

    __routes__: ClassVar[Routes] = {}
    __protocol__: ClassVar[frozenset[type]] = frozenset()
    _ctx: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_hooks(cls, ("on_start", "on_stop"))
        cls.__routes__ = build_routes(cls)
        cls.__protocol__ = declared_protocol(cls, ActorBase)
        check_protocol(cls, cls.__protocol__, cls.__routes__)

    def attach(self, cell: Any) -> None:
        """Called by the framework when it starts this object: once, an incarnation is a new object.

        `cell` is the actor's `Cell`, which stands above this module. Raises ProtocolError the
        second time.
        """
        if self._ctx is not None:
            raise ProtocolError(
                f"{cell.path}: the factory gave the object that is or was {self._ctx.path}; "
                f"it must make a new {type(self).__qualname__} each time"
            )
        self._ctx = self._context_of(cell)

    def _context_of(self, cell: Any) -> Any:
        """What this object knows of its cell: something with a `path`."""
        raise NotImplementedError

    async def on_start(self) -> None:
        """Runs before the first message; the actor is ready, and spawn returns, when it returns."""

    async def on_stop(self) -> None:
        """Runs at the end of every incarnation that had started, after its tasks and children.

        After a kill it runs in a cancelled scope, as a `finally` block would.
        """
