"""The config of an operator, read by the types that its parameters declare.

On the wire config is text by key. A `str` parameter takes the text as it is; any other takes it as
JSON: `0.5`, `true`, `[1, 2]`, `null`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from ffq.errors import PlanningError, StartupError

_SCALARS: Final = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
}
_MAPPINGS: Final = (Mapping, dict, typing.Mapping)
RESERVED: Final = frozenset({"over", "returns"})
"""What `op(...)` in SQL takes for itself."""


class _Unfit(Exception):
    """A value of another type."""


@attrs.frozen
class Parameter:
    """kind: a type annotation. required: it has no default."""

    kind: Any
    required: bool


@attrs.frozen
class Parameters:
    """How an operator takes its config.

    Attributes:
        whole: it takes the mapping of texts as it is, as one argument.
        named: else its parameters, by the key of their value.
        open: it takes other keys too, as texts.
    """

    whole: bool
    named: Mapping[str, Parameter] = attrs.field(factory=dict)
    open: bool = False

    def read(self, operator: str, config: Mapping[str, str]) -> dict[str, object]:
        """Keyword arguments; of one that takes it whole, the config's texts.

        Raises:
            PlanningError: a key that is not known, is missing, or whose text is no value of its
                type. Names operator, key and value, and what would be right.
        """
        if self.whole:
            return dict(config)
        if not self.open and (unknown := sorted(config.keys() - self.named.keys())):
            raise PlanningError(f"operator {operator!r} {self._no_such(unknown[0])}")
        for key, parameter in self.named.items():
            if parameter.required and key not in config:
                raise PlanningError(
                    f"operator {operator!r} needs config {key!r}: {_described(parameter.kind)}"
                )
        return {key: self._value(operator, key, text) for key, text in config.items()}

    def _no_such(self, key: str) -> str:
        near = difflib.get_close_matches(key, self.named, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {_listed(self.named)}"
        return f"has no config {key!r}; {hint}"

    def _value(self, operator: str, key: str, text: str) -> object:
        parameter = self.named.get(key)
        kind = Any if parameter is None else parameter.kind
        try:
            return _read(kind, text)
        except _Unfit:
            shown = repr(text if len(text) <= 80 else f"{text[:80]}…")
            raise PlanningError(
                f"operator {operator!r}: config {key!r} is {shown}; right would be "
                f"{_described(kind)}"
            ) from None


def parameters_of(name: str, code: Callable[..., object], *, skip: int) -> Parameters:
    """What a function, or a class's `__init__`, says of its config.

    Args:
        name: of the operator, for errors.
        skip: how many of its first parameters are none of its config.

    Raises:
        StartupError: a parameter of a type that no config has; names operator and parameter.
    """
    try:
        found = list(inspect.signature(code).parameters.values())[skip:]
    except (TypeError, ValueError):  # of what is not written in Python little is known
        return Parameters(whole=True)
    kinds = {one.name: _kind(one, code) for one in found}
    if found and _takes_all(found[0], kinds[found[0].name]):
        return Parameters(whole=True)
    named = {}
    for one in found:
        if one.kind in {one.VAR_KEYWORD, one.VAR_POSITIONAL}:
            continue
        kind = kinds[one.name]
        if one.kind is one.POSITIONAL_ONLY or one.name in RESERVED or not _is_readable(kind):
            raise StartupError(_unusable(name, one, kind))
        named[one.name] = Parameter(kind, one.default is one.empty)
    return Parameters(
        whole=False, named=named, open=any(one.kind is one.VAR_KEYWORD for one in found)
    )


def _takes_all(first: inspect.Parameter, kind: Any) -> bool:
    """Whether the first parameter is for the whole config: `f(batches, config)`."""
    positional = first.kind in {first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD}
    if not positional or first.default is not first.empty:
        return False
    bare = first.annotation is first.empty or kind is Any or isinstance(kind, str)
    return bare or (typing.get_origin(kind) or kind) in _MAPPINGS


def _kind(one: inspect.Parameter, code: Callable[..., object]) -> Any:
    """A parameter's type; of one without annotation its default's. A text that names none stays."""
    if one.annotation is one.empty:
        known = type(one.default) in _SCALARS and one.default is not None
        return type(one.default) if known else Any
    if not isinstance(one.annotation, str):
        return one.annotation
    try:
        return eval(one.annotation, _globals(code))
    except Exception:  # noqa: BLE001  # whatever evaluating its author's text raises
        return one.annotation


def _globals(code: Callable[..., object]) -> dict[str, Any]:
    inner: Any = inspect.unwrap(code)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not hasattr(inner, "__globals__"):
        inner = inspect.unwrap(type(inner).__call__)
    return dict(getattr(inner, "__globals__", {}))


def _unusable(name: str, one: inspect.Parameter, kind: Any) -> str:
    where = f"operator {name!r}: parameter {one.name!r}"
    if one.kind is one.POSITIONAL_ONLY:
        return f"{where} is positional only; right would be one that takes its config by name"
    if one.name in RESERVED:
        return f"{where} has a name that op(...) in SQL takes for itself; right would be another"
    return (
        f"{where} is of type {_type_name(kind)}, which no config has; right would be str, int, "
        f"float, bool, list[...], dict[str, ...], Literal[...], or one of these or None"
    )


def _type_name(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__qualname__", repr(kind))


def _is_readable(kind: Any) -> bool:
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case None:
            return any(kind is known for known in (Any, list, dict, *_SCALARS))
        case typing.Union | types.UnionType:
            return all(map(_is_readable, arguments))
        case typing.Literal:
            return all(type(each) in _SCALARS for each in arguments)
        case origin if origin is list:
            return all(map(_is_readable, arguments))
        case origin if origin is dict:
            return arguments[0] is str and _is_readable(arguments[1])
        case _:
            return False


def _read(kind: Any, text: str) -> object:
    if kind is Any:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _Unfit
    if value is not _Unfit and not isinstance(value, str):
        try:
            return _fitting(kind, value)
        except _Unfit:
            pass
    return _fitting(kind, text)  # a bare text


def _fitting(kind: Any, value: object) -> object:  # noqa: PLR0911
    """The value, if it is one of the type."""
    arguments = typing.get_args(kind)
    match typing.get_origin(kind) or kind:
        case typing.Union | types.UnionType:
            return _first_fitting(arguments, value)
        case typing.Literal:
            same = (each for each in arguments if type(each) is type(value) and each == value)
            if any(True for _ in same):
                return value
        case origin if origin is Any:
            return value
        case origin if origin is list and isinstance(value, list):
            (item,) = arguments or (Any,)
            return [_fitting(item, each) for each in value]
        case origin if origin is dict and isinstance(value, dict):
            item = arguments[1] if arguments else Any
            return {key: _fitting(item, each) for key, each in value.items()}
        case origin if origin is float and type(value) is int:
            return _as_float(value)
        case origin if type(value) is origin:
            return value
    raise _Unfit


def _first_fitting(kinds: tuple[Any, ...], value: object) -> object:
    for exact in (True, False):  # 1 is the int of `float | int`
        for kind in kinds:
            if exact and kind is not type(value):
                continue
            try:
                return _fitting(kind, value)
            except _Unfit:
                continue
    raise _Unfit


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _Unfit from None


def _described(kind: Any) -> str:
    """In words, as they follow "right would be"."""
    arguments = typing.get_args(kind)
    match typing.get_origin(kind) or kind:
        case typing.Union | types.UnionType:
            return " or ".join(map(_described, arguments))
        case typing.Literal:
            return f"one of {', '.join(map(repr, arguments))}"
        case origin if origin is list:
            return f"a list of {_plural(arguments[0])}" if arguments else "a list"
        case origin if origin is dict:
            return f"an object of {_plural(arguments[1])}" if arguments else "an object"
        case origin:
            return _SCALARS.get(origin, "a text")


def _plural(kind: Any) -> str:
    plain = {str: "texts", int: "whole numbers", float: "numbers", bool: "true and false"}
    return plain.get(kind, f"which each is {_described(kind)}")


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "none"
