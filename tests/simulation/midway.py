"""A bug in the midst of a change: the core raises at one of the calls it makes for a message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs

from ffq.core.machine import Machine
from tests.surgery import Function, Surgeon


@attrs.define
class MidwayBug:
    """Counts the calls that the core makes while a machine takes a step, and strikes at one.

    `fail` raises the exception, and may count that it does.
    """

    fail: Callable[[], None]
    _due: list[int] = attrs.field(factory=list)
    _left: int = 0
    _surgeon: Surgeon | None = None

    def arm(self, calls: list[int]) -> None:
        """In the next steps the core's call of this number (from 1 on) fails, a step each.

        Where a step makes fewer calls, nothing fails in it.
        """
        self._due += calls
        if self._surgeon is None:
            self._surgeon = Surgeon()
            self._surgeon.replace(Machine, "step", self._stepping(Machine.step))
            self._surgeon.wrap_core(self._counting)

    def remove(self) -> None:
        """The core is as it was."""
        if self._surgeon is not None:
            self._surgeon.mend()

    def _stepping(self, step: Function) -> Function:
        @functools.wraps(step)
        def counted(*arguments: Any) -> Any:
            self._left = self._due.pop() if self._due else 0
            try:
                return step(*arguments)
            finally:
                self._left = 0

        return counted

    def _counting(self, function: Function) -> Function:
        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            if self._left:
                self._left -= 1
                if not self._left:
                    self.fail()
            return function(*arguments, **named)

        return counted
