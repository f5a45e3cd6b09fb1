"""ffq.runtime: typed, bounded, supervised actors on Trio. It knows nothing of FFQ.

The names are loaded when first used, so that `ffq.runtime.message`, which pure code imports, does
not bring in Trio. A1 to A15, in docstrings here and in names of tests (`test_A5_...`), are the
guarantees of docs/actors.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffq.runtime._handlers import handles as handles
    from ffq.runtime._timers import Timer as Timer
    from ffq.runtime._watch import Terminated as Terminated
    from ffq.runtime.actor import Actor as Actor
    from ffq.runtime.context import ActorContext as ActorContext
    from ffq.runtime.deadletters import DeadLetter as DeadLetter
    from ffq.runtime.errors import ActorEnded as ActorEnded
    from ffq.runtime.errors import ActorError as ActorError
    from ffq.runtime.errors import ActorFailed as ActorFailed
    from ffq.runtime.errors import MailboxFull as MailboxFull
    from ffq.runtime.errors import WaitCycle as WaitCycle
    from ffq.runtime.hooks import Hooks as Hooks
    from ffq.runtime.lifecycle import Ended as Ended
    from ffq.runtime.lifecycle import EndReason as EndReason
    from ffq.runtime.lifecycle import State as State
    from ffq.runtime.message import Request as Request
    from ffq.runtime.ref import ActorRef as ActorRef
    from ffq.runtime.supervision import Backoff as Backoff
    from ffq.runtime.supervision import Strategy as Strategy
    from ffq.runtime.supervision import Supervision as Supervision
    from ffq.runtime.system import ActorSystem as ActorSystem

_HOMES = {
    "Actor": "actor",
    "ActorContext": "context",
    "ActorEnded": "errors",
    "ActorError": "errors",
    "ActorFailed": "errors",
    "ActorRef": "ref",
    "ActorSystem": "system",
    "Backoff": "supervision",
    "DeadLetter": "deadletters",
    "EndReason": "lifecycle",
    "Ended": "lifecycle",
    "Hooks": "hooks",
    "MailboxFull": "errors",
    "Request": "message",
    "State": "lifecycle",
    "Strategy": "supervision",
    "Supervision": "supervision",
    "Terminated": "_watch",
    "Timer": "_timers",
    "WaitCycle": "errors",
    "handles": "_handlers",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
