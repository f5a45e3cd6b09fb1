"""What a worker and its coordinator say on the stream that a worker holds open.

It carries what Heartbeat and GetTask carry, without a question for each answer: beats go up as
they are due, assignments come down as work appears.
"""

from __future__ import annotations

import attrs

from ffq.messages.requests import Assignment, Heartbeat, HeartbeatReply


@attrs.frozen
class FromWorker:
    """What a worker says. The first message of a stream has a beat: it says whose the stream is.

    Attributes:
        beat: its next heartbeat.
        limit: how many assignments it takes on this stream all in all, those that it got included.
            So it does not matter which of them were under way when it said so.
        limit_ms: how long that holds, unless it says it again: one that fell silent gets no more.
    """

    beat: Heartbeat | None
    limit: int = 0
    limit_ms: int = 0


@attrs.frozen
class ToWorker:
    """What its coordinator says.

    Attributes:
        tasks: new assignments.
        beat: the answer to its next beat that has none yet.
    """

    tasks: tuple[Assignment, ...] = ()
    beat: HeartbeatReply | None = None
