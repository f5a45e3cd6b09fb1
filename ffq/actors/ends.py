"""How attempts ended, as their worker tells it on its stream: all of one message is taken together.

What ends are ready at a busy worker come in one message. Taken one by one they would be several
messages to the actors for each; so they are one, and one look of everybody who waits for work.
"""

from __future__ import annotations

from collections.abc import Sequence

from ffq.core.machine import Ask
from ffq.core.walks import finish_attempts
from ffq.ids import WorkerId
from ffq.messages import (
    MAX_REPORTS,
    AttemptEnd,
    AttemptReport,
    EndAnswer,
    FinishAttempts,
    RegisterMapOutput,
    RegisterQueryResults,
)


async def take_ends(
    ask: Ask, worker_id: WorkerId, incarnation: int, ends: Sequence[AttemptEnd]
) -> tuple[EndAnswer, ...]:
    """An answer for each, in their order. The reports are all in this worker's name.

    Results are stored before the reports are taken (R3, R26). An end that one message to scheduling
    cannot hold with the others is refused, as is one that would raise: in calls of its own its
    worker is told why, or is served.
    """
    answers = [EndAnswer.REFUSED] * len(ends)
    outputs = [end.made for end in ends if isinstance(end.made, RegisterMapOutput)]
    endpoint = outputs[0].endpoint if outputs else ""
    reports: dict[int, AttemptReport] = {}
    for place, end in enumerate(ends[:MAX_REPORTS]):
        made = end.made
        if isinstance(made, RegisterMapOutput):
            if _is_of(end, made, worker_id, incarnation) and made.endpoint == endpoint:
                reports[place] = _report(end, made)
        elif made is None or await _is_stored(ask, made):
            reports[place] = _report(end)
    if not reports:
        return tuple(answers)
    batch = FinishAttempts(worker_id, incarnation, tuple(reports.values()), endpoint)
    try:
        replies = await finish_attempts(ask, batch)
    except Exception:  # noqa: BLE001  # which it is, the worker hears when it makes calls
        return tuple(answers)
    for place, reply in zip(reports, replies, strict=True):
        if reply.error is None:
            answers[place] = EndAnswer.COUNTED if reply.counted else EndAnswer.TOO_LATE
    return tuple(answers)


def _is_of(end: AttemptEnd, made: RegisterMapOutput, worker_id: WorkerId, incarnation: int) -> bool:
    """Whether an output is of the attempt that is reported, and in its worker's name."""
    return (
        (made.key, made.layout) == (end.report.key, end.report.layout)
        and made.worker_id in {None, worker_id}
        and made.incarnation in {0, incarnation}
    )


async def _is_stored(ask: Ask, made: RegisterQueryResults) -> bool:
    """False: it was refused. One that does not count is none: its report will be too late."""
    try:
        await ask(made)
    except Exception:  # noqa: BLE001  # the same
        return False
    return True


def _report(end: AttemptEnd, made: RegisterMapOutput | None = None) -> AttemptReport:
    report = end.report
    return AttemptReport(
        report.key,
        report.state,
        report.layout,
        None if made is None else made.partitions,
        report.message,
        report.kind,
        report.lost_inputs,
        report.usage,
    )
