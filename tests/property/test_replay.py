"""A machine is a function of the steps that changed it, each with its message and its time.

Its version grows exactly when its state changes. Replayed, the steps that grew it give the same
state and the same further answers: in another process too, whose strings hash otherwise.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import rule

from ffq.core import CoordinatorSettings
from ffq.core.machine import Machine, Party
from ffq.errors import FfqError
from ffq.ids import WorkerId
from ffq.messages import (
    ErrorKind,
    GetQueryStatus,
    GetTask,
    ListAttempts,
    ListQueries,
    ListWorkers,
    TaskState,
    Tick,
)
from ffq.runtime.message import Request
from tests.core.driver import Driver
from tests.property.cluster import SETTINGS, WORKERS, ClusterMachine, rows_written, workers
from tests.property.recording import Steps, cut_small, record, replay
from tests.property.snapshots import snapshot
from tests.strategies import graphs


def answers(machine: Machine[Any], messages: list[Request[Any]], now_ms: int) -> list[object]:
    """What the machine says to these, one after the other."""
    said: list[object] = []
    for message in messages:
        try:
            said.append(machine.step(message, now_ms))
        except FfqError as error:
            said.append((type(error), error.message))
    return said


class ReplayMachine(ClusterMachine):
    """The cluster of the other machines, its coordinator's machines being recorded."""

    slices: int | None = None

    def __init__(self) -> None:
        super().__init__()
        if self.slices is not None:
            cut_small(self.d.core, self.slices)
            self.d.core.at_once = False
        self.recorded = record(self.d.core)

    @rule(ms=st.sampled_from([0, 1, 100, 400, 1001]))
    def time_passes(self, ms: int) -> None:
        self.d.advance(ms)

    @rule(worker=workers)
    def restarts(self, worker: str) -> None:
        if self.incarnation[worker]:
            self.incarnation[worker] += 1
            self.beat(worker)

    @rule(worker=workers, kind=st.sampled_from([None, *ErrorKind]))
    def fails(self, worker: str, kind: ErrorKind | None) -> None:
        for held in [held for held in self.held if held.worker == worker][-1:]:
            self.report(held, TaskState.FAILED, "why", kind)

    @rule(worker=workers, rows=rows_written, again=st.booleans())
    def registers(self, worker: str, rows: list[int], again: bool) -> None:
        """Twice the same changes nothing the second time."""
        mine = [held for held in self.held if held.worker == worker and held.key.stage_id != 0]
        for held in mine[-1:]:
            for _ in range(1 + again):
                self.register(held, rows)

    @rule(worker=workers, known=st.booleans())
    def lists_what_it_runs(self, worker: str, known: bool) -> None:
        mine = [held.key for held in self.held if held.worker == worker and self.is_running(held)]
        self.beat(worker, mine if known else mine[:1])

    def teardown(self) -> None:
        super().teardown()
        replayed = {
            party: replay(SETTINGS, party, machine.steps, self.slices)
            for party, machine in self.recorded.items()
        }
        for party, machine in replayed.items():
            assert snapshot(machine.state) == snapshot(self.d.core.machines[party].state), party
        later_ms = self.d.now_ms + 150
        more: list[Request[Any]] = [Tick()]
        more += [GetTask(WorkerId(worker), 5, self.incarnation[worker]) for worker in WORKERS]
        more += [ListWorkers(), ListQueries()]
        for query_id in self.submitted.values():
            more += [GetQueryStatus(query_id.query_id), ListAttempts(query_id.query_id)]
        original, again = self.d.core.machines[Party.SCHEDULING], replayed[Party.SCHEDULING]
        assert answers(original, more, later_ms) == answers(again, more, later_ms)
        assert snapshot(original.state) == snapshot(again.state)


TestReplay = ReplayMachine.TestCase
# Far fewer runs than the profile says: every step of every run is looked at.
TestReplay.settings = profile(max_examples=max(20, profile().max_examples // 8))


class SlicedReplayMachine(ReplayMachine):
    """So too where each step does little of what is asked for, and the rest in many more."""

    slices = 1

    @rule(times=st.sampled_from([1, 1, 1, 5]))
    def goes_on(self, times: int) -> None:
        for _ in range(times):
            self.d.go_on()

    def teardown(self) -> None:
        self.d.core.at_once = True
        super().teardown()


TestSlicedReplay = SlicedReplayMachine.TestCase
TestSlicedReplay.settings = TestReplay.settings


# --- and in another process ------------------------------------------------------------------

LOOSE = CoordinatorSettings(
    retry_backoff_base_ms=50, worker_liveness_timeout_ms=400, max_finished_queries=3
)


def busy_steps(seed: int) -> dict[Party, Steps]:
    """The steps of a coordinator with much to do for workers of all kinds."""
    chance = random.Random(seed)
    d = Driver(LOOSE)
    recorded = record(d.core)
    plans = (
        graphs.aggregate(graphs.scan(), 3),
        graphs.join(graphs.scan("t"), graphs.scan("u"), 2),
        graphs.operator("op.a", graphs.exchange(graphs.scan(), 3)),
        graphs.adaptive_join(graphs.scan("t"), graphs.scan("u"), 2),
        graphs.reduced_join(graphs.scan("t"), graphs.scan("u"), 2),
        graphs.keyed_join(graphs.scan("t"), graphs.scan("u"), 2, most=0),
    )
    names = ("ffq.splits", "op.a", "op.b")
    running: list[Any] = []
    for number in range(120):
        worker = chance.choice(["w1", "w2", "peer"])
        able = frozenset(chance.sample(names, chance.randint(1, 3)))
        ours = worker != "peer"
        listed = [task.key for task in running[::2]] if ours and chance.random() < 0.5 else None
        d.beat(worker, able, incarnation=int(ours), endpoint=f"{worker}:1", running=listed)
        if number % 6 == 0:
            d.submit(f"q{number}", chance.choice(plans), {"t": 3, "u": 2})
        running += d.pull(worker, chance.randint(0, 3))
        chance.shuffle(running)
        for task in [running.pop() for _ in range(min(len(running), chance.randint(0, 4)))]:
            try:
                if chance.random() < 0.2:
                    d.fail(task, kind=chance.choice([None, *ErrorKind]))
                else:
                    d.finish(task, {0: 1, 1: 2}, endpoint=chance.choice(["", "w1:1"]))
            except FfqError:
                pass  # it ran out of queries, or of attempts
        d.advance(chance.choice([0, 10, 60, 150]))
    return {party: machine.steps for party, machine in recorded.items()}


def digests(steps: dict[Party, Steps]) -> dict[str, str]:
    """What each machine is after its steps, in a form that does not depend on this process."""
    return {
        party.value: hashlib.sha256(
            repr(snapshot(replay(LOOSE, party, own).state, spell_out=True)).encode()
        ).hexdigest()
        for party, own in steps.items()
    }


def test_steps_give_the_same_state_where_strings_hash_otherwise(tmp_path: Path) -> None:
    histories = [busy_steps(seed) for seed in (1, 2, 3)]
    assert all(len(steps[Party.SCHEDULING]) > 300 for steps in histories)
    file = tmp_path / "steps"
    file.write_bytes(pickle.dumps(histories))
    expected = "".join(f"{digests(steps)}\n" for steps in histories)
    for hash_seed in ("0", "1", "4711"):
        printed = subprocess.run(
            [sys.executable, "-m", "tests.property.test_replay", str(file)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert printed == expected


if __name__ == "__main__":
    for steps_of_one in pickle.loads(Path(sys.argv[1]).read_bytes()):
        print(digests(steps_of_one))
