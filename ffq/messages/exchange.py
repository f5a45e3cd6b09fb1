"""What a worker and its coordinator say on the stream that a worker holds open.

It carries what Heartbeat and GetTask carry, without a question for each answer: beats go up as
they are due, assignments come down as work appears.
"""

from __future__ import annotations

import enum

import attrs

from ffq.ids import AttemptKey
from ffq.messages.requests import (
    Assignment,
    Heartbeat,
    HeartbeatReply,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
)


class EndAnswer(enum.Enum):
    """What became of an attempt's end. REFUSED: the same in calls of their own will tell why."""

    REFUSED = 0
    COUNTED = 1
    TOO_LATE = 2


@attrs.frozen
class AttemptEnd:
    """How an attempt ended, with what it made: a registration or an upload, and then a report.

    contents: of a small map output, its partitions in the order that it is registered in, for those
        who read it; it is served all the same.
    """

    report: ReportTaskStatus
    made: RegisterMapOutput | RegisterQueryResults | None = None
    contents: tuple[bytes, ...] = attrs.field(default=(), repr=False)


@attrs.frozen
class FromWorker:
    """What a worker says. The first message of a stream has a beat: it says whose the stream is.

    Attributes:
        beat: its next heartbeat.
        limit: how many assignments it takes on this stream all in all, those that it got included.
            So it does not matter which of them were under way when it said so.
        limit_ms: how long that holds, unless it says it again: one that fell silent gets no more.
        ends: attempts that have ended; they are looked at before all else.
        ahead: how many assignments more it takes, which wait with it until it has a slot for them.
    """

    beat: Heartbeat | None
    limit: int = 0
    limit_ms: int = 0
    ends: tuple[AttemptEnd, ...] = ()
    ahead: int = 0


@attrs.frozen
class ToWorker:
    """What its coordinator says.

    Attributes:
        tasks: new assignments.
        beat: the answer to its next beat that has none yet.
        answers: to the ends that have none yet, the oldest first.
        rest_ms: with `beat`: for so long a worker may leave out beats that say what the last one
            said, while it runs nothing and holds no files.
        recalled: attempts to be given back, of those that wait for a slot; others go on.
    """

    tasks: tuple[Assignment, ...] = ()
    beat: HeartbeatReply | None = None
    answers: tuple[EndAnswer, ...] = ()
    rest_ms: int = 0
    recalled: tuple[AttemptKey, ...] = ()
