"""FinishAttempts: what a batch does beyond what its reports do one by one.

That it does the same as they is held by tests/property/test_batches.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ffq.core import CoordinatorSettings
from ffq.errors import InvalidRequest, QuotaExceeded, UnknownId
from ffq.ids import WorkerId
from ffq.messages import (
    MAX_REPORTS,
    Assignment,
    AttemptReport,
    DropMapOutputs,
    ErrorKind,
    FetchShufflePartition,
    FinishAttempts,
    Layout,
    OutputPartition,
    PublishMapOutput,
    PublishMapOutputs,
    QueryState,
    ReportAnswer,
    TaskState,
)
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, scan

W = WorkerId("w")


def started(**settings: int) -> tuple[Driver, tuple[Assignment, ...]]:
    """Four map tasks, all of them running on one worker."""
    d = Driver(CoordinatorSettings(**settings))
    d.submit("q", aggregate(scan(), 2), tables={"t": 4})
    d.beat("w")
    return d, d.pull("w", 4)


def report(
    of: Assignment,
    state: TaskState = TaskState.SUCCEEDED,
    rows: Iterable[int] = (1,),
    kind: ErrorKind | None = None,
) -> AttemptReport:
    output = tuple(OutputPartition(n, 10 * each, each, 1) for n, each in enumerate(rows))
    return AttemptReport(of.key, state, of.layout, output, message="why", kind=kind)


def batch(*reports: AttemptReport) -> FinishAttempts:
    return FinishAttempts(W, 1, reports, "w:1")


def test_R22_a_batch_commits_its_attempts_and_their_outputs_can_be_read() -> None:
    d, maps = started()
    assert d.ask(batch(*map(report, maps))) == (ReportAnswer(counted=True),) * 4
    assert d.attempt_states("q") == {
        **{f"1/{n}/1": "SUCCEEDED*" for n in range(4)},
        "0/0/1": "QUEUED",
    }
    located = d.ask(FetchShufflePartition(maps[2].key, 0))
    assert (located.endpoint, located.size and located.size.rows) == ("w:1", 1)
    (reduce,) = d.pull("w", 4)
    assert [each.endpoint for each in reduce.inputs] == ["w:1"] * 4


def test_the_registry_is_told_once_and_before_what_it_is_to_forget() -> None:
    """A removal that went first would leave what it names there for ever."""
    d, maps = started()
    lost = report(maps[1], TaskState.FAILED, kind=ErrorKind.STOPPED)
    outcome = d.core.scheduling.step(batch(report(maps[0]), lost, report(maps[2])), d.now_ms)
    told, removal = outcome.notices
    assert isinstance(told, PublishMapOutputs)
    assert [each.key for each in told.outputs] == [each.key for each in maps[:3]]
    assert removal == DropMapOutputs((maps[1].key,))
    (alone,) = d.core.scheduling.step(batch(report(maps[3])), d.now_ms).notices
    assert isinstance(alone, PublishMapOutput)


def test_R13_what_one_report_would_raise_is_its_answer_and_the_others_count() -> None:
    d, maps = started(max_registered_partitions=3)
    answers = d.ask(
        batch(
            report(maps[0], rows=[1, 2]),
            AttemptReport(key("q", 1, 9, 1), TaskState.SUCCEEDED, maps[0].layout),
            report(maps[1], rows=[1, 2]),
            report(maps[2], rows=[0, 1, 2]),
            report(maps[2], TaskState.QUEUED),
            report(maps[3], rows=[]),
            report(maps[3]),
        )
    )
    assert [each.counted for each in answers] == [True, *[False] * 4, True, False]
    kinds = [type(each.error) for each in answers]
    assert kinds[1:5] == [UnknownId, QuotaExceeded, InvalidRequest, InvalidRequest]
    assert kinds[6] is type(None), "its attempt had committed: acknowledged and ignored"
    # Over the quota, it was not reported either: its worker tries again when there is room.
    states = d.attempt_states("q")
    assert (states["1/1/1"], states["1/2/1"]) == ("RUNNING", "RUNNING")


def test_R4_a_report_that_ends_the_query_leaves_nothing_to_those_behind_it() -> None:
    d, maps = started()
    fatal = report(maps[0], TaskState.FAILED, kind=ErrorKind.DATA)
    answers = d.ask(batch(fatal, report(maps[1]), report(maps[2])))
    assert [each.counted for each in answers] == [True, False, False]
    assert d.status("q").state is QueryState.FAILED
    d.core.validate_state()


def test_an_answer_is_equal_to_another_that_says_the_same() -> None:
    """Of errors it is what they say that counts, and no answer holds on to what was under way."""
    d, _ = started()
    strange = batch(AttemptReport(key("q", 1, 9, 1), TaskState.FAILED, Layout(1, 1)))
    once, again = d.ask(strange), d.ask(strange)
    assert once == again
    assert once[0] != ReportAnswer(counted=False)
    assert once[0].error is not None
    assert once[0].error.__traceback__ is None


def test_R30_a_batch_is_bounded() -> None:
    _, maps = started()
    with pytest.raises(InvalidRequest, match="1025 reports of worker w at once; at most 1024"):
        batch(*[report(maps[0])] * (MAX_REPORTS + 1))
