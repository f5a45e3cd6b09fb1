"""A machine's whole state as plain values, so that two machines, or two moments, compare."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any

import attrs

NOT_STATE = frozenset({"version"})
"""Counts changes, and so is no part of what they change."""


def snapshot(value: object, *, spell_out: bool = False) -> Any:
    """Order counts where a machine could go by it: in dicts and lists, not in sets.

    Frozen values stand for themselves; `spell_out` takes them apart too, so that the `repr` of the
    snapshot is the same in every process.
    """
    if value is None or isinstance(value, str | int | bytes):
        return value
    if isinstance(value, Mapping):
        return [
            (snapshot(key, spell_out=spell_out), snapshot(each, spell_out=spell_out))
            for key, each in value.items()
        ]
    if isinstance(value, list | tuple | deque):
        return [snapshot(each, spell_out=spell_out) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(snapshot(each, spell_out=True)) for each in value)
    kind: Any = type(value)
    names = _state_of(kind)
    if names is None or (_is_frozen(kind) and not spell_out):
        return value
    return [(name, snapshot(getattr(value, name), spell_out=spell_out)) for name in names]


@cache
def _state_of(kind: type[Any]) -> tuple[str, ...] | None:
    """The fields of an attrs class; None for any other."""
    if not attrs.has(kind):
        return None
    return tuple(each.name for each in attrs.fields(kind) if each.name not in NOT_STATE)


@cache
def _is_frozen(kind: type[Any]) -> bool:
    return attrs.inspect(kind).is_frozen
