"""What a broken coordinator is registered with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.steps import (
    At,
    Step,
)
from ffq.testing.wire import Refusal, StatusView, TaskState

OK, BAD = TaskState.SUCCEEDED, TaskState.FAILED
SINK, MAP = At(0, 0, 1), At(0, 1, 1)

DECLARED = CoordinatorSettings(
    max_concurrent_tasks_per_worker=3,
    max_concurrent_tasks_per_query=4,
    blacklist_failure_threshold=3,
    retry_backoff_base_ms=100,
    worker_liveness_timeout_ms=1_000,
    blacklist_ttl_ms=3_000,
)


@attrs.frozen
class Case:
    """`declared`: the settings the harness is given, where the break is that they differ."""

    make: Callable[[], CoreAdapter]
    steps: tuple[Step, ...]
    declared: CoordinatorSettings = DECLARED


CASES: dict[str, Case] = {}


def breaks(check: str, *steps: Step) -> Callable[[type[CoreAdapter]], type[CoreAdapter]]:
    """The adapter breaks this check, which these steps show."""

    def register(adapter: type[CoreAdapter]) -> type[CoreAdapter]:
        CASES[check] = Case(lambda: adapter(CoreCoordinator(DECLARED)), steps)
        return adapter

    return register


def differs(check: str, *steps: Step, **actual: Any) -> None:
    """A coordinator that has other settings than are declared."""
    settings = attrs.evolve(DECLARED, **actual)
    CASES[check] = Case(lambda: CoreAdapter(CoreCoordinator(settings)), steps)


def changed(reply: StatusView | Refusal, **changes: Any) -> StatusView | Refusal:
    return attrs.evolve(reply, **changes) if isinstance(reply, StatusView) else reply
