"""Settings, and how a stage is divided into tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.core import CoordinatorSettings
from ffq.core.layout import fingerprint, group_partitions, lay_out, max_tasks
from ffq.core.records import TaskShare
from ffq.errors import InvalidRequest
from ffq.ids import QueryId, StageId
from ffq.plan import Parallelism, cut
from ffq.plan.model import Node
from tests.strategies.graphs import relations, scans_of

SETTINGS = CoordinatorSettings(adaptive_target_bytes=100, adaptive_min_tasks=2)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([0, 0, 0], [(0, 1, 2)]),
        ([50, 50, 50, 50], [(0, 1), (2, 3)]),
        ([0, 0, 90, 0, 90, 0], [(0, 1, 2, 3), (4, 5)]),
        ([500, 1, 1, 500], [(0,), (1, 2), (3,)]),
        ([10, 10], [(0,), (1,)]),
        ([10, 0, 0], [(0, 1, 2)]),
        ([7], [(0,)]),
        ([26, 25, 25, 24], [(0, 1), (2, 3)]),
        ([10, 40, 40, 10], [(0, 1), (2, 3)]),
        ([24, 25, 1, 25, 24], [(0, 1, 2), (3, 4)]),
        ([40] * 9, [(0, 1), (2, 3), (4, 5), (6, 7), (8,)]),
        ([30] * 7, [(0, 1, 2), (3, 4, 5), (6,)]),
        ([30] * 4, [(0, 1), (2, 3)]),
        ([500, 60, 60, 500], [(0,), (1,), (2,), (3,)]),
    ],
)
def test_neighbouring_partitions_are_grouped_to_the_target(
    sizes: list[int], groups: list[tuple[int, ...]]
) -> None:
    assert group_partitions(sizes, SETTINGS) == tuple(groups)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_every_partition_is_in_exactly_one_group(sizes: list[int]) -> None:
    groups = group_partitions(sizes, SETTINGS)
    assert [each for group in groups for each in group] == list(range(len(sizes)))
    filled = [size for size in sizes if size]
    assert len(groups) <= max(1, len(filled))
    assert len(groups) >= min(len(filled), SETTINGS.adaptive_min_tasks)
    for group in groups:
        held = [sizes[each] for each in group if sizes[each]]
        assert len(held) <= 1 or sum(held) <= SETTINGS.adaptive_target_bytes


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12))
def test_a_small_input_is_shared_out_to_no_more_tasks_than_the_least(sizes: list[int]) -> None:
    """And the largest has no more than need be, but for a sixteenth."""
    settings = CoordinatorSettings(adaptive_target_bytes=10_000, adaptive_min_tasks=2)
    groups = group_partitions(sizes, settings)
    assert len(groups) <= 2
    cuts = range(1, len(sizes) + 1)
    best = min(max(sum(sizes[:cut]), sum(sizes[cut:])) for cut in cuts)
    largest = max(sum(sizes[each] for each in group) for group in groups)
    assert largest <= best + max(1, best // 16)


@given(relations(), st.data(), st.booleans())
def test_R31_the_tasks_of_a_stage_read_everything_once(
    plan: Node, data: st.DataObject, splits: bool
) -> None:
    graph = cut(plan)
    drawn = data.draw(scans_of(graph))
    for stage in graph.stages:
        scans = {scan.leaf: scan for scan in drawn if scan.stage_id == stage.stage_id}
        sizes = data.draw(
            st.lists(
                st.integers(0, 300),
                min_size=stage.reduce_partitions,
                max_size=stage.reduce_partitions,
            )
        )
        tasks = lay_out(stage, scans, sizes, splits=splits, settings=SETTINGS)
        assert 1 <= len(tasks) <= max_tasks(stage, scans)
        shared = [each for task in tasks for each in task.partitions]
        every = max((source.partitions for source in stage.parents), default=0)
        if tasks == (TaskShare(tuple(range(every))),):
            continue
        if stage.parallelism is Parallelism.HASH:
            assert shared == list(range(stage.reduce_partitions))
        else:
            assert stage.parallelism is Parallelism.SCAN
            assert shared == []
            assert [task.scan for task in tasks] == [
                (source.leaf, number)
                for source in stage.scans
                if source.split
                for number in range(len(scans[source.leaf].shares))
            ]
        assert splits


def test_a_fingerprint_is_of_the_query_its_stage_and_its_tasks() -> None:
    tasks = (TaskShare(partitions=(0, 1)), TaskShare(partitions=(2,)))
    one = fingerprint(QueryId("q"), 1, StageId(0), tasks)
    assert one == fingerprint(QueryId("q"), 1, StageId(0), tasks)
    assert 0 <= one.fingerprint < 2**64
    others = {
        fingerprint(QueryId("p"), 1, StageId(0), tasks).fingerprint,
        fingerprint(QueryId("q"), 2, StageId(0), tasks).fingerprint,
        fingerprint(QueryId("q"), 1, StageId(1), tasks).fingerprint,
        fingerprint(QueryId("q"), 1, StageId(0), tasks[:1]).fingerprint,
        fingerprint(QueryId("q"), 1, StageId(0), tasks, b"plan").fingerprint,
    }
    assert len(others | {one.fingerprint}) == 6


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_task_attempts", 0),
        ("worker_liveness_timeout_ms", -1),
        ("blacklist_ttl_ms", 1.5),
        ("max_concurrent_tasks_per_worker", True),
        ("retry_backoff_base_ms", "250"),
    ],
)
def test_a_bad_setting_is_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=f"setting {setting} must be a whole number"):
        CoordinatorSettings(**{setting: value})  # type: ignore[arg-type]


def test_the_protocols_defaults() -> None:
    settings = CoordinatorSettings()
    assert (
        settings.blacklist_failure_threshold,
        settings.max_concurrent_tasks_per_worker,
        settings.max_concurrent_tasks_per_query,
        settings.max_task_attempts,
        settings.retry_backoff_base_ms,
        settings.worker_liveness_timeout_ms,
        settings.blacklist_ttl_ms,
        settings.unrunnable_timeout_ms,
    ) == (3, 8, 32, 3, 250, 15_000, 60_000, 0)
