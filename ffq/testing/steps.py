"""Steps that clients and workers take, as values: what the machine draws and scenarios list.

Steps name queries and workers by small numbers, and attempts by query, stage and number, so that a
list of steps keeps its meaning when some are left out; that is how a failing list is shortened.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from ffq.testing.queries import PlanShape, plan_shapes
from ffq.testing.results import result_payload
from ffq.testing.session import Session
from ffq.testing.wire import OutputPartition, StatusView, TaskState, TaskView

POLL_MS = 20


class Step(Protocol):
    """One thing that a client or a worker does: one RPC, or a few that belong together."""

    def play(self, player: Player) -> None: ...


@attrs.frozen
class At:
    """An attempt, whether or not it was ever assigned. Attempt 0: the newest assigned."""

    query: int
    stage: int = 0
    attempt: int = 0


class Player:
    """Plays steps in one session, under names of its own.

    Args:
        session: where the calls go.
        tag: makes names of queries, workers and the operator differ from other players'. Query ids
            are decimal numbers when it is one (coordinators of old take no others).
        wide: map stages of the plan "wide".
    """

    def __init__(self, session: Session, tag: str = "", wide: int = 6) -> None:
        self.session = session
        self.operator = f"op{tag}"
        self.shapes: dict[str, PlanShape] = plan_shapes(self.operator, wide)
        self._tag = tag
        self.submitted: set[str] = set()
        self.held: list[TaskView] = []
        self.cancels = 0

    def query_id(self, query: int) -> str:
        return f"{self._tag}{query + 1:03}"

    def worker_id(self, worker: int) -> str:
        return f"w{self._tag}-{worker}"

    def capabilities(self, capable: bool) -> frozenset[str]:
        return frozenset({self.operator}) if capable else frozenset()

    def task(self, at: At) -> TaskView:
        """The attempt's assignment; one that was never assigned is made up."""
        query_id = self.query_id(at.query)
        for task in reversed(self.held):
            if (task.query_id, task.stage_id) == (query_id, at.stage) and at.attempt in {
                0,
                task.attempt,
            }:
                return task
        return TaskView(query_id, at.stage, 0, max(at.attempt, 1))

    def holds(self, at: At) -> bool:
        """Whether the attempt was ever assigned."""
        wanted = (self.query_id(at.query), at.stage, at.attempt)
        return any((task.query_id, task.stage_id, task.attempt) == wanted for task in self.held)

    def may_come(self, at: At, deadline: int) -> bool:
        """Whether the attempt can be assigned by then: else there is no use in asking for it."""
        world = self.session.judge.world
        query = world.queries.get(self.query_id(at.query))
        if query is None or not query.active or at.stage >= len(query.tasks):
            return False
        task = query.tasks[at.stage]
        if at.attempt != len(task.attempts) + 1 or task.committed is not None:
            return False
        newest = task.newest
        if newest is None or not newest.is_open:
            return True
        holder = world.workers[newest.worker_id]
        return holder.heard.lo + self.session.told.worker_liveness_timeout_ms < deadline

    def has_work(self) -> bool:
        """Whether a query of its own may have something to hand out."""
        queries = self.session.judge.world.queries
        return any(query_id in queries and queries[query_id].active for query_id in self.submitted)

    def pull(self, worker: int, capacity: int) -> tuple[TaskView, ...]:
        tasks = self.session.get_task(self.worker_id(worker), capacity)
        self.held += tasks
        return tasks

    def complete(self, task: TaskView, value: int = 7) -> None:
        """What a worker on the fixed wire does when its task went well."""
        if task.stage_id == 0:
            self.session.register_results(task.query_id, result_payload(value))
        else:
            self.session.register_map_output(task, output(partition=0, size=100 * value))
        self.session.report(task, TaskState.SUCCEEDED)


def output(
    partition: int, size: int, *, finalized: bool = True, epoch: int = 0
) -> tuple[OutputPartition, ...]:
    """One partition as a worker registers it: a row for every ten bytes."""
    return (
        OutputPartition(
            reduce_partition=partition,
            bytes=size,
            rows=size // 10,
            batches=1,
            stream_epoch=epoch,
            committed_offset=size,
            finalized=finalized,
        ),
    )


# --- clients -----------------------------------------------------------------------------------


@attrs.frozen
class Submit:
    query: int
    plan: str

    def play(self, player: Player) -> None:
        query_id = player.query_id(self.query)
        player.submitted.add(query_id)
        player.session.submit(query_id, player.shapes[self.plan])


@attrs.frozen
class SubmitBytes:
    """Submit bytes that are no plan, under an id that is not used otherwise."""

    plan: bytes

    def play(self, player: Player) -> None:
        player.session.submit_bytes(player.query_id(900), self.plan)


@attrs.frozen
class Malformed:
    """Submit a sound plan under an id that is none."""

    query_id: str

    def play(self, player: Player) -> None:
        player.submitted.add(self.query_id)
        player.session.submit_under(self.query_id, player.shapes["scan"])


@attrs.frozen
class Status:
    query: int

    def play(self, player: Player) -> None:
        player.session.status(player.query_id(self.query))


@attrs.frozen
class Cancel:
    query: int

    def play(self, player: Player) -> None:
        player.cancels += 1
        player.session.cancel(player.query_id(self.query), f"reason {player.cancels}")


@attrs.frozen
class Results:
    query: int

    def play(self, player: Player) -> None:
        player.session.fetch_results(player.query_id(self.query))


# --- workers -----------------------------------------------------------------------------------


@attrs.frozen
class Beat:
    worker: int
    capable: bool = False

    def play(self, player: Player) -> None:
        player.session.heartbeat(player.worker_id(self.worker), player.capabilities(self.capable))


@attrs.frozen
class Pull:
    worker: int
    capacity: int = 1

    def play(self, player: Player) -> None:
        player.pull(self.worker, self.capacity)


@attrs.frozen
class Work:
    """A worker that works: pulls, and completes all that it got."""

    worker: int
    capacity: int
    value: int

    def play(self, player: Player) -> None:
        for task in player.pull(self.worker, self.capacity):
            player.complete(task, self.value)


@attrs.frozen
class Await:
    """Ask for one task at a time until this attempt comes, or `within_ms` have passed."""

    worker: int
    at: At
    within_ms: int

    def play(self, player: Player) -> None:
        deadline = player.session.now_ms + self.within_ms
        while not player.holds(self.at):
            player.pull(self.worker, 1)
            if player.session.now_ms >= deadline or not player.may_come(self.at, deadline):
                return
            player.session.advance(POLL_MS, noted=False)


@attrs.frozen
class Report:
    """`echo` False: under another layout than the attempt's own (R13)."""

    at: At
    state: TaskState
    echo: bool = True

    def play(self, player: Player) -> None:
        task = player.task(self.at)
        if not self.echo:
            task = attrs.evolve(task, layout_fingerprint=task.layout_fingerprint ^ 1)
        player.session.report(task, self.state, f"reported by the worker of {task}")


@attrs.frozen
class Complete:
    """Register the output, or upload the result, then report SUCCEEDED."""

    at: At
    value: int = 7

    def play(self, player: Player) -> None:
        player.complete(player.task(self.at), self.value)


@attrs.frozen
class Claim:
    """Pull a task and report success without what makes one: no result, or unfinished output."""

    worker: int

    def play(self, player: Player) -> None:
        for task in player.pull(self.worker, 1):
            if task.stage_id != 0:
                unfinished = output(partition=0, size=10, finalized=False)
                player.session.register_map_output(task, unfinished)
            player.session.report(task, TaskState.SUCCEEDED)


@attrs.frozen
class WorkOne:
    """Ask for one task at a time until one comes, at most for `within_ms`; complete it."""

    worker: int
    within_ms: int

    def play(self, player: Player) -> None:
        for task in _pull_one(player, self.worker, self.within_ms):
            player.complete(task)


@attrs.frozen
class FailOften:
    """Pull and fail one task after the other; enough of that excludes a worker (R16)."""

    worker: int
    times: int
    within_ms: int
    poll_ms: int = POLL_MS

    def play(self, player: Player) -> None:
        for _ in range(self.times):
            for task in _pull_one(player, self.worker, self.within_ms, self.poll_ms):
                player.session.report(task, TaskState.FAILED, f"no luck with {task}")


def _pull_one(
    player: Player, worker: int, within_ms: int, poll_ms: int = POLL_MS
) -> tuple[TaskView, ...]:
    deadline = player.session.now_ms + within_ms
    while True:
        tasks = player.pull(worker, 1)
        if tasks or player.session.now_ms >= deadline or not player.has_work():
            return tasks
        player.session.advance(poll_ms, noted=False)


@attrs.frozen
class Register:
    at: At
    partition: int
    size: int = 10
    finalized: bool = True
    epoch: int = 0

    def play(self, player: Player) -> None:
        player.session.register_map_output(
            player.task(self.at),
            output(self.partition, self.size, finalized=self.finalized, epoch=self.epoch),
        )


@attrs.frozen
class Upload:
    query: int
    value: int

    def play(self, player: Player) -> None:
        player.session.register_results(player.query_id(self.query), result_payload(self.value))


@attrs.frozen
class Fetch:
    """`exact` False: attempt 0, the committed one."""

    at: At
    partition: int
    exact: bool = True

    def play(self, player: Player) -> None:
        task = player.task(self.at)
        if not self.exact:
            task = attrs.evolve(task, attempt=0)
        player.session.fetch_partition(task, self.partition)


# --- duplicates and time -----------------------------------------------------------------------


@attrs.frozen
class Twice:
    """A report that arrives once more: the second changes nothing (R15)."""

    at: At
    state: TaskState

    def play(self, player: Player) -> None:
        for _ in range(2):
            Report(self.at, self.state).play(player)


@attrs.frozen
class Wait:
    ms: int

    def play(self, player: Player) -> None:
        player.session.advance(self.ms)


@attrs.frozen
class Keep:
    """These workers beat, several times per liveness timeout, for so long."""

    workers: tuple[int, ...]
    ms: int
    capable: bool = False

    def play(self, player: Player) -> None:
        session = player.session
        pause = max(session.told.worker_liveness_timeout_ms // 4, 1)
        until = session.now_ms + self.ms
        names = ", ".join(player.worker_id(worker) for worker in self.workers) or "nobody"
        with session.written_as(f"{names} beats every {pause} ms, for {self.ms} ms"):
            while session.now_ms < until:
                session.advance(min(pause, until - session.now_ms))
                for worker in self.workers:
                    Beat(worker, self.capable).play(player)


@attrs.frozen
class Ask:
    """A worker that sends nothing else but GetTask without capacity, for so long (R18)."""

    worker: int
    ms: int

    def play(self, player: Player) -> None:
        _repeat(player, self.ms, Pull(self.worker, capacity=0), "GetTask")


@attrs.frozen
class Tell:
    """A worker that sends nothing else but reports that an attempt is RUNNING, for so long."""

    at: At
    ms: int

    def play(self, player: Player) -> None:
        _repeat(player, self.ms, Report(self.at, TaskState.RUNNING), "ReportTaskStatus(RUNNING)")


@attrs.frozen
class Publish:
    """A worker that sends nothing else but the growing output of an attempt, for so long."""

    at: At
    ms: int

    def play(self, player: Player) -> None:
        _repeat(player, self.ms, Register(self.at, 0, 10), "RegisterMapOutput")


def _repeat(player: Player, ms: int, step: Step, name: str) -> None:
    session = player.session
    pause = max(session.told.worker_liveness_timeout_ms // 2, 1)
    until = session.now_ms + ms
    with session.written_as(f"{name} every {pause} ms, for {ms} ms"):
        while session.now_ms < until:
            session.advance(min(pause, until - session.now_ms))
            step.play(player)


@attrs.frozen
class UseAllSlots:
    """Fresh work for every slot of a fresh worker: each must be filled (R7, R30)."""

    query: int
    within_ms: int = 0
    plan: str = "custom"

    def play(self, player: Player) -> None:
        session = player.session
        slots = session.told.max_concurrent_tasks_per_worker
        queries = range(self.query, self.query + slots)
        for query in queries:
            Submit(query, self.plan).play(player)
        worker = 98
        Beat(worker, capable=True).play(player)
        deadline = session.now_ms + self.within_ms
        filled = 0
        while filled < slots:
            filled += len(player.pull(worker, slots - filled))
            if session.now_ms >= deadline:
                break
            session.advance(POLL_MS, noted=False)
        session.require(
            "slots-come-back",
            filled == slots,
            f"of {slots} slots of a fresh worker, {filled} could be filled",
        )
        for query in queries:
            Cancel(query).play(player)


@attrs.frozen
class RunToEnd:
    """From here on nothing fails: one capable worker does all there is, and every query ends.

    Work that others hold comes back when they have been silent for long enough.
    """

    def play(self, player: Player) -> None:
        told = player.session.told
        longest = told.backoff_ms(told.max_task_attempts)
        pause = max(told.worker_liveness_timeout_ms, longest) + told.slack_ms + 1
        active = self._active(player)
        # Each task may still fail and be requeued up to its budget, each time after a pause; a
        # query has at most as many tasks one after the other as stages.
        rounds = 4 + sum(
            2 * told.max_task_attempts + len(player.shapes["wide"].stages) for _ in active
        )
        for _ in range(rounds):
            if not self._active(player):
                break
            self._round(player, pause)
        session = player.session
        for query_id in sorted(player.submitted):
            status = session.status(query_id)
            session.require(
                "every-query-ends",
                isinstance(status, StatusView) and status.state.terminal,
                f"after {rounds} rounds without a fault, {query_id} is {status}",
            )
            session.fetch_results(query_id)

    def _round(self, player: Player, pause: int) -> None:
        session = player.session
        healer = player.worker_id(99)
        session.heartbeat(healer, player.capabilities(capable=True))
        tasks = session.get_task(healer, session.told.max_concurrent_tasks_per_worker)
        for task in tasks:
            player.complete(task)
        if not tasks:
            session.advance(pause)

    def _active(self, player: Player) -> list[str]:
        believed = player.session.judge.world.queries
        return [
            query_id
            for query_id in player.submitted
            if query_id in believed and believed[query_id].active
        ]
