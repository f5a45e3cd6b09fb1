"""States and ends of an actor, and the message that tells a watcher of an end."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attrs

from ffq.runtime.message import Request

if TYPE_CHECKING:
    from ffq.runtime.ref import ActorRef


class State(enum.Enum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    """It takes no new mail and finishes what it has."""
    RESTARTING = "restarting"
    """It failed, or goes down with a sibling, and waits for its supervisor."""
    ENDED = "ended"


class EndReason(enum.Enum):
    """Why an actor ended."""

    STOPPED = "stopped"
    KILLED = "killed"
    FAILED = "failed"


@attrs.frozen
class Ended:
    """How an actor ended; `error` is set when it failed."""

    path: str
    reason: EndReason
    error: BaseException | None = None


@attrs.frozen
class Terminated(Request[None]):
    """What a watcher gets, on the control lane, when an actor it watches has ended (A9)."""

    ref: ActorRef[Any]
    ended: Ended
