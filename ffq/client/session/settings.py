"""What `ffq.connect` is told, parsed once."""

from __future__ import annotations

import os
from typing import Final

import attrs

from ffq.client.arguments import check_count, check_modules
from ffq.core.settings import CoordinatorSettings
from ffq.endpoint import parse_endpoint
from ffq.errors import InvalidRequest, words
from ffq.worker.config import MAX_SLOTS

MOST_WORKERS: Final = 64
"""Of a cluster that is embedded in one machine."""


@attrs.frozen
class EmbeddedSettings:
    """An embedded cluster.

    Attributes:
        workers: processes.
        slots: tasks at once of each.
        operators: modules that the processes import, with commas between.
    """

    workers: int
    slots: int
    operators: str
    coordinator: CoordinatorSettings = attrs.field(factory=CoordinatorSettings)


@attrs.frozen
class SessionSettings:
    """endpoint: of a coordinator somewhere else; None: `embedded` says what to start."""

    endpoint: str | None
    embedded: EmbeddedSettings
    timeout_ms: int
    poll_ms: int
    progress: bool | None


def session_settings(
    endpoint: str | None,
    workers: int | None,
    slots: int,
    operators: str,
    timeout_ms: int,
    poll_ms: int,
    progress: bool | None,
) -> SessionSettings:
    """Raises InvalidRequest: names the argument, and what would be right."""
    if endpoint is not None:
        if not isinstance(endpoint, str):
            raise InvalidRequest(
                f"ffq.connect: endpoint={words(endpoint)}; right would be a text, host:port, or "
                "nothing for an embedded cluster"
            )
        parse_endpoint(endpoint)
        if workers is not None or operators:
            raise InvalidRequest(
                "ffq.connect: workers and operators are of an embedded cluster; the coordinator at "
                f"{endpoint} has its own"
            )
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    check_count("ffq.connect", "workers", count, MOST_WORKERS)
    check_count("ffq.connect", "slots", slots, MAX_SLOTS)
    check_modules("ffq.connect", operators)
    if not isinstance(progress, bool | None):
        raise InvalidRequest(
            f"ffq.connect: progress={words(progress)}; right would be True, False, or None for "
            "where somebody sees it"
        )
    embedded = EmbeddedSettings(min(count, MOST_WORKERS), slots, operators)
    return SessionSettings(endpoint, embedded, timeout_ms, poll_ms, progress)
