"""The identities of the protocol, parsed once at the edge and trusted inside.

Ids of stages, tasks and attempts are plain integers on the wire; here they get names of their own
so that a type checker tells them apart.
"""

from __future__ import annotations

import re
from typing import NewType

import attrs

from ffq.errors import InvalidRequest

QueryId = NewType("QueryId", str)
WorkerId = NewType("WorkerId", str)
StageId = NewType("StageId", int)
TaskId = NewType("TaskId", int)
Attempt = NewType("Attempt", int)

MAX_ID_LENGTH = 128
ID_RULE = f"1 to {MAX_ID_LENGTH} characters from [A-Za-z0-9._-], and not '.' or '..'"
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_ID_LENGTH}}}")


def is_valid_id(text: str) -> bool:
    """Whether `text` may name a query or a worker: ids become file names, so no separators."""
    return _ID.fullmatch(text) is not None and text not in {".", ".."}


def checked_id(text: str, what: str) -> str:
    """The text, if it may be an id. Raises InvalidRequest, which says what it was to name."""
    if not isinstance(text, str):
        raise InvalidRequest(
            f"{what}: a {type(text).__name__} is no text; right would be {ID_RULE}"
        )
    if not is_valid_id(text):
        raise InvalidRequest(f"{what} {text[:MAX_ID_LENGTH]!r} is not {ID_RULE}")
    return text


def parse_query_id(text: str) -> QueryId:
    """Raises InvalidRequest for what may not name a query."""
    return QueryId(checked_id(text, "query_id"))


def parse_worker_id(text: str) -> WorkerId:
    """Raises InvalidRequest for what may not name a worker."""
    return WorkerId(checked_id(text, "worker_id"))


@attrs.frozen(order=True)
class TaskKey:
    """One task of one stage of one query."""

    query_id: QueryId
    stage_id: StageId
    task_id: TaskId

    def __str__(self) -> str:
        return f"{self.query_id}/{self.stage_id}/{self.task_id}"


@attrs.frozen(order=True, cache_hash=True)
class AttemptKey:
    """One attempt of one task: the key of every report, output and result (R12)."""

    query_id: QueryId
    stage_id: StageId
    task_id: TaskId
    attempt: Attempt

    @property
    def task(self) -> TaskKey:
        return TaskKey(self.query_id, self.stage_id, self.task_id)

    def __str__(self) -> str:
        return f"{self.query_id}/{self.stage_id}/{self.task_id}/{self.attempt}"
