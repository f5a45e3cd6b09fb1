"""What workers do."""

from __future__ import annotations

import attrs

from ffq.testing.results import result_payload
from ffq.testing.steps.player import At, Player, output
from ffq.testing.wire import TaskState, TaskView

POLL_MS = 20


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


@attrs.frozen
class Twice:
    """A report that arrives once more: the second changes nothing (R15)."""

    at: At
    state: TaskState

    def play(self, player: Player) -> None:
        for _ in range(2):
            Report(self.at, self.state).play(player)
