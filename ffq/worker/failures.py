"""From an exception in a fragment to what the report says about it (R14, R17)."""

from __future__ import annotations

from typing import Final

import attrs

from ffq.errors import (
    CallerError,
    DataError,
    DiskError,
    FfqError,
    OperatorError,
    OutOfMemory,
    QuotaExceeded,
    ShuffleInputError,
    StorageError,
    UnknownId,
)
from ffq.ids import Attempt, StageId, TaskId
from ffq.messages import ErrorKind, LostInput

MAX_MESSAGE_CHARS = 4_000
"""A report's message is cut here: it ends up in every status answer of the query."""


@attrs.frozen
class Failure:
    """Why an attempt failed. `lost` names the shuffle inputs that could not be had."""

    kind: ErrorKind
    message: str
    lost: tuple[LostInput, ...] = ()


# The first class that fits. What opens files of tables or of peers raises errors of ours, so that a
# bare OSError is of the worker's own folders.
_KINDS: Final[tuple[tuple[type[Exception], ErrorKind], ...]] = (
    (ShuffleInputError, ErrorKind.SHUFFLE_INPUT),
    (OperatorError, ErrorKind.OPERATOR),
    (DataError, ErrorKind.DATA),
    (DiskError, ErrorKind.ENVIRONMENT),
    (OutOfMemory, ErrorKind.ENVIRONMENT),
    (MemoryError, ErrorKind.ENVIRONMENT),
    (StorageError, ErrorKind.EXTERNAL),
    (QuotaExceeded, ErrorKind.EXTERNAL),
    (OSError, ErrorKind.ENVIRONMENT),
    (UnknownId, ErrorKind.EXECUTION),
    (CallerError, ErrorKind.PLAN),
)


def failure_of(error: Exception) -> Failure:
    """Classify by the error's class; what is not known is EXECUTION, named by its type.

    A file of a table that cannot be read is EXTERNAL: another worker may have it, and a query that
    names a missing one over and over must not exclude the workers that looked for it.
    """
    cause = innermost(error)
    message = shorten(error.message if isinstance(error, FfqError) else describe(error))
    lost: tuple[LostInput, ...] = ()
    if isinstance(cause, ShuffleInputError):
        lost = tuple(
            LostInput(StageId(stage), TaskId(map_task), Attempt(attempt))
            for stage, map_task, attempt in cause.inputs
        )
    kind = next((kind for one, kind in _KINDS if isinstance(cause, one)), ErrorKind.EXECUTION)
    return Failure(kind, message, lost)


def undelivered(error: Exception) -> Failure:
    """Why an output that was made could not be handed over: the plan ran, so it is not to blame."""
    failure = failure_of(error)
    if failure.kind in {ErrorKind.ENVIRONMENT, ErrorKind.EXTERNAL}:
        return failure
    return Failure(ErrorKind.EXECUTION, failure.message)


def innermost(error: BaseException) -> BaseException:
    """What a group of one holds; a nursery wraps whatever ends it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """An exception in one line: its type and text."""
    error = innermost(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shorten(message: str) -> str:
    """At most MAX_MESSAGE_CHARS characters, the beginning and the end of a longer one."""
    if len(message) <= MAX_MESSAGE_CHARS:
        return message
    half = MAX_MESSAGE_CHARS // 2 - 3
    return f"{message[:half]} ... {message[-half:]}"
