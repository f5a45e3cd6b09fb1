"""The loops that take messages out of a mailbox and run their handlers.

One cancel scope lasts for many messages: a handler that must be cancelled cancels the loop's
scope, and the loop opens a new one. So the usual message costs no scope at all.
"""

from __future__ import annotations

from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import checkpoint, reschedule, wait_task_rescheduled

from ffq.runtime._envelope import DONE, HANDLING, RUNNING, Envelope

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell

# Messages handled without a checkpoint before other tasks get their turn.
BATCH = 32


class Stashed(BaseException):
    """Raised by `ctx.stash()` to leave the handler; the message is in the stash."""


async def serve(cell: Cell) -> None:
    """Handle one message at a time until the actor has stopped or is to die."""
    done = False
    while not done:
        with trio.CancelScope() as scope:
            done = await _drain(cell, scope)


async def _drain(  # noqa: PLR0912, PLR0915  # one function: a call per message costs 5 %
    cell: Cell, scope: trio.CancelScope
) -> bool:
    """Handle messages in `scope`: True at the end, False when a handler's cancel used it up."""
    mailbox, actor, observed = cell.mailbox, cell.actor, cell.observed
    credit = BATCH
    while not cell.dying:
        if cell.notices:
            envelope = cell.notices.popleft()
        elif mailbox:
            envelope = mailbox.popleft()
            if cell.overflow:
                cell.admit()
        elif cell.stopping:
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
                cell.observe(envelope, value)
        except Exception as error:  # noqa: BLE001  # goes to the asker or to supervision
            cell.handler_failed(envelope, error)
        except Stashed:
            cell.handler_stashed(envelope)
        except BaseException as error:
            cell.handler_interrupted(envelope, error)
            raise
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


async def serve_concurrently(cell: Cell, nursery: trio.Nursery) -> None:
    """Handle up to `max_concurrency` messages at a time, each in a task of its own (A10)."""
    running = cell.running = {}
    limit = cell.max_concurrency
    mailbox = cell.mailbox
    while not cell.dying:
        envelope: Envelope | None = None
        if len(running) < limit:
            if cell.notices:
                envelope = cell.notices.popleft()
            elif mailbox:
                envelope = mailbox.popleft()
                if cell.overflow:
                    cell.admit()
            elif cell.stopping and not running:
                return
        if envelope is None:
            cell.idle = True
            await wait_task_rescheduled(cell.abort_idle)
        elif (envelope.asks and envelope.task is None) or envelope.deadline <= trio.current_time():
            cell.expire(envelope)
        else:
            envelope.status = RUNNING
            running[envelope] = None
            nursery.start_soon(_handle, cell, envelope, name=cell.path)


async def _handle(cell: Cell, envelope: Envelope) -> None:
    """Run one handler of an actor that handles several messages at a time."""
    route, running = envelope.route, cell.running
    assert route is not None
    assert running is not None
    HANDLING.set(envelope)
    try:
        with trio.CancelScope() as scope:
            envelope.scope = scope
            if not route.detached:
                scope.deadline = envelope.deadline
                if envelope.asks and envelope.task is None:
                    scope.cancel()
            try:
                value = route.function(cell.actor, envelope.message)
                if value.__class__ is CoroutineType:
                    value = await value
                if cell.observed:
                    cell.observe(envelope, value)
            except Exception as error:  # noqa: BLE001  # goes to the asker or to supervision
                cell.handler_failed(envelope, error)
            except Stashed:
                cell.handler_stashed(envelope)
            except BaseException as error:
                cell.handler_interrupted(envelope, error)
                raise
            else:
                cell.handled += 1
                envelope.status = DONE
                envelope.value = value
                envelope.wake()
    finally:
        del running[envelope]
        cell.wake()
