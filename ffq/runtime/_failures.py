"""What leaves a handler or a task beside a cancellation.

Trio raises a cancellation and the errors of a cleanup it caused as one group. The cancellation must
go on to the scope it belongs to, and the errors to supervision: so the group is taken apart (A7).
"""

from __future__ import annotations

from math import inf
from typing import cast

import trio

from ffq.runtime.errors import ProtocolError


class Stashed(BaseException):
    """Raised by `ctx.stash()` to leave the handler: then the message goes into the stash."""


def split_failure(error: BaseException) -> tuple[Exception | None, BaseException]:
    """The failure in a group that holds cancellations too, and the cancellations alone.

    The failure is None when there is no such group, or one that holds worse than an Exception: then
    `error` comes back as it is.
    """
    if isinstance(error, BaseExceptionGroup):
        cancelled, rest = error.split(trio.Cancelled)
        if cancelled is not None and isinstance(rest, ExceptionGroup):
            # BaseExceptionGroup.split makes an ExceptionGroup, a subclass of Exception, if it can.
            return cast("ExceptionGroup[Exception]", rest), cancelled
    return None, error


def has_cancelled(error: BaseException) -> bool:
    """True for a Cancelled, and for a group with one in it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)


def is_stray(error: BaseException) -> bool:
    """True for cancellations that no scope around the caller asks for.

    Such a one was kept from an earlier call, whose scope it belonged to, and raised again, as code
    does that keeps what a call ended with for those who come after.
    """
    if trio.current_effective_deadline() == -inf:
        return False
    if isinstance(error, BaseExceptionGroup):
        cancelled, rest = error.split(trio.Cancelled)
        return cancelled is not None and (rest is None or isinstance(rest, Exception))
    return isinstance(error, trio.Cancelled)


def stray(where: str, error: BaseException) -> ProtocolError:
    """What is raised in place of a stray cancellation, which would end whatever it came to."""
    found = ProtocolError(
        f"{where} raised a trio.Cancelled of another scope, kept from an earlier call: keep and "
        f"raise again what is an Exception only"
    )
    found.__cause__ = error
    return found


def only_cancelled(error: BaseException) -> bool:
    """True for a Cancelled, and for a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)


def one_cancelled(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One cancellation for a group of nothing else: to the scope they all go to it says as much.

    Each nursery on the way would add one, and Trio writes the whole group for each it passes: of
    nested actors that would take time with the square of their levels.
    """
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
