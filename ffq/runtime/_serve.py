"""The loops that take messages out of a mailbox and run their handlers.

One cancel scope lasts for many messages: a handler that must be cancelled cancels the loop's
scope, and the loop opens a new one. So the usual message costs no scope at all.
"""

from __future__ import annotations

import logging
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import checkpoint, reschedule, wait_task_rescheduled

from ffq.runtime._debug_checks import check_reply
from ffq.runtime._envelope import DONE, HANDLING, RUNNING, Envelope
from ffq.runtime._failures import Stashed, only_cancelled, split_failure
from ffq.runtime.errors import ActorEnded, MessageExpired, StashFull
from ffq.runtime.hooks import Hooks

if TYPE_CHECKING:
    from ffq.runtime._mailbox import MailboxCell

logger = logging.getLogger("ffq.runtime")

# Messages handled without a checkpoint before other tasks get their turn.
BATCH = 32


async def serve(cell: MailboxCell) -> None:
    """Handle one message at a time until the actor has stopped or is to die."""
    done = False
    while not done:
        with trio.CancelScope() as scope:
            done = await _drain(cell, scope)


async def _drain(  # noqa: PLR0912, PLR0915  # one function: a call per message costs 5 %
    cell: MailboxCell, scope: trio.CancelScope
) -> bool:
    """Handle messages in `scope`: True at the end, False when a handler's cancel used it up."""
    mailbox, actor, observed = cell.mailbox, cell.actor, cell.observed
    credit = BATCH
    while not cell.life.falling:
        if cell.notices:
            envelope = cell.notices.popleft()
        elif mailbox:
            envelope = mailbox.popleft()
            if cell.overflow:
                cell.admit()
        elif cell.life.stopping:
            return True
        else:
            cell.idle = True
            await wait_task_rescheduled(cell.abort_idle)
            credit = BATCH
            continue
        deadline = envelope.deadline
        if envelope.asks and envelope.task is None:
            cell.expire(envelope)
            continue
        route = envelope.route
        assert route is not None
        if deadline != inf:
            if deadline <= trio.current_time():
                cell.expire(envelope)
                continue
            if not route.detached:
                scope.deadline = deadline
        envelope.scope = scope
        envelope.status = RUNNING
        cell.current = envelope
        HANDLING.set(envelope)
        try:
            value = route.function(actor, envelope.message)
            if value.__class__ is CoroutineType:
                value = await value
            if observed:
                _observe(cell, envelope, value)
        except Exception as error:  # noqa: BLE001  # goes to the asker or to supervision
            _handler_failed(cell, envelope, error)
        except BaseException as error:  # noqa: BLE001  # raised again, unless it is Stashed
            _handler_left(cell, envelope, error)
        else:
            cell.current = None
            cell.handled += 1
            envelope.status = DONE
            task = envelope.task
            if task is not None:
                envelope.task = None
                envelope.value = value
                reschedule(task)
        if deadline != inf or (envelope.asks and envelope.scope is None):
            scope.deadline = inf
            if scope.cancel_called:
                return False
        credit -= 1
        if not credit:
            await checkpoint()
            credit = BATCH
    return True


async def serve_concurrently(cell: MailboxCell, nursery: trio.Nursery) -> None:
    """Handle up to `max_concurrency` messages at a time, each in a task of its own (A10).

    Trio starts tasks in any order. So a task is started for a message, not with it, and takes the
    oldest one when it runs: messages start in order, and what has not started stays in the mailbox
    when the actor dies.
    """
    running = cell.running = {}
    starting: list[None] = []  # as long as the number of tasks that have not taken their message
    limit = cell.options.max_concurrency
    while not cell.life.falling:
        mail = len(cell.mailbox) + len(cell.notices or ())
        if len(starting) < mail and len(running) + len(starting) < limit:
            starting.append(None)
            nursery.start_soon(_handle_next, cell, starting, name=cell.path)
        elif cell.life.stopping and not mail and not running and not starting:
            return
        else:
            cell.idle = True
            await wait_task_rescheduled(cell.abort_idle)


async def _handle_next(cell: MailboxCell, starting: list[None]) -> None:
    starting.pop()
    envelope = None if cell.life.falling else _take(cell)
    if cell.has_mail():  # what waited for room has come in unseen, or another slot is free
        cell.wake()
    try:
        if envelope is not None:
            await _handle(cell, envelope)
    finally:
        cell.wake()


def _take(cell: MailboxCell) -> Envelope | None:
    """The next message that somebody still wants handled."""
    while cell.notices or cell.mailbox:
        if cell.notices:
            envelope = cell.notices.popleft()
        else:
            envelope = cell.mailbox.popleft()
            if cell.overflow:
                cell.admit()
        if not (envelope.asks and envelope.task is None) and (
            envelope.deadline > trio.current_time()
        ):
            return envelope
        cell.expire(envelope)
    return None


async def _handle(cell: MailboxCell, envelope: Envelope) -> None:
    """Run one handler of an actor that handles several messages at a time."""
    route, running = envelope.route, cell.running
    assert route is not None
    assert running is not None
    envelope.status = RUNNING
    running[envelope] = None
    HANDLING.set(envelope)
    try:
        with trio.CancelScope() as scope:
            envelope.scope = scope
            if not route.detached:
                scope.deadline = envelope.deadline
            try:
                value = route.function(cell.actor, envelope.message)
                if value.__class__ is CoroutineType:
                    value = await value
                if cell.observed:
                    _observe(cell, envelope, value)
            except Exception as error:  # noqa: BLE001  # goes to the asker or to supervision
                _handler_failed(cell, envelope, error)
            except BaseException as error:  # noqa: BLE001  # raised again, unless it is Stashed
                _handler_left(cell, envelope, error)
            else:
                cell.handled += 1
                envelope.status = DONE
                envelope.value = value
                envelope.wake()
    finally:
        del running[envelope]


# What becomes of a message whose handler did not simply return a value.


def _observe(cell: MailboxCell, envelope: Envelope, value: Any) -> None:
    """Debug and metrics: check the reply's type. Raises WrongReplyType."""
    system = cell.system
    if system.debug:
        check_reply(cell.path, envelope.message, value)
    system.report(Hooks.message_handled, cell.path, envelope.message, None)


def _handler_failed(cell: MailboxCell, envelope: Envelope, error: Exception) -> None:
    """To the asker as itself if one waits, otherwise to supervision (A7), or into the log."""
    _settle(cell, envelope, error)
    doing = f"handling {type(envelope.message).__qualname__}"
    if envelope.task is not None:
        cell.note(error, doing)
        envelope.wake(error)
    elif envelope.may_fail:
        cell.note(error, doing)
        logger.warning("%s goes on after a failure while %s", cell.path, doing, exc_info=error)
    else:
        cell.fail(error, doing)


def _handler_left(cell: MailboxCell, envelope: Envelope, error: BaseException) -> None:
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
        _handler_failed(cell, envelope, failure)
    else:
        _interrupted(cell, envelope, error)
    raise rest


def _put_aside(cell: MailboxCell, envelope: Envelope) -> None:
    try:
        cell.stash(envelope)
    except StashFull as error:  # it has become full while the handler was being left
        _handler_failed(cell, envelope, error)


def _interrupted(cell: MailboxCell, envelope: Envelope, error: BaseException) -> None:
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


def _settle(cell: MailboxCell, envelope: Envelope, error: BaseException) -> None:
    cell.current = None
    cell.handled += 1
    envelope.status = DONE
    cell.system.report(Hooks.message_handled, cell.path, envelope.message, error)
