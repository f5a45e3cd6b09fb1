"""What becomes of a message whose handler did not simply return a value; called by the loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from ffq.runtime._envelope import DONE, Envelope
from ffq.runtime._failures import Stashed, only_cancelled, split_failure
from ffq.runtime._replies import check_reply
from ffq.runtime.errors import ActorEnded, MessageExpired, StashFull

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell


def observe(cell: Cell, envelope: Envelope, value: Any) -> None:
    """Debug and metrics: check the reply's type. Raises WrongReplyType."""
    if cell.system.debug:
        check_reply(cell.path, envelope.message, value)
    cell.system.call_hook("message_handled", cell.path, envelope.message, None)


def handler_failed(cell: Cell, envelope: Envelope, error: Exception) -> None:
    """To the asker as itself if one waits, otherwise to supervision (A7)."""
    _settle(cell, envelope, error)
    doing = f"handling {type(envelope.message).__qualname__}"
    if envelope.task is not None:
        cell.note(error, doing)
        envelope.wake(error)
    else:
        cell.fail(error, doing)


def handler_left(cell: Cell, envelope: Envelope, error: BaseException) -> None:
    """A handler stashed its message, was cancelled, or was left by worse than an Exception.

    Raises `error` again, or the part of it that is the business of others.
    """
    if isinstance(error, Stashed):
        _put_aside(cell, envelope)
        return
    if isinstance(error, BaseExceptionGroup):  # from a nursery of the handler's own
        stashed, others = error.split(Stashed)
        if stashed is not None and (others is None or only_cancelled(others)):
            _put_aside(cell, envelope)
            if others is not None:
                raise others
            return
    failure, rest = split_failure(error)
    if failure is not None:
        handler_failed(cell, envelope, failure)
    else:
        _interrupted(cell, envelope, error)
    raise rest


def _put_aside(cell: Cell, envelope: Envelope) -> None:
    try:
        cell.stash(envelope)
    except StashFull as error:  # it has become full while the handler was being left
        handler_failed(cell, envelope, error)


def _interrupted(cell: Cell, envelope: Envelope, error: BaseException) -> None:
    _settle(cell, envelope, error)
    if not only_cancelled(error):
        # Ctrl-C and its like end the whole system: that, and not its echo, is what the asker
        # should see if the system's end cancels it.
        gone = ActorEnded(f"{cell.path} ended with the system {cell.system.name}")
        cell.system.at_end.append(lambda: envelope.wake(gone))
    elif envelope.task is not None:
        what = type(envelope.message).__qualname__
        if envelope.deadline <= trio.current_time():
            envelope.wake(MessageExpired(f"{cell.path}: {what} was not done by its deadline"))
        else:
            envelope.wake(ActorEnded(f"{cell.path} ended while it handled {what}"))


def _settle(cell: Cell, envelope: Envelope, error: BaseException) -> None:
    cell.current = None
    cell.handled += 1
    envelope.status = DONE
    cell.system.call_hook("message_handled", cell.path, envelope.message, error)
