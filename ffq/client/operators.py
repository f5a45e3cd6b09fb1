"""Custom operators that a plan needs, and clusters to which nobody is likely to bring them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from ffq.engine.operators import REGISTRY
from ffq.errors import PlanningError
from ffq.messages import WorkerStatus
from ffq.messages.vocabulary import SPLITS
from ffq.plan.recent import graph_of
from ffq.sql.parsing import OPERATOR

_CALL: Final = re.compile(rf"\b{OPERATOR}\b", re.IGNORECASE)


def wanted_operators(plan: bytes) -> frozenset[str]:
    """Raises InvalidPlan, PlanningError: it is no plan."""
    return frozenset(name for stage in graph_of(plan).stages for name in stage.operators)


def may_call_operators(sql: str) -> bool:
    """Whether a text holds the word by which one is called; of one that does not, none is."""
    return _CALL.search(sql) is not None


def check_somebody_has(
    wanted: frozenset[str], workers: Iterable[WorkerStatus], cluster: str
) -> None:
    """
    Args:
        cluster: what errors call it.

    Raises:
        PlanningError: neither this process nor a worker has one of the operators.
    """
    able = REGISTRY.names().union(*(worker.capabilities for worker in workers)) - {SPLITS}
    if missing := sorted(wanted - able):
        raise PlanningError(_nobody_has(missing[0], sorted(able), cluster))


def _nobody_has(name: str, able: list[str], cluster: str) -> str:
    near = difflib.get_close_matches(name, able, n=1)
    hint = f": did you mean {near[0]!r}?" if near else f"; there are: {', '.join(able) or 'none'}."
    return (
        f"no worker of this {cluster} has custom operator {name!r}{hint} "
        f'Register it with @ffq.operator("{name}") here, or name its module in operators=.'
    )
