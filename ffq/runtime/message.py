"""Messages: frozen attrs classes that name the type of their reply. Pure: no Trio here.

    @attrs.frozen
    class Add(Request[int]):      # the reply is an int
        n: int

    @attrs.frozen
    class Reset(Request[None]):   # a command: the reply is None
        ...

`Sendable` is what makes `await ref.ask(Add(5))` an `int` for a type checker and at the same time
refuses a message that the actor behind `ref` never declared. A method needs two facts about its
argument, "is one of M" and "is a Request[R]", and Python has no intersection types. Both facts are
read from two methods that every message has for the type checker only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from typing import Self

R_co = TypeVar("R_co", covariant=True)
M_co = TypeVar("M_co", covariant=True)


class Request(Generic[R_co]):
    """Base of every message; `R_co` is the type of the reply.

    Subclasses are decorated with `attrs.frozen`. Set the class variable `detached` to True on a
    message whose handler must finish even when nobody waits for the reply any more: by default a
    handler is cancelled when its asker is cancelled or times out.
    """

    __slots__ = ()

    detached: ClassVar[bool] = False

    if TYPE_CHECKING:

        def __message__(self) -> Self: ...

        def __reply__(self) -> R_co: ...


class Sendable(Protocol[M_co, R_co]):
    """For type checkers: a message that is an `M_co` and whose reply is an `R_co`."""

    def __message__(self) -> M_co: ...

    def __reply__(self) -> R_co: ...
