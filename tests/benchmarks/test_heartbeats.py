"""What beats, and who is assigned tasks meanwhile."""

from __future__ import annotations

import pytest
import trio

from benchmarks import heartbeats
from benchmarks._beats import beat_of
from benchmarks._figures import Samples


@pytest.mark.parametrize("workers", [0, 5])
def test_tasks_are_assigned_one_by_one_with_beats_and_without(workers: int) -> None:
    found = trio.run(heartbeats._actors, workers, 0.3)
    assert found.waits
    assert (found.beats > 0) == (workers > 0)


def test_an_answer_without_a_task_is_no_assignment() -> None:
    heartbeats._require_one(1)
    with pytest.raises(RuntimeError, match="0 tasks were assigned"):
        heartbeats._require_one(0)


def test_processor_time_is_a_share_of_a_core_and_waits_are_milliseconds() -> None:
    samples = Samples()
    heartbeats._Found(1.0, 4.0, [0.001, 0.002, 0.003]).add(samples, "inside", "calls")
    assert samples.ratio("inside, calls: CPU", "coordinator", "a core").spread.median == 0.25
    assert samples.median("inside: assignment, p50", "calls") == pytest.approx(2.0)


def test_each_worker_beats_under_its_own_id() -> None:
    assert len({beat_of(number).worker_id for number in range(3)}) == 3
