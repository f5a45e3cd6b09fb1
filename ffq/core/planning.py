"""From plan bytes to a query that scheduling can accept: read, digested and cut (R1). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Never

from ffq.errors import UnsupportedPlan
from ffq.messages import AcceptQuery, DigestPlan, ListTables, PlanText, ReadPlan, ReadText
from ffq.plan.codec import plan_digest
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.recent import graph_of


def read_plan(msg: ReadPlan, limits: PlanLimits = DEFAULT_LIMITS) -> AcceptQuery:
    """The query, its scans not bound to any files.

    Raises:
        InvalidPlan: too large, or no plan.
        PlanningError: it cannot be cut, or into too many stages.
    """
    graph = graph_of(msg.plan_bytes, limits)
    digest = plan_digest(msg.plan_bytes)
    return AcceptQuery(msg.query_id, msg.plan_bytes, digest, graph, timeouts=msg.timeouts)


def digest_plan(msg: DigestPlan) -> bytes:
    """The digest alone."""
    return plan_digest(msg.plan_bytes)


def refuse_sql(_: PlanText | ReadText) -> Never:
    """Raises UnsupportedPlan: to plan a text takes an engine, which is none of the core's."""
    raise UnsupportedPlan("this coordinator plans no SQL: it takes plans")


def no_tables(_: ListTables) -> tuple[str, ...]:
    """The core has no catalog."""
    return ()


PLANNER: Final[Mapping[type, Callable[[Any], Any]]] = {
    ReadPlan: read_plan,
    DigestPlan: digest_plan,
    PlanText: refuse_sql,
    ReadText: refuse_sql,
    ListTables: no_tables,
}
"""What a planner answers, and how: it may do so on a thread, bind what it has read to files, and
plan SQL.
"""
