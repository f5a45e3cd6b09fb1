"""Ids, keys and states: what every message of the wire is made of.

Ids become file names and map keys: here they are checked, once, and trusted inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, Protocol, TypeVar

import attrs

from ffq.errors import InvalidRequest
from ffq.ids import (
    Attempt,
    AttemptKey,
    StageId,
    TaskId,
    WorkerId,
    parse_query_id,
    parse_worker_id,
)
from ffq.messages import AttemptUsage, Layout, QueryState, TaskState
from ffq.proto import ffq_distributed_pb2 as wire

T = TypeVar("T")

MAX_ITEMS = 100_000
"""Most items of a repeated field; no exchange has more partitions, no query more tasks."""

MAX_TEXT = 4096
"""Longest message or reason kept of what a caller sends, characters."""


class HasKey(Protocol):
    """A wire message that names an attempt by (query_id, stage_id, task_id, attempt)."""

    query_id: str
    stage_id: int
    task_id: int
    attempt: int


class HasLayout(Protocol):
    """A wire message that echoes an assignment's layout."""

    layout_version: int
    layout_fingerprint: int


# The same few ids are in most messages. Those of protobuf are texts, and a cache takes them.
_query_id = lru_cache(1024)(parse_query_id)
_worker_id = lru_cache(1024)(parse_worker_id)


def parse_optional_worker_id(text: str) -> WorkerId | None:
    """None for the empty text of a peer on the fixed wire. Raises InvalidRequest."""
    return _worker_id(text) if text else None


def bounded(items: Sequence[T], what: str) -> Sequence[T]:
    """The items of a repeated field. Raises InvalidRequest for more than MAX_ITEMS (R30).

    A message within its bytes can hold tens of millions of empty items: decoding those would keep
    the coordinator from everything else.
    """
    if len(items) > MAX_ITEMS:
        raise InvalidRequest(f"{what} has {len(items)} items; at most {MAX_ITEMS} are allowed")
    return items


def attempt_key(query_id: str, stage_id: int, task_id: int, attempt: int) -> AttemptKey:
    """Raises InvalidRequest for a bad query id; whether the attempt exists is not known here."""
    return AttemptKey(_query_id(query_id), StageId(stage_id), TaskId(task_id), Attempt(attempt))


def decode_key(message: HasKey) -> AttemptKey:
    """The attempt that a message names. Raises InvalidRequest."""
    return attempt_key(message.query_id, message.stage_id, message.task_id, message.attempt)


def encode_ref(key: AttemptKey) -> wire.AttemptRef:
    return wire.AttemptRef(
        query_id=key.query_id, stage_id=key.stage_id, task_id=key.task_id, attempt=key.attempt
    )


def decode_layout(message: HasLayout) -> Layout:
    return Layout(message.layout_version, message.layout_fingerprint)


def encode_query_state(state: QueryState) -> wire.QueryState.ValueType:
    return wire.QueryState.ValueType(state.value)


def decode_query_state(number: int) -> QueryState:
    """Raises InvalidRequest for QUERY_STATE_UNSPECIFIED and numbers unknown to us."""
    try:
        return QueryState(number)
    except ValueError:
        raise InvalidRequest(f"state {number} is not a state of a query") from None


def encode_task_state(state: TaskState) -> wire.TaskState.ValueType:
    return wire.TaskState.ValueType(state.value)


def decode_task_state(number: int) -> TaskState:
    """Raises InvalidRequest for TASK_STATE_UNSPECIFIED and numbers unknown to us."""
    state = _TASK_STATES.get(number)
    if state is None:
        raise InvalidRequest(f"state {number} is not a state of an attempt")
    return state


_TASK_STATES: Final = {state.value: state for state in TaskState}


def short(text: str) -> str:
    """A text from outside, cut to MAX_TEXT characters.

    Whoever raised an error may have put a lone surrogate in it (of an undecodable file name, say),
    which no protobuf message carries.
    """
    if not text:
        return text
    text = text.encode(errors="replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def decode_usage(message: wire.AttemptUsage) -> AttemptUsage:
    return AttemptUsage(*_of_usage(message))


def encode_usage(usage: AttemptUsage) -> wire.AttemptUsage:
    return wire.AttemptUsage(**dict(zip(_USAGE, _of_usage(usage), strict=True)))


_USAGE: Final = tuple(field.name for field in attrs.fields(AttemptUsage))
"""Both sides call its fields the same."""
_of_usage: Final = attrgetter(*_USAGE)
