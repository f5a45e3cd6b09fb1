"""The loops that take messages out of a mailbox and run their handlers.

One cancel scope lasts for many messages: a handler that must be cancelled cancels the loop's
scope, and the loop opens a new one. So the usual message costs no scope at all.
"""

from __future__ import annotations

import logging
from contextvars import Context
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from ffq.errors import FfqError
from ffq.runtime._debug_checks import check_reply
from ffq.runtime._envelope import DONE, HANDLING, RUNNING, Envelope, Late, Posted
from ffq.runtime._failures import Stashed, is_stray, only_cancelled, split_failure, stray
from ffq.runtime.errors import ActorEnded, StashFull
from ffq.runtime.hooks import Hooks
from ffq.runtime.remarks import RemarkLogger

if TYPE_CHECKING:
    from ffq.runtime._handlers import Route
    from ffq.runtime._mailbox import MailboxCell

logger = RemarkLogger(logging.getLogger("ffq.runtime"))

# Messages handled without a checkpoint before other tasks get their turn.
BATCH = 32
# Messages handled within each other's `post`, at most: Python's stack has an end.
NESTED = 8


async def serve(cell: MailboxCell) -> None:
    """Handle one message at a time until the actor has stopped or is to die."""
    now = current_task().context
    assert cell.born is not None
    try:  # where its start set nothing, one copy of the context is enough
        context = cell.born if cell.born == now else now.copy()
    except Exception:  # noqa: BLE001  # of the values' own `==`: another value than before
        context = now.copy()
    while True:
        with trio.CancelScope() as scope:
            if await _drain(cell, scope, context):
                return
        await _enter_anew(context)


async def _enter_anew(context: Context) -> None:
    """Let this task go on in a copy of `context`: a task takes up its context at a step."""
    current_task().context = context.copy()
    await cancel_shielded_checkpoint()


async def _drain(  # noqa: PLR0912, PLR0915  # one function: a call per message costs 5 %
    cell: MailboxCell, scope: trio.CancelScope, context: Context
) -> bool:
    """Handle messages in `scope`: True at the end, False when a handler's cancel used it up.

    Each message finds the context variables as `context` has them, whatever the last one has set.
    """
    mailbox, actor, observed = cell.mailbox, cell.actor, cell.observed
    task = current_task()  # whose `context` is the live one: looking at it needs no copy
    credit = BATCH
    while not cell.life.falling:
        if cell.notices:
            envelope = cell.take_notice()
        elif mailbox:
            envelope = mailbox.popleft()
            if envelope.status:  # it was withdrawn
                cell.skip()
                continue
            if cell.overflow:
                cell.admit()
        elif cell.life.stopping:
            return True
        else:
            cell.idle = True
            try:
                await wait_task_rescheduled(cell.abort_idle)
            except trio.Cancelled:  # comes again, where it is not this incarnation's end
                if cell.begun is None:
                    raise
                # By the handler that was begun: whoever posted that is told what became of it.
            credit = BATCH
            if cell.begun is None:
                continue
            envelope, cell.begun = cell.begun, None
        deadline = envelope.deadline
        route = envelope.route
        assert route is not None
        if deadline != inf:
            if deadline <= trio.current_time() and envelope.value is None:
                cell.expire(envelope)
                continue
            if not route.detached:
                scope.deadline = deadline
        envelope.scope = scope
        envelope.status = RUNNING
        cell.current = envelope
        HANDLING.set(envelope)
        before = task.context.copy()
        try:
            value = envelope.value  # what there is to wait for, of one that was begun elsewhere
            if value is None:
                value = route.function(actor, envelope.message)
            elif not envelope.awaited and not route.detached:  # and given up since
                envelope.scope = None
                scope.cancel()
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
            asker = envelope.task
            if asker is not None:
                envelope.task = None
                envelope.value = value
                reschedule(asker)
            elif envelope.on_reply is not None:
                envelope.value = value
                envelope.wake()
        try:  # quick where nothing was set: a context and its copy share all they hold
            unlike = before != task.context
        except Exception:  # noqa: BLE001  # of the values' own `==`: another value than before
            unlike = True
        del before  # not kept while the actor is idle
        if unlike:
            await _enter_anew(context)
            credit = BATCH + 1
        if deadline != inf or (envelope.asks and envelope.scope is None):
            scope.deadline = inf
            if scope.cancel_called:
                return False
        credit -= 1
        if not credit:
            await checkpoint()
            credit = BATCH
    return True


def serve_now(cell: MailboxCell, envelope: Posted) -> bool:
    """Handle a posted message within the call that posts it; False where the mailbox has to.

    That is what the actor would do at its next turn, without two turns of Trio's scheduler and the
    system calls in them, which cost more than most handlers. So it must be idle, which it is only
    without mail, and have begun nothing. What turns out to have to wait, or raises, goes on in the
    actor's task.
    """
    system, task, route = cell.system, cell.task, envelope.route
    if not cell.idle or cell.current is not None or cell.running is not None:
        return False
    deadline = envelope.deadline
    if system.nested >= NESTED or (deadline != inf and deadline <= trio.current_time()):
        return False
    assert task is not None
    assert route is not None
    cell.sent += 1
    cell.current = envelope
    envelope.status = RUNNING
    envelope.at_once = True
    system.nested += 1
    try:
        # A copy of its context: what a handler sets goes with the message.
        value = task.context.copy().run(_handle_now, cell, route, envelope)
        if value.__class__ is not CoroutineType:
            cell.current = None
            cell.handled += 1
            envelope.status = DONE
            envelope.value = value
            envelope.wake()
            return True
    except BaseException as error:
        if envelope.status == DONE:
            raise  # Ctrl-C, in the function for the reply
        value = _raised(error)  # there, where it would have been
    finally:
        envelope.at_once = False
        system.nested -= 1
    envelope.value = value
    cell.begun = envelope
    cell.wake()
    return True


def _handle_now(cell: MailboxCell, route: Route, envelope: Posted) -> Any:
    HANDLING.set(envelope)
    value = route.function(cell.actor, envelope.message)
    if cell.observed and value.__class__ is not CoroutineType:
        _observe(cell, envelope, value)
    return value


async def _raised(error: BaseException) -> None:
    raise error


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
            return cell.take_notice()
        envelope = cell.mailbox.popleft()
        if envelope.status:  # it was withdrawn
            cell.skip()
            continue
        if cell.overflow:
            cell.admit()
        if envelope.deadline > trio.current_time():
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
    """To the asker as itself, or into the log if he has left; of a tell, to supervision (A7).

    What a caller sent, and when he leaves, decides nothing about the life of the actor.
    """
    if isinstance(error, StopIteration):
        error = _as_raised(error)
    _settle(cell, envelope, error)
    doing = f"handling {type(envelope.message).__qualname__}"
    if envelope.awaited:
        cell.note(error, doing)
        envelope.wake(error)
    elif envelope.asks:
        cell.unheard += 1
        cell.note(error, doing)
        level = logging.INFO if isinstance(error, FfqError) else logging.WARNING
        logger.log(
            level, "%s failed while %s, whose asker had left", cell.path, doing, exc_info=error
        )
    elif envelope.may_fail:
        cell.note(error, doing)
        logger.warning("%s goes on after a failure while %s", cell.path, doing, exc_info=error)
    else:
        cell.fail(error, doing)


def _as_raised(error: StopIteration) -> RuntimeError:
    """What Python makes of it in a coroutine. A plain handler's would become that in its asker, on
    the way out of which nobody would write who raised it.
    """
    found = RuntimeError("a handler raised StopIteration")
    found.__cause__ = error
    return found


def _handler_left(cell: MailboxCell, envelope: Envelope, error: BaseException) -> None:
    """A handler stashed its message, was cancelled, or was left by worse than an Exception.

    A cancellation that is none of its scopes' is a failure as any.

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
    if is_stray(error):
        where = f"{cell.path}: the handler of {type(envelope.message).__qualname__}"
        _handler_failed(cell, envelope, stray(where, error))
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
    elif envelope.awaited:
        what = type(envelope.message).__qualname__
        if envelope.deadline <= trio.current_time():
            envelope.wake(Late(f"{cell.path}: {what} was not done by its deadline", begun=True))
        else:
            envelope.wake(ActorEnded(f"{cell.path} ended while it handled {what}"))


def _settle(cell: MailboxCell, envelope: Envelope, error: BaseException) -> None:
    cell.current = None
    cell.handled += 1
    envelope.status = DONE
    cell.system.report(Hooks.message_handled, cell.path, envelope.message, error)
