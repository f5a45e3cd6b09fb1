"""The checks of debug mode: replies have their declared type, messages carry nothing mutable."""

from __future__ import annotations

import types
import typing
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

import attrs

from ffq.errors import words
from ffq.runtime.errors import MutablePayload, WrongReplyType
from ffq.runtime.message import Request

_MUTABLE = (list, dict, set, bytearray)


@lru_cache(maxsize=1024)
def reply_type(kind: type) -> Any:
    """The R of `class Kind(Request[R])`, or Any when it cannot be told at run time."""
    for owner in kind.__mro__:
        for base in owner.__dict__.get("__orig_bases__", ()):
            if typing.get_origin(base) is Request:
                (reply,) = typing.get_args(base)
                if isinstance(reply, typing.ForwardRef):
                    return _resolve(reply, owner)
                return reply
    return Any


def _resolve(reference: typing.ForwardRef, owner: type) -> Any:
    holder = types.new_class("holder")
    holder.__module__ = owner.__module__
    holder.__annotations__ = {"reply": reference.__forward_arg__}
    try:
        return typing.get_type_hints(holder)["reply"]
    except NameError:
        return Any


def _matches(value: object, expected: Any) -> bool:
    """isinstance for the types that can be checked at a glance; containers not into the depth."""
    while typing.get_origin(expected) is typing.Annotated:
        expected = expected.__origin__
    if expected is None:
        return value is None
    if expected is Any or isinstance(expected, TypeVar):
        return True
    if expected is float:
        return isinstance(value, float | int)
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Union or origin is types.UnionType:
        return any(_matches(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    return _is_instance(value, origin or expected)


def _is_instance(value: object, target: Any) -> bool:
    if not isinstance(target, type) or getattr(target, "_is_protocol", False):
        return True
    with suppress(TypeError):  # a TypedDict: a class without instances
        return isinstance(value, target)
    return True


def check_reply(path: str, message: Any, value: object) -> None:
    """Raise WrongReplyType, naming actor, message and both types, unless the reply fits."""
    expected = reply_type(message.__class__)
    if not _matches(value, expected):
        name = getattr(expected, "__qualname__", str(expected))
        raise WrongReplyType(
            f"{path}: the handler of {type(message).__qualname__} returned {words(value)}, a "
            f"{type(value).__qualname__}; the message declares Request[{name}]"
        )


def check_payload(path: str, message: Any) -> None:
    """Raise MutablePayload when a field of a message holds a mutable container."""
    for field in attrs.fields(type(message)):
        value = getattr(message, field.name)
        if isinstance(value, _MUTABLE):
            raise MutablePayload(
                f"{path}: {type(message).__qualname__}.{field.name} is a "
                f"{type(value).__qualname__}; messages hold no mutable object: use a tuple, "
                "frozenset, bytes or a frozen class"
            )
