"""The demo's story, from data to verdict."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

from ffq.cli.demo import queries
from ffq.cli.demo.cluster import (
    LIVENESS_TIMEOUT_MS,
    SPECIAL_WORKER,
    DemoCluster,
    DemoWorker,
    start_cluster,
)
from ffq.cli.demo.data import cache_folder, ensure_dataset
from ffq.cli.demo.files import catalog_json
from ffq.cli.demo.kill import Killing, retried
from ffq.cli.demo.query import During, QueryRunner
from ffq.cli.demo.screen import Screen
from ffq.cli.errors import FAILED, OK
from ffq.cli.interrupts import started
from ffq.cli.signals import until_signalled
from ffq.client import connect
from ffq.client.children import Children
from ffq.ids import WorkerId
from ffq.messages import AttemptStatus


@attrs.frozen
class DemoSettings:
    """Args: scale: TPC-H scale factor. keep: leave the temporary folder. verbose: show logs."""

    scale: float
    workers: int
    keep: bool
    verbose: bool


def run_demo(settings: DemoSettings) -> int:
    """Run the demo. Returns the exit code: 0 only if everything that it claims was seen.

    Raises:
        FfqError: it could not run to its end.
    """
    screen = Screen(settings.verbose)
    started()
    with _folder(settings.keep, screen) as folder:
        story = Story(settings, screen, folder)
        received = trio.run(until_signalled, story.tell)
    if received is not None:
        return 128 + received
    return story.verdict()


@attrs.define
class Story:
    """Tells it, and collects what went wrong on the way."""

    _settings: DemoSettings
    _screen: Screen
    _folder: Path
    _wrong: list[str] = attrs.field(factory=list)

    async def tell(self) -> None:
        """Data, processes, three queries, in this order."""
        self._screen.heading(f"TPC-H data, scale {self._settings.scale:g}")
        dataset = await ensure_dataset(self._settings.scale, cache_folder(os.environ))
        self._screen.say(f"in {dataset}")
        catalog = self._folder / "tables.json"
        catalog.write_text(catalog_json(dataset))
        async with trio.open_nursery() as nursery:
            self._screen.heading("Processes")
            children = Children(nursery, self._folder, self._screen.child_line)
            cluster = await start_cluster(
                children,
                self._folder,
                catalog,
                workers=self._settings.workers,
                scale=self._settings.scale,
            )
            self._introduce(cluster)
            async with connect(cluster.endpoint) as client:
                runner = QueryRunner(client, self._screen, dataset)
                await self._run(runner, queries.q1())
                killed = await self._q3(runner, cluster)
                await self._replace(cluster, killed)
                await self._operator_query(runner, cluster)
            await cluster.stop()

    def verdict(self) -> int:
        """Say how it went. Returns the exit code."""
        self._screen.heading("Verdict")
        for problem in self._wrong:
            self._screen.bad(problem)
        if self._wrong:
            return FAILED
        self._screen.good(
            "All three answers match DuckDB's, and the killed worker's task ran again elsewhere."
        )
        return OK

    def _introduce(self, cluster: DemoCluster) -> None:
        self._screen.say(f"gateway: pid {cluster.gateway.pid}, {cluster.endpoint}")
        for worker in cluster.workers.values():
            self._screen.say(worker.described())
        self._screen.say(
            f"A worker counts as lost after {LIVENESS_TIMEOUT_MS} ms of silence here; "
            "the default is 15000 (FFQ_WORKER_LIVENESS_TIMEOUT_MS)."
        )

    async def _run(
        self, runner: QueryRunner, query: queries.DemoQuery, during: During | None = None
    ) -> tuple[AttemptStatus, ...]:
        outcome = await runner.run(query, during)
        if outcome.problem is not None:
            self._wrong.append(f"{query.title}: {outcome.problem}")
        return outcome.attempts

    async def _q3(self, runner: QueryRunner, cluster: DemoCluster) -> DemoWorker:
        """Q3, with a worker killed on the way. Returns the worker."""
        gate = self._folder / "go"
        query = queries.q3_held(gate)
        held = queries.stage_with(query.plan, queries.HOLD_OPERATOR)
        killing = Killing(cluster, self._screen, held, SPECIAL_WORKER, gate)
        attempts = await self._run(runner, query, killing.run)
        victim = killing.victim
        assert victim is not None
        again = retried(attempts, victim.worker_id)
        if again is None:
            self._wrong.append(f"TPC-H Q3: no task of {victim.worker_id} was seen to be retried")
        else:
            self._screen.good(
                f"Stage {again.key.stage_id}, task {again.key.task_id}: attempt "
                f"{again.key.attempt - 1} was lost with {victim.worker_id}, attempt "
                f"{again.key.attempt} ran on {again.worker_id}"
            )
        return victim

    async def _operator_query(self, runner: QueryRunner, cluster: DemoCluster) -> None:
        """The query that only one worker can run, and whether only that one did."""
        specialist = cluster.specialist()
        query = queries.operator_query(specialist)
        attempts = await self._run(runner, query)
        stage_id = queries.stage_with(query.plan, queries.LATE_OPERATOR)
        ran = {attempt.worker_id for attempt in attempts if attempt.key.stage_id == stage_id}
        if ran != {specialist}:
            self._wrong.append(f"{query.title}: stage {stage_id} ran on {ran}, not on {specialist}")

    async def _replace(self, cluster: DemoCluster, killed: DemoWorker) -> None:
        worker_id = WorkerId(f"w{len(cluster.workers) + 1}")
        await cluster.add_worker(worker_id, killed.operators)
        self._screen.say(
            f"In place of {killed.worker_id}: {cluster.workers[worker_id].described()}"
        )


@contextmanager
def _folder(keep: bool, screen: Screen) -> Iterator[Path]:
    """A folder for this run only, removed at the end unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="ffq-demo-"))
    try:
        yield folder
    finally:
        if keep:
            screen.say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
