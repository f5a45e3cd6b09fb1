"""The protocol of an actor class: which method takes which message, checked at class definition."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, overload

import attrs

from ffq.errors import words
from ffq.runtime.errors import (
    DuplicateHandler,
    MissingHandler,
    ProtocolError,
    UnfrozenMessage,
    UnhandledMessage,
)
from ffq.runtime.message import Request, Sendable

A = TypeVar("A")
M = TypeVar("M")
R = TypeVar("R")

Routes = dict[type, "Route"]
_MARK = "__ffq_handles__"


class Handles(Generic[M, R]):
    """The decorator that `handles(Message)` returns; a wrong signature is a type error."""

    __slots__ = ("_kind",)

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @overload
    def __call__(
        self, method: Callable[[A, M], Coroutine[Any, Any, R]]
    ) -> Callable[[A, M], Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, method: Callable[[A, M], R]) -> Callable[[A, M], R]: ...

    def __call__(self, method: Any) -> Any:
        if not inspect.isfunction(method):
            raise ProtocolError(
                f"handles({self._kind.__qualname__}) decorates a method, not {words(method)}"
            )
        setattr(method, _MARK, (*getattr(method, _MARK, ()), self._kind))
        return method


def handles(kind: type[Sendable[M, R]]) -> Handles[M, R]:
    """Mark a method, async or plain, as the handler of one message class.

    The method takes the message and returns its reply. `handles(Request)` takes every message
    that no other handler takes. Decorate twice to take two messages.

    Raises UnfrozenMessage for what is no class.
    """
    if not isinstance(kind, type):
        raise UnfrozenMessage(f"handles({words(kind)}): a handler is for a class of messages")
    return Handles(kind)


class Route:
    """Where a message class goes: the method's name and function, and whether it is detached."""

    __slots__ = ("attribute", "detached", "function", "kind")

    def __init__(self, attribute: str, function: Callable[[Any, Any], Any], kind: type) -> None:
        self.attribute = attribute
        self.function = function
        self.kind = kind
        self.detached: bool = getattr(kind, "detached", False)


def is_frozen_message(kind: type) -> bool:
    """True for an attrs-frozen subclass of Request (an undecorated subclass of one is not)."""
    return (
        issubclass(kind, Request)
        and "__attrs_attrs__" in kind.__dict__
        and attrs.inspect(kind).is_frozen
    )


def check_frozen(kind: type, owner: str) -> None:
    """Raise UnfrozenMessage, naming the message and `owner`, unless `kind` is frozen.

    Raises ProtocolError when `detached` is not said of the class.
    """
    if kind is type:
        raise UnfrozenMessage(
            f"{owner}: a class was sent; a message is a frozen object of it: Message()"
        )
    if not is_frozen_message(kind):
        raise UnfrozenMessage(
            f"{owner}: {kind.__qualname__} is not a message: it must be a subclass of "
            "Request[Reply] decorated with @attrs.frozen"
        )
    if not isinstance(getattr(kind, "detached", False), bool):
        raise ProtocolError(
            f"{owner}: {kind.__qualname__}.detached is a field of each message; it must be a class "
            "variable: detached: ClassVar[bool] = True"
        )


def build_routes(cls: type) -> Routes:
    """The handlers of an actor class, its own before those of its bases.

    Raises DuplicateHandler, UnfrozenMessage, ProtocolError for a handler that is a generator.
    """
    routes: Routes = {}
    for base in reversed(cls.__mro__):
        own: dict[type, str] = {}
        for attribute, value in vars(base).items():
            for kind in getattr(value, _MARK, ()):
                if kind in own:
                    raise DuplicateHandler(
                        f"{cls.__qualname__}: {own[kind]} and {attribute} both handle "
                        f"{kind.__qualname__}; one message has one handler"
                    )
                own[kind] = attribute
                if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
                    raise ProtocolError(
                        f"{cls.__qualname__}.{attribute} handles {kind.__qualname__} and has a "
                        "yield in it; a handler returns one reply"
                    )
        for kind, attribute in own.items():
            if kind is not Request:
                check_frozen(kind, cls.__qualname__)
            routes[kind] = Route(attribute, getattr(cls, attribute), kind)
    return {kind: Route(r.attribute, getattr(cls, r.attribute), kind) for kind, r in routes.items()}


def declared_protocol(cls: type, generic_base: type) -> frozenset[type]:
    """The messages named in `class X(Actor[A | B])`, or in the bases of X.

    Raises ProtocolError when the parameter is not made of classes.
    """
    found: set[type] = set()

    def visit(owner: type, arguments: tuple[object, ...]) -> None:
        parameters: tuple[object, ...] = getattr(owner, "__parameters__", ())
        values = dict(zip(parameters, arguments, strict=False))
        for base in owner.__dict__.get("__orig_bases__", owner.__bases__):
            origin = typing.get_origin(base) or base
            if not isinstance(origin, type) or not issubclass(origin, generic_base):
                continue
            if origin is generic_base:
                for argument in typing.get_args(base):
                    found.update(_flatten(argument, cls, values))
            else:
                visit(origin, tuple(_bind(part, values) for part in typing.get_args(base)))

    visit(cls, ())
    return frozenset(found)


def _bind(part: Any, values: dict[object, object]) -> object:
    """A type parameter with its type variables, alone or in a union, replaced by their values."""
    if part in values:
        return values[part]
    if isinstance(part, type):
        return part
    free = getattr(part, "__parameters__", ())
    return part[tuple(values.get(variable, variable) for variable in free)] if free else part


def _flatten(argument: object, cls: type, values: dict[object, object]) -> set[type]:
    """The classes in a union, also behind a type variable that a subclass has bound."""
    if argument in values:
        return _flatten(values[argument], cls, {})
    if isinstance(argument, TypeVar) or argument in (Any, typing.Never):
        return set()
    value = getattr(argument, "__value__", None)  # a `type X = A | B` alias of Python 3.12
    if value is not None:
        return _flatten(value, cls, values)
    if isinstance(argument, types.UnionType) or typing.get_origin(argument) is typing.Union:
        parts = typing.get_args(argument)
        return set().union(*(_flatten(part, cls, values) for part in parts))
    if isinstance(argument, type):
        return {argument}
    raise ProtocolError(
        f"{cls.__qualname__}: the protocol in Actor[...] must be message classes joined by |, "
        f"not {argument!r}"
    )


def check_protocol(cls: type, protocol: frozenset[type], routes: Routes) -> None:
    """Raise MissingHandler or UnfrozenMessage unless every message of `protocol` has a handler."""
    for kind in sorted(protocol, key=lambda kind: kind.__qualname__):
        check_frozen(kind, cls.__qualname__)
        if not any(base in routes for base in kind.__mro__):
            raise MissingHandler(
                f"{cls.__qualname__} declares {kind.__qualname__} but has no handler for it: "
                f"add a method decorated with @handles({kind.__qualname__})"
            )


def check_hooks(cls: type, names: tuple[str, ...]) -> None:
    """Raise ProtocolError for one of these methods that is plain: it is awaited, after it ran."""
    for name in names:
        method = inspect.unwrap(getattr(cls, name))
        if inspect.isfunction(method) and not inspect.iscoroutinefunction(method):
            raise ProtocolError(f"{cls.__qualname__}.{name} must be a coroutine: async def {name}")


def find_route(routes: Routes, message: object, path: str) -> Route:
    """The route of a message class met for the first time; remembered in `routes`.

    Raises UnfrozenMessage, UnhandledMessage; both name the actor's path and the message.
    """
    kind = type(message)
    check_frozen(kind, path)
    for base in kind.__mro__:
        route = routes.get(base)
        if route is not None:
            routes[kind] = Route(route.attribute, route.function, kind)
            return routes[kind]
    known = ", ".join(sorted(kind.__qualname__ for kind in routes)) or "no message at all"
    raise UnhandledMessage(f"{path} takes {known}; it has no handler for {kind.__qualname__}")
