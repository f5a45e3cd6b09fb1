"""Tasks that wait are positions: no record of them, and what they read is made when asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.core import CoordinatorSettings
from ffq.core.records import TaskShare
from ffq.core.shares import PartitionShares, ScanShares
from ffq.ids import QueryId
from ffq.messages import TaskState
from tests.core.driver import Driver
from tests.strategies.graphs import aggregate, scan

leaves = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=4)
widths = st.lists(st.integers(1, 4), min_size=1, max_size=6)


def is_as(column: Sequence[TaskShare], listed: list[TaskShare]) -> None:
    assert list(column) == listed
    assert len(column) == len(listed)
    assert [column[n - len(listed)] for n in range(len(listed))] == listed
    assert column[1:] == tuple(listed[1:])
    with pytest.raises(IndexError):
        column[len(listed)]


@given(leaves)
def test_shares_of_scans_are_those_of_each_leaf_in_turn(leaves: list[tuple[int, int]]) -> None:
    listed = [TaskShare(scan=(leaf, number)) for leaf, count in leaves for number in range(count)]
    is_as(ScanShares(tuple(leaves)), listed)


@given(widths)
def test_shares_of_partitions_are_the_groups(widths: list[int]) -> None:
    groups, begins = [], 0
    for width in widths:
        groups.append(tuple(range(begins, begins + width)))
        begins += width
    is_as(PartitionShares.of(groups), [TaskShare(partitions=group) for group in groups])


def test_a_task_has_no_record_before_it_is_assigned() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0))
    d.submit("q", aggregate(scan(), 2), tables={"t": 10_000})
    d.beat("w")
    first, second = d.pull("w", 2)
    maps = d.core.scheduling.state.queries[QueryId("q")].stages[1]
    assert (len(maps.tasks), maps.fresh) == (2, 9_998)
    # A retry queues behind those that wait, as it always did.
    d.fail(first)
    assert d.pull_one("w").key.task_id == 2
    assert list(maps.again) == [first.key.task_id]
    status = d.status("q").stages[1]
    assert (status.queued_tasks, status.running_tasks) == (9_998, 2)
    shown = {each.key.task_id: each.state for each in d.attempts("q") if each.key.attempt == 1}
    assert len(shown) == 10_000
    assert (shown[second.key.task_id], shown[first.key.task_id]) == (
        TaskState.RUNNING,
        TaskState.FAILED,
    )
    assert shown[max(shown)] is TaskState.QUEUED
