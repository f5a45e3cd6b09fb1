"""Time, and workers that let it pass."""

from __future__ import annotations

import attrs

from ffq.testing.steps.player import At, Player, Step
from ffq.testing.steps.workers import Beat, Pull, Register, Report
from ffq.testing.wire import TaskState


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
        pause = max(session.declared.worker_liveness_timeout_ms // 4, 1)
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
    pause = max(session.declared.worker_liveness_timeout_ms // 2, 1)
    until = session.now_ms + ms
    with session.written_as(f"{name} every {pause} ms, for {ms} ms"):
        while session.now_ms < until:
            session.advance(min(pause, until - session.now_ms))
            step.play(player)
