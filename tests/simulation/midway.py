"""A bug in the midst of a change: the core raises at one of the calls it makes for a message."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import attrs

_CORE = "ffq.core."
_DECIDE = "step"
"""The method of the actors in which their machines handle a message, and nothing else happens."""


@attrs.define
class MidwayBug:
    """Armed while a machine is about to handle a message; gone when it is handled.

    `fail` raises the exception, and may count that it does.
    """

    fail: Callable[[], None]
    _left: int = 0

    def arm(self, calls: int) -> None:
        """The core's call of this number (from 1 on) made for the present message fails.

        Fewer calls: nothing fails.
        """
        self._left = calls
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code.co_name == _DECIDE:
            sys.setprofile(None)
        elif event == "call" and frame.f_globals.get("__name__", "").startswith(_CORE):
            self._left -= 1
            if not self._left:
                sys.setprofile(None)
                self.fail()
