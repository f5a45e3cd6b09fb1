"""How a run ends: nothing fails any more."""

from __future__ import annotations

import attrs

from ffq.testing.steps.clients import Cancel, Submit
from ffq.testing.steps.player import Player
from ffq.testing.steps.workers import POLL_MS, Beat
from ffq.testing.wire import StatusView


@attrs.frozen
class UseAllSlots:
    """Fresh work for every slot of a fresh worker: each must be filled (R7, R30)."""

    query: int
    within_ms: int = 0
    plan: str = "custom"

    def play(self, player: Player) -> None:
        session = player.session
        slots = session.declared.max_concurrent_tasks_per_worker
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
        declared = player.session.declared
        longest = declared.backoff_ms(declared.max_task_attempts)
        pause = max(declared.worker_liveness_timeout_ms, longest) + declared.slack_ms + 1
        active = self._active(player)
        # Each task may still fail and be requeued up to its budget, each time after a pause; a
        # query has at most as many tasks one after the other as stages.
        rounds = 4 + sum(
            2 * declared.max_task_attempts + len(player.shapes["wide"].stages) for _ in active
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
        tasks = session.get_task(healer, session.declared.max_concurrent_tasks_per_worker)
        for task in tasks:
            player.complete(task)
        if not tasks:
            session.advance(pause)

    def _active(self, player: Player) -> list[str]:
        believed = player.session.checker.world.queries
        return [
            query_id
            for query_id in player.submitted
            if query_id in believed and believed[query_id].active
        ]
