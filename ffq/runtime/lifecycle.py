"""What users see of an actor's life: its state, and how it ended."""

from __future__ import annotations

import enum

import attrs


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
