"""Answers that are errors (R28, R29)."""

from __future__ import annotations

from ffq.testing.invariants import CheckLog
from ffq.testing.wire import Refusal


def is_overload(log: CheckLog, reply: object) -> bool:
    """Whether the coordinator declined for lack of room (R30): then nothing happened."""
    if not isinstance(reply, Refusal):
        return False
    well_formed = reply.code != "UNKNOWN" and "Traceback (most recent" not in reply.message
    log.require(
        "refusals-have-codes", well_formed, f"refused with {reply}: {reply.message[:200]!r}"
    )
    return reply.code == "RESOURCE_EXHAUSTED"


def require_answer(log: CheckLog, reply: object, what: str) -> None:
    """`what` is right, and must not be refused."""
    if isinstance(reply, Refusal):
        log.require("refusals-have-codes", False, f"{what} was refused: {reply} {reply.message}")


def require_unknown(log: CheckLog, reply: object, query_id: str) -> None:
    """Answers about a query that was never submitted (R27, R29)."""
    right = isinstance(reply, Refusal) and reply.code == "NOT_FOUND"
    if isinstance(reply, Refusal) and reply.reason:
        right = right and reply.reason == "UNKNOWN_QUERY"
    log.require(
        "unknown-query-refused",
        right,
        f"query {query_id} was never submitted; right is NOT_FOUND UNKNOWN_QUERY, not {reply}",
    )
