"""What workers say is broken by whichever way it comes: in a call, or in a batch from a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ffq.core import reporting
from tests.surgery import Surgeon

Original = Callable[[], bool]
"""Does what is right; whether it counted. To be called once."""


@attrs.define
class _Step:
    """A step as it is in the code, with arguments to it, and the reply that it gave."""

    step: Callable[..., Any]
    arguments: Sequence[Any]
    reply: Any = None

    def __call__(self) -> bool:
        self.reply = self.step(*self.arguments)
        return bool(getattr(self.reply, "counted", self.reply))


def replace_reports(surgeon: Surgeon, broken: Callable[[Any, Any, int, Original], object]) -> None:
    """`broken(core, report, now_ms, original)`, once for each report."""
    alone, in_batch = reporting.report_task_status, reporting._finish_one

    def of_call(core: Any, msg: Any, now_ms: int) -> Any:
        original = _Step(alone, (core, msg, now_ms))
        broken(core, msg, now_ms, original)
        return original.reply

    def of_batch(core: Any, batch: Any, report: Any, now_ms: int) -> Any:
        original = _Step(in_batch, (core, batch, report, now_ms))
        broken(core, report, now_ms, original)
        return original.reply

    surgeon.replace_everywhere(alone, of_call)
    surgeon.replace(reporting, "_finish_one", of_batch)


def replace_registrations(
    surgeon: Surgeon, broken: Callable[[Any, Any, str, Any, Original], object]
) -> None:
    """`broken(core, key, endpoint, partitions, original)`, once for each output."""
    alone, in_batch = reporting.register_map_output, reporting._finish_one

    def of_call(core: Any, msg: Any, now_ms: int) -> Any:
        original = _Step(alone, (core, msg, now_ms))
        broken(core, msg.key, msg.endpoint, msg.partitions, original)
        return original.reply

    def of_batch(core: Any, batch: Any, report: Any, now_ms: int) -> Any:
        original = _Step(in_batch, (core, batch, report, now_ms))
        if report.output is None:
            original()
        else:
            broken(core, report.key, batch.endpoint, report.output, original)
        return original.reply

    surgeon.replace_everywhere(alone, of_call)
    surgeon.replace(reporting, "_finish_one", of_batch)
