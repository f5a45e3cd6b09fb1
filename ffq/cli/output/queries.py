"""What the coordinator knows of queries, stages and workers, as grids."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Sequence
from typing import Any

import attrs

from ffq.display.grid import Grid
from ffq.messages import QueryStatus, StageStatus, WorkerStatus


def queries_grid(queries: Sequence[QueryStatus]) -> Grid:
    """Newest first, as they come."""
    return Grid(
        columns=("query", "state", "submitted", "ms", "message"),
        rows=[
            (
                query.query_id,
                query.state.name,
                local_time(query.submitted_at_ms),
                duration(query),
                query.message,
            )
            for query in queries
        ],
        right=(3,),
        title="Queries",
    )


def workers_grid(workers: Sequence[WorkerStatus]) -> Grid:
    return Grid(
        columns=(
            *("worker", "state", "running", "slots", "stuck", "failures"),
            *("shuffle", "engine", "capabilities"),
        ),
        rows=[
            (
                worker.worker_id,
                _worker_state(worker),
                str(worker.running_attempts),
                str(worker.slots or "?"),
                str(worker.stuck_tasks),
                str(worker.consecutive_failures),
                worker.endpoint,
                worker.family,
                " ".join(worker.capabilities),
            )
            for worker in workers
        ],
        right=(2, 3, 4, 5),
        title="Workers",
    )


def stages_grid(stages: Sequence[StageStatus]) -> Grid:
    return Grid(
        columns=("stage", "queued", "running", "succeeded", "failed", "rows out", "bytes out"),
        rows=[
            tuple(
                str(number)
                for number in (
                    stage.stage_id,
                    stage.queued_tasks,
                    stage.running_tasks,
                    stage.succeeded_tasks,
                    stage.failed_tasks,
                    # What the sink gives out is the result, which is not counted here.
                    stage.map_output_rows if stage.stage_id else "",
                    stage.map_output_bytes if stage.stage_id else "",
                )
            )
            for stage in stages
        ],
        right=range(7),
        title="Stages",
    )


def decisions_text(query: QueryStatus) -> str:
    """What the sizes of finished stages have decided, a line for each stage that it is about."""
    return "\n".join(
        f"Stage {stage.stage_id}: {decision}"
        for stage in query.stages
        for decision in stage.decisions
    )


def status_json(**parts: object) -> str:
    """Statuses as one JSON object, for programs: fields as in `ffq.messages`, states by name.

    In ASCII, so that no terminal's encoding matters.
    """
    return json.dumps({name: _fields(part) for name, part in parts.items()}, indent=2)


def _fields(status: Any) -> object:
    if isinstance(status, tuple):
        return [_fields(each) for each in status]
    return None if status is None else attrs.asdict(status, value_serializer=_plain)


def _plain(_owner: object, _field: object, value: Any) -> Any:
    return value.name if isinstance(value, enum.Enum) else value


def local_time(unix_ms: int) -> str:
    """A time of the wall clock, in the zone of whoever reads it, to the second."""
    moment = datetime.datetime.fromtimestamp(unix_ms / 1000).astimezone()
    return moment.isoformat(sep=" ", timespec="seconds")


def duration(query: QueryStatus) -> str | None:
    """From submission to the end, in ms; None while it has not ended."""
    if query.finished_at_ms is None:
        return None
    return str(query.finished_at_ms - query.submitted_at_ms)


def _worker_state(worker: WorkerStatus) -> str:
    if worker.excluded:
        return "excluded"
    return "draining" if worker.draining else "live"
