"""Which worker ran what."""

from __future__ import annotations

from collections.abc import Sequence

from ffq.display.grid import Grid
from ffq.messages import AttemptStatus

COLUMNS = ("stage", "task", "attempt", "worker", "state", "ms", "remark")


def attempts_grid(attempts: Sequence[AttemptStatus], title: str = "") -> Grid:
    """One row per attempt, in key order; ms from assignment to end."""
    return Grid(
        columns=COLUMNS,
        rows=[_row(attempt) for attempt in attempts],
        right=(0, 1, 2, 5),
        title=title,
    )


def _row(attempt: AttemptStatus) -> tuple[str | None, ...]:
    begun, ended = attempt.assigned_at_ms, attempt.finished_at_ms
    return (
        str(attempt.key.stage_id),
        str(attempt.key.task_id),
        str(attempt.key.attempt),
        attempt.worker_id,
        attempt.state.name,
        None if begun is None or ended is None else str(ended - begun),
        attempt.message or ("second attempt" if attempt.speculative else ""),
    )
