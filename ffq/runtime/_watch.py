"""Watches: an actor is told when another one ends (A9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ffq.runtime._envelope import NoticeEnvelope
from ffq.runtime.lifecycle import Ended, EndReason
from ffq.runtime.message import Request
from ffq.runtime.ref import ActorRef

if TYPE_CHECKING:
    from ffq.runtime._mailbox import MailboxCell


@attrs.frozen
class Terminated(Request[None]):
    """What a watcher gets, on the control lane, when an actor it watches has ended (A9)."""

    ref: ActorRef[Any]
    ended: Ended


def watch(watcher: MailboxCell, other: MailboxCell) -> None:
    """Have Terminated sent to `watcher` when `other` ends; at once if it has.

    Raises UnhandledMessage when the watcher has no handler for it.
    """
    watcher.check_message(Terminated(ActorRef(other), Ended(other.path, EndReason.STOPPED)))
    if other.ended is not None:
        _tell(watcher, other, other.ended)
        return
    if other.watchers is None:
        other.watchers = {}
    if watcher.watching is None:
        watcher.watching = {}
    other.watchers[watcher] = watcher.watching[other] = None


def unwatch(watcher: MailboxCell, other: MailboxCell) -> None:
    """Undo `watch`, and take back its notice if that waits; nothing happens when there was none."""
    for table, key in ((other.watchers, watcher), (watcher.watching, other)):
        if table is not None:
            table.pop(key, None)
    watcher.forget_notice(other)


def unwatch_all(watcher: MailboxCell) -> None:
    """The watches of an incarnation end with it."""
    for watched in watcher.watching or ():
        if watched.watchers is not None:
            watched.watchers.pop(watcher, None)
    watcher.watching = None


def tell_watchers(cell: MailboxCell, ended: Ended) -> None:
    """An actor has ended: put Terminated on the control lane of all who watch it."""
    for watcher in cell.watchers or ():
        _tell(watcher, cell, ended)
    cell.watchers = None


def _tell(watcher: MailboxCell, other: MailboxCell, ended: Ended) -> None:
    if watcher.watching is not None:
        watcher.watching.pop(other, None)
    message = Terminated(ActorRef(other), ended)
    route = watcher.route_for(message)
    watcher.notify(NoticeEnvelope(watcher, message, route, other))
