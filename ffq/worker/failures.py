"""From an exception in a fragment to what the report says about it (R14, R17)."""

from __future__ import annotations

import attrs

from ffq.errors import (
    CallerError,
    FfqError,
    OperatorError,
    ShuffleInputError,
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


def failure_of(error: Exception) -> Failure:
    """Classify by the error's class; what is not ours is EXECUTION, named by its type."""
    message = shorten(error.message if isinstance(error, FfqError) else describe(error))
    match error:
        case ShuffleInputError():
            lost = tuple(
                LostInput(StageId(stage), TaskId(map_task), Attempt(attempt))
                for stage, map_task, attempt in error.inputs
            )
            return Failure(ErrorKind.SHUFFLE_INPUT, message, lost)
        case OperatorError():
            return Failure(ErrorKind.OPERATOR, message)
        case UnknownId():
            return Failure(ErrorKind.EXECUTION, message)
        case CallerError():
            return Failure(ErrorKind.PLAN, message)
        case _:
            return Failure(ErrorKind.EXECUTION, message)


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
