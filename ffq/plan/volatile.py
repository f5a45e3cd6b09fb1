"""Functions that give another value each time they are called. Pure.

What holds one is not repeatable: run again, a task gives other rows. So whatever has read the old
ones is run again too (R25), and what every task needs whole is computed once.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import attrs

from ffq.plan.bound import Call, Constant, Place, SqlType
from ffq.plan.model import Node
from ffq.plan.walk import child_fields

VOLATILE: Final = frozenset({"random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7"})


def is_volatile(node: Node) -> bool:
    """Whether one is among the node's own expressions."""
    below = child_fields(node)
    kind: Any = type(node)
    names = (name for name in _fields(kind) if name not in below)
    pending: list[Any] = [getattr(node, name) for name in names]
    while pending:
        each = pending.pop()
        if isinstance(each, Call) and each.name in VOLATILE:
            return True
        if isinstance(each, tuple):
            pending.extend(each)
        elif not isinstance(each, Place | Constant | SqlType) and attrs.has(type(each)):
            inner: Any = type(each)
            pending.extend(getattr(each, name) for name in _fields(inner))
    return False


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))
