"""SIGKILL for a worker that is seen at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from ffq.cli.demo.cluster import DemoCluster, DemoWorker
from ffq.cli.demo.screen import Screen
from ffq.client import QueryHandle
from ffq.errors import ExecutionError
from ffq.ids import StageId, WorkerId
from ffq.messages import AttemptStatus, TaskState

SEEN_WITHIN_S = 30.0
_PREFER_FOR_S = 2.0
_POLL_S = 0.05


@attrs.define
class Killing:
    """Kills one worker while the coordinator lists it as RUNNING a held task of a query.

    Args:
        spare: a worker to let live if another one runs such a task as well.
        gate: the file that the held tasks wait for; made once the worker is dead.

    Attributes:
        victim: the worker, once it has been killed.
    """

    _cluster: DemoCluster
    _screen: Screen
    _held_stage: StageId
    _spare: WorkerId
    _gate: Path
    victim: DemoWorker | None = None

    async def run(self, query: QueryHandle) -> None:
        """Wait for the moment, kill, open the gate.

        Raises:
            ExecutionError: no worker was seen running a held task within SEEN_WITHIN_S.
        """
        seen = await self._see_running(query)
        victim = self._cluster.worker_of(seen)
        victim.child.kill()
        self.victim = victim
        self._screen.bad(
            f"SIGKILL for {victim.worker_id} (pid {victim.child.pid}), seen RUNNING stage "
            f"{seen.key.stage_id}, task {seen.key.task_id}, attempt {seen.key.attempt}"
        )
        self._gate.touch()

    async def _see_running(self, query: QueryHandle) -> AttemptStatus:
        """A held attempt that is RUNNING; for a while only one that the spared does not run."""
        for patience_s, spare in ((_PREFER_FOR_S, self._spare), (SEEN_WITHIN_S, None)):
            with trio.move_on_after(patience_s):
                while True:
                    for attempt in await query.attempts():
                        if self._is_held(attempt) and attempt.worker_id != spare:
                            return attempt
                    await trio.sleep(_POLL_S)
        raise ExecutionError(f"no worker was seen running a held task within {SEEN_WITHIN_S:g} s")

    def _is_held(self, attempt: AttemptStatus) -> bool:
        return attempt.key.stage_id == self._held_stage and attempt.state is TaskState.RUNNING


def retried(attempts: Sequence[AttemptStatus], killed: WorkerId) -> AttemptStatus | None:
    """A committed attempt elsewhere of a task whose earlier attempt failed on the killed worker."""
    failed = {
        attempt.key.task
        for attempt in attempts
        if attempt.state is TaskState.FAILED and attempt.worker_id == killed
    }
    for attempt in attempts:
        elsewhere = attempt.worker_id not in {None, killed}
        if attempt.key.task in failed and attempt.committed and elsewhere:
            return attempt
    return None
