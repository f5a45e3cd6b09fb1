"""The message that tells a watcher of an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ffq.runtime.message import Request

if TYPE_CHECKING:
    from ffq.runtime.lifecycle import Ended
    from ffq.runtime.ref import ActorRef


@attrs.frozen
class Terminated(Request[None]):
    """What a watcher gets, on the control lane, when an actor it watches has ended (A9)."""

    ref: ActorRef[Any]
    ended: Ended
