"""Small codecs and how they combine: each both reads a JSON value and writes it.

A shape that is declared once, for both directions, cannot read what it does not write.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from ffq.plan.codec.cursor import Budget, Cursor, Json, shown

T = TypeVar("T")
U = TypeVar("U")
E = TypeVar("E", bound=enum.Enum)

MAX_U64 = 2**64 - 1
MAX_I64 = 2**63 - 1
MAX_F64 = 1.7976931348623157e308
MAX_F32 = 3.4028234663852886e38


@attrs.frozen
class Codec(Generic[T]):
    """`read` raises InvalidPlan with the cursor's path; `write` gives what `json.dumps` takes."""

    read: Callable[[Cursor], T]
    write: Callable[[T, Budget], Json]


def _as_is(value: Json, _budget: Budget) -> Json:
    return value


STRING: Codec[str] = Codec(Cursor.string, _as_is)
NAME: Codec[str] = Codec(Cursor.name, _as_is)
BOOLEAN: Codec[bool] = Codec(Cursor.boolean, _as_is)
FLOAT64: Codec[float] = Codec(lambda cursor: cursor.number(MAX_F64), _as_is)
FLOAT32: Codec[float] = Codec(lambda cursor: cursor.number(MAX_F32), _as_is)


def integer(minimum: int, maximum: int) -> Codec[int]:
    return Codec(lambda cursor: cursor.integer(minimum, maximum), _as_is)


def enumeration(kind: type[E], what: str) -> Codec[E]:
    """An enum whose values are the wire's names, without payload."""
    variants = {str(member.value): unit(member) for member in kind}
    return variants_of(what, variants, lambda member: str(member.value))


def choice(what: str, *names: str) -> Codec[str]:
    """One of a few names, without payload; a string in the model."""
    return variants_of(what, {name: unit(name) for name in names}, lambda name: name)


def optional(inner: Codec[T]) -> Codec[T | None]:
    """The value or null."""
    return Codec(
        lambda cursor: None if cursor.value is None else inner.read(cursor),
        lambda value, budget: None if value is None else inner.write(value, budget),
    )


def listing(inner: Codec[T]) -> Codec[tuple[T, ...]]:
    """An array of any length; a tuple in the model."""
    return Codec(
        lambda cursor: tuple(inner.read(item) for item in cursor.items()),
        lambda values, budget: [inner.write(value, budget) for value in values],
    )


def pair(first: Codec[T], second: Codec[U], what: str) -> Codec[tuple[T, U]]:
    """A two-element array."""

    def read(cursor: Cursor) -> tuple[T, U]:
        left, right = cursor.exactly(2, f"a pair [{what}]")
        return first.read(left), second.read(right)

    return Codec(
        read, lambda value, budget: [first.write(value[0], budget), second.write(value[1], budget)]
    )


def positional(*items: Codec[Any], what: str) -> Codec[tuple[Any, ...]]:
    """An array with one codec for each place."""

    def read(cursor: Cursor) -> tuple[Any, ...]:
        places = cursor.exactly(len(items), f"an array [{what}]")
        return tuple(item.read(place) for item, place in zip(items, places, strict=True))

    def write(values: tuple[Any, ...], budget: Budget) -> Json:
        return [item.write(value, budget) for item, value in zip(items, values, strict=True)]

    return Codec(read, write)


def single(inner: Codec[Any]) -> Codec[tuple[Any, ...]]:
    """A bare value; a tuple of one in the model."""
    return Codec(
        lambda cursor: (inner.read(cursor),),
        lambda values, budget: inner.write(values[0], budget),
    )


def convert(inner: Codec[U], make: Callable[[U], T], take: Callable[[T], U]) -> Codec[T]:
    """`inner`, with another value in the model."""
    return Codec(
        lambda cursor: make(inner.read(cursor)),
        lambda value, budget: inner.write(take(value), budget),
    )


_REQUIRED: Any = object()


@attrs.frozen
class Key:
    """One key of a record. `attribute` is its name in the model, where that is another one.

    A key with a default may be absent.
    """

    name: str
    codec: Codec[Any]
    attribute: str = attrs.field(
        default=attrs.Factory(lambda self: self.name, takes_self=True), kw_only=True
    )
    default: Json = attrs.field(default=_REQUIRED, kw_only=True)

    def read(self, cursor: Cursor) -> Any:
        if self.default is _REQUIRED:
            return self.codec.read(cursor.field(self.name))
        return self.codec.read(cursor.field(self.name, default=self.default))


def record(make: Callable[..., T], *keys: Key) -> Codec[T]:
    """An object; keys that are not listed are ignored."""

    def read(cursor: Cursor) -> T:
        return make(**{key.attribute: key.read(cursor) for key in keys})

    def write(value: T, budget: Budget) -> Json:
        return {key.name: key.codec.write(getattr(value, key.attribute), budget) for key in keys}

    return Codec(read, write)


def unit(value: T) -> Codec[T]:
    """A variant without payload."""

    def read(cursor: Cursor) -> T:
        expect_no_payload(cursor)
        return value

    return Codec(read, lambda _value, _budget: None)


def expect_no_payload(cursor: Cursor) -> None:
    if cursor.value is not None:
        cursor.fail(f"takes no value, got {shown(cursor.value)}")


def read_variant(what: str, variants: Mapping[str, Codec[T]], cursor: Cursor) -> tuple[str, T]:
    """The variant's name and what its payload reads as."""
    name, payload = cursor.variant(what)
    codec = variants.get(name)
    if codec is None:
        cursor.fail(f"unknown {what} {shown(name)}; known: {', '.join(variants)}")
    return name, codec.read(payload)


def write_variant(name: str, codec: Codec[T], value: T, budget: Budget) -> Json:
    """`{"Name": payload}`, or `"Name"` where there is no payload."""
    payload = codec.write(value, budget)
    return name if payload is None else {name: payload}


def variants_of(
    what: str, variants: Mapping[str, Codec[Any]], name_of: Callable[[T], str]
) -> Codec[T]:
    """An enum whose variants carry their own kinds of values; `name_of` tells them apart."""

    def write(value: T, budget: Budget) -> Json:
        name = name_of(value)
        return write_variant(name, variants[name], value, budget)

    return Codec(lambda cursor: read_variant(what, variants, cursor)[1], write)
