"""A machine's whole state as plain values, so that two machines, or two moments, compare."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs

NOT_STATE = frozenset({"version"})
"""Counts changes, and so is no part of what they change."""


def snapshot(value: object) -> Any:
    """Order counts where the machine could go by it: in dicts and lists, not in sets.

    A heap is compared as it lies; settings and plans are compared by what they say.
    """
    if isinstance(value, Mapping):
        return [(snapshot(key), snapshot(each)) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return [snapshot(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(snapshot(each)) for each in value)
    kind: type[Any] = type(value)
    if attrs.has(kind):
        return [
            (each.name, snapshot(getattr(value, each.name)))
            for each in attrs.fields(kind)
            if each.name not in NOT_STATE
        ]
    return value
