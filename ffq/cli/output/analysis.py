"""What a query's stages and tasks did, as their workers measured it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from statistics import median

import attrs

from ffq.display.grid import Grid
from ffq.ids import StageId
from ffq.messages import NO_USAGE, AttemptStatus, QueryStatus, TaskState
from ffq.plan.explain import bytes_text
from ffq.plan.stages import StageGraph

_TIMES = ("wait", "fetch", "scan", "compute", "write")
_COLUMNS = ("rows in", "bytes in", "rows out", "bytes out", *(f"{each} ms" for each in _TIMES))


@attrs.frozen
class _Task:
    """The attempt that counts. wait_ms: from when its inputs were there to its assignment."""

    attempt: AttemptStatus
    wait_ms: int

    def numbers(self) -> tuple[int, ...]:
        used = self.attempt.usage or NO_USAGE
        times = (used.fetch_us, used.scan_us, used.compute_us, used.write_us)
        return (
            used.input_rows,
            used.input_bytes,
            used.output_rows,
            used.output_bytes,
            self.wait_ms,
            *(round(each / 1000) for each in times),
        )

    @property
    def took_ms(self) -> int:
        begun, ended = self.attempt.assigned_at_ms, self.attempt.finished_at_ms
        return 0 if begun is None or ended is None else ended - begun


def stages_analysis(
    graph: StageGraph, query: QueryStatus, attempts: Sequence[AttemptStatus]
) -> Grid:
    """One row per stage, in the order in which they were ready: sums over its tasks.

    Times are sums too: those of a stage of many tasks at once are more than it lasted; `ms` is what
    it lasted. skew: how much longer the slowest task took than the one in the middle. retries:
    attempts that did not count. second: attempts that were begun while another one of their task
    ran; only where there are any.
    """
    tasks = _tasks(graph, query, attempts)
    tried: dict[int, int] = defaultdict(int)
    second: dict[int, int] = defaultdict(int)
    for attempt in attempts:
        tried[attempt.key.stage_id] += attempt.state is not TaskState.QUEUED
        second[attempt.key.stage_id] += attempt.speculative
    rows = []
    for stage in reversed(graph.stages):
        done = tasks.get(stage.stage_id, [])
        sums = [sum(column) for column in zip(*(task.numbers() for task in done), strict=True)]
        spilled = sum((task.attempt.usage or NO_USAGE).spilled_bytes for task in done)
        rows.append(
            (
                str(stage.stage_id),
                str(len(done)),
                str(tried[stage.stage_id] - len(done)),
                str(_lasted(done)),
                *_shown(sums or [0] * len(_COLUMNS)),
                bytes_text(spilled) if spilled else "",
                _skew(done),
                *([str(second[stage.stage_id])] if any(second.values()) else []),
            )
        )
    columns = ["stage", "tasks", "retries", "ms", *_COLUMNS, "spilled", "skew"]
    if any(second.values()):
        columns.append("second")
    return Grid(columns, rows, right=range(len(columns)), title="Stages")


def tasks_analysis(
    graph: StageGraph, query: QueryStatus, attempts: Sequence[AttemptStatus]
) -> Grid:
    """One row per task: of the attempt that counts."""
    rows = [
        (
            str(task.attempt.key.stage_id),
            str(task.attempt.key.task_id),
            str(task.attempt.key.attempt),
            task.attempt.worker_id,
            str(task.took_ms),
            *_shown(task.numbers()),
        )
        for _, tasks in sorted(_tasks(graph, query, attempts).items(), reverse=True)
        for task in tasks
    ]
    columns = ("stage", "task", "attempt", "worker", "ms", *_COLUMNS)
    right = [at for at, name in enumerate(columns) if name != "worker"]
    return Grid(columns, rows, right=right, title="Tasks")


def _tasks(
    graph: StageGraph, query: QueryStatus, attempts: Sequence[AttemptStatus]
) -> Mapping[int, list[_Task]]:
    counted: dict[int, list[AttemptStatus]] = defaultdict(list)
    for attempt in attempts:
        if attempt.committed:
            counted[attempt.key.stage_id].append(attempt)
    ended = {
        stage: max(attempt.finished_at_ms or 0 for attempt in done)
        for stage, done in counted.items()
    }
    skipped = {each.stage_id for each in query.stages if each.skipped}
    tasks = {}
    for stage, done in counted.items():
        parents = _read_by(graph, graph.stages[stage].stage_id, skipped)
        ready = max((ended.get(parent, 0) for parent in parents), default=0)
        ready = max(ready, query.submitted_at_ms)
        tasks[stage] = [
            _Task(attempt, max(0, (attempt.assigned_at_ms or ready) - ready)) for attempt in done
        ]
    return tasks


def _read_by(graph: StageGraph, stage: StageId, skipped: Set[StageId]) -> Iterator[StageId]:
    """What its tasks read: in place of a stage that was skipped, what that one would have read."""
    for parent in graph.parents_of(stage):
        if parent in skipped:
            yield from _read_by(graph, parent, skipped)
        else:
            yield parent


def _shown(numbers: Sequence[int]) -> tuple[str, ...]:
    rows_in, bytes_in, rows_out, bytes_out, *times = numbers
    sizes = (f"{rows_in:,}", bytes_text(bytes_in), f"{rows_out:,}", bytes_text(bytes_out))
    return (*sizes, *map(str, times))


def _lasted(tasks: Sequence[_Task]) -> int:
    """ms from the first assignment to the last end."""
    begun = min((task.attempt.assigned_at_ms or 0 for task in tasks), default=0)
    return max((task.attempt.finished_at_ms or 0 for task in tasks), default=begun) - begun


def _skew(tasks: Sequence[_Task]) -> str:
    if len(tasks) < 2:
        return ""
    times = [task.took_ms for task in tasks]
    return f"{max(times) / max(1.0, median(times)):.1f}x"
