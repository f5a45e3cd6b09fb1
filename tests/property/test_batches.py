"""A batch of reports is what its reports are one after the other (R3, R13 to R17, R22).

On a copy of the same coordinator each report of a batch is made as a worker without batches makes
it: RegisterMapOutput, where it has an output, then ReportTaskStatus. Answers, errors and the states
of all machines must be the same.
"""

from __future__ import annotations

import copy

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ffq.core.coordinator import CoreCoordinator
from ffq.errors import FfqError
from ffq.ids import AttemptKey, TaskId, WorkerId
from ffq.messages import (
    AttemptReport,
    AttemptUsage,
    ErrorKind,
    FinishAttempts,
    Layout,
    LostInput,
    OutputPartition,
    RegisterMapOutput,
    ReportAnswer,
    ReportTaskStatus,
    TaskState,
)
from tests.property.cluster import (
    PEER,
    ClusterMachine,
    Held,
    picks,
    rows_written,
    workers,
)
from tests.property.snapshots import snapshot

RATHER_DONE = [*[TaskState.SUCCEEDED] * 5, TaskState.FAILED, *TaskState]


@attrs.frozen
class Item:
    """How one report of a batch is to be made.

    `loses`: it names its inputs as lost. `strange`: it is of a task, a layout or a partition that
    there is not.
    """

    pick: int
    state: TaskState
    rows: list[int] | None
    finalized: bool
    kind: ErrorKind | None
    loses: bool
    strange: str


items = st.builds(
    Item,
    picks,
    st.sampled_from(RATHER_DONE),
    st.none() | rows_written | rows_written,
    st.sampled_from([True, True, True, False]),
    st.sampled_from([None, *ErrorKind]),
    st.booleans(),
    st.sampled_from(["", "", "", "", "", "", "task", "layout", "partition"]),
)


def one_by_one(core: CoreCoordinator, batch: FinishAttempts, now_ms: int) -> list[ReportAnswer]:
    """What a worker without batches is answered."""
    answers = []
    whose = batch.worker_id, batch.incarnation
    for each in batch.reports:
        try:
            if each.output is not None:
                registers = RegisterMapOutput(
                    each.key, each.output, each.layout, *whose, batch.endpoint
                )
                core.ask_owner(registers, now_ms)
            report = ReportTaskStatus(
                each.key,
                each.state,
                each.message,
                each.layout,
                *whose,
                each.kind,
                each.lost_inputs,
                each.usage,
            )
            answers.append(ReportAnswer(core.ask_owner(report, now_ms).counted))
        except FfqError as error:
            answers.append(ReportAnswer(counted=False, error=error))
    return answers


def states(core: CoreCoordinator) -> object:
    return [snapshot(machine.state) for machine in core.machines.values()]


class BatchMachine(ClusterMachine):
    @rule(ms=st.sampled_from([1, 100, 400, 1001]))
    def time_passes(self, ms: int) -> None:
        self.d.advance(ms)

    @rule(worker=workers)
    def restarts(self, worker: str) -> None:
        if self.incarnation[worker]:
            self.incarnation[worker] += 1
            self.beat(worker)

    @precondition(lambda self: self.held)
    @rule(
        worker=workers,
        drawn=st.lists(items, min_size=1, max_size=6),
        own=st.booleans(),
        other=st.sampled_from([0, 0, 0, 1]),
    )
    def reports_together(self, worker: str, drawn: list[Item], own: bool, other: int) -> None:
        """Mostly of what it runs itself; results are uploaded before, as they always are."""
        self.pulls(worker, 3)
        mine = [each for each in self.held if each.worker == worker and self.is_running(each)]
        among = mine if mine and own else self.held
        reports = []
        for item in drawn:
            held = among[-1 - item.pick % len(among)]
            if held.key.stage_id == 0 and item.state is TaskState.SUCCEEDED and item.rows:
                self.upload(held)
            reports.append(self.made(held, item))
        endpoint = "" if worker == PEER else f"{worker}#{self.incarnation[worker]}"
        incarnation = self.incarnation[worker] + other
        batch = FinishAttempts(WorkerId(worker), incarnation, tuple(reports), endpoint)
        twin = copy.deepcopy(self.d.core)
        version, before = self.d.core.scheduling.version, states(self.d.core)
        expected = one_by_one(twin, batch, self.d.now_ms)
        assert list(self.d.ask(batch)) == expected
        after = states(self.d.core)
        assert after == states(twin), batch
        assert (self.d.core.scheduling.version > version) == (after != before)

    def made(self, held: Held, item: Item) -> AttemptReport:
        key, layout = held.key, held.of.layout
        output = None
        if item.rows is not None and (key.stage_id != 0 or item.strange == "partition"):
            written = self.stage(key).output_partitions
            numbers = range(written + (item.strange == "partition"))
            output = tuple(
                OutputPartition(n, 10 * count, count, 1, 0, 10 * count, item.finalized)
                for n, count in zip(numbers, item.rows, strict=False)
                if count
            )
        if item.strange == "task":
            key = AttemptKey(key.query_id, key.stage_id, TaskId(77), key.attempt)
        elif item.strange == "layout":
            layout = Layout(layout.version, layout.fingerprint + 1)
        lost = [LostInput(i.stage_id, i.map_task, i.attempt) for i in held.of.inputs]
        return AttemptReport(
            key,
            item.state,
            layout,
            output,
            message="why",
            kind=item.kind,
            lost_inputs=tuple(lost) if item.loses else (),
            usage=AttemptUsage(input_rows=item.pick),
        )


TestBatches = BatchMachine.TestCase
