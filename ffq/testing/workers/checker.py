"""What a worker must do and must not, as named checks; an account of its calls."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ffq.testing.invariants import Check, Violation
from ffq.testing.queries import PlanShape
from ffq.testing.wire import OutputPartition, Refusal, TaskState, TaskView

WORKER_CHECKS: dict[str, Check] = {
    name: Check(name, rule, text)
    for name, rule, text in (
        ("names-its-own-attempts", "R13", "a worker speaks of attempts only that it was assigned"),
        ("echoes-the-layout", "R13", "reports and registrations echo the assignment's layout"),
        ("names-known-partitions", "R22", "registered partitions are those of the exchange"),
        ("registers-before-success", "R22", "SUCCEEDED comes after the output was acknowledged"),
        ("finalizes-before-success", "R22", "SUCCEEDED comes after all partitions are finalized"),
        ("uploads-before-success", "R3", "a sink's SUCCEEDED comes after the result was taken"),
        ("final-report-stands", "R15", "after SUCCEEDED or FAILED no other end is reported"),
        ("asks-for-what-it-can-run", "R7", "running attempts and capacity stay within its slots"),
        ("reads-what-was-made", "R25", "only outputs of the stages it reads are fetched"),
        ("every-task-is-reported", "R14", "each attempt that it got is reported in the end"),
        ("every-query-ends", "R3", "when calls are lost no more, every query ends"),
    )
}

ENDS = {TaskState.SUCCEEDED, TaskState.FAILED}


@attrs.define
class Held:
    """An attempt that the worker got, and what it did about it.

    `acknowledged`: the last registration (or upload) was answered; None: there was none.
    `over`: the worker may drop it: it was refused, or the coordinator has forgotten it.
    `forgotten`: it has, as it restarted.
    """

    task: TaskView
    plan: PlanShape
    end: TaskState | None = None
    acknowledged: bool | None = None
    over: bool = False
    forgotten: bool = False
    unfinished: set[int] = attrs.field(factory=set)

    @property
    def is_sink(self) -> bool:
        return self.task.stage_id == 0


Key = tuple[str, int, int, int]
Layout = tuple[int, int]


def key_of(task: TaskView) -> Key:
    return task.query_id, task.stage_id, task.task_id, task.attempt


def layout_of(task: TaskView) -> Layout:
    return task.layout_version, task.layout_fingerprint


@attrs.define
class WorkerChecker:
    """Every method raises Violation when the call breaks a check.

    A coordinator that has restarted may give out the same attempt under another layout.
    """

    slots: int | None
    plans: dict[str, PlanShape] = attrs.field(factory=dict)
    held: dict[Key, dict[Layout, Held]] = attrs.field(factory=dict)
    counts: dict[str, int] = attrs.field(factory=dict)

    def require(self, name: str, holds: bool, detail: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        if not holds:
            raise Violation(WORKER_CHECKS[name], detail)

    def asked(self, capacity: int) -> None:
        """GetTask is called."""
        if self.slots is None:
            return
        running = sum(each.end is None and not each.over for each in self._all())
        self.require(
            "asks-for-what-it-can-run",
            running + capacity <= self.slots,
            f"GetTask with capacity {capacity} while {running} attempts run in {self.slots} slots",
        )

    def assigned(self, tasks: tuple[TaskView, ...]) -> None:
        """GetTask was answered, and the answer came through."""
        for task in tasks:
            held = Held(task, self.plans[task.query_id])
            self.held.setdefault(key_of(task), {})[layout_of(task)] = held

    def restarted(self) -> None:
        """The coordinator has forgotten all that it had assigned."""
        for held in self._all():
            held.over = held.forgotten = True

    def _all(self) -> Iterator[Held]:
        for by_layout in self.held.values():
            yield from by_layout.values()

    def _own(self, task: TaskView, what: str) -> Held:
        held = self.held.get(key_of(task), {})
        self.require("names-its-own-attempts", bool(held), f"{what} of {task}, which it never got")
        layout = layout_of(task)
        self.require(
            "echoes-the-layout",
            layout in held,
            f"{what} of {task} under layout {layout}; it was assigned under {list(held)[-1]}",
        )
        return held[layout]

    def registered(
        self, task: TaskView, partitions: tuple[OutputPartition, ...], reply: Refusal | None
    ) -> None:
        """RegisterMapOutput was called; `reply` is what the worker saw."""
        held = self._own(task, "RegisterMapOutput")
        known = held.plan.partitions_of(task.stage_id)
        for each in partitions:
            self.require(
                "names-known-partitions",
                each.reduce_partition in known,
                f"{task} registers partition {each.reduce_partition}; there are {sorted(known)}",
            )
        held.acknowledged = reply is None
        held.over = held.over or _is_refused(reply)
        if reply is None:
            for each in partitions:
                if each.finalized:
                    held.unfinished.discard(each.reduce_partition)
                else:
                    held.unfinished.add(each.reduce_partition)

    def uploaded(self, query_id: str, reply: Refusal | None) -> None:
        """RegisterQueryResults was called."""
        sinks = [each for each in self._all() if each.is_sink and each.task.query_id == query_id]
        self.require(
            "names-its-own-attempts",
            bool(sinks),
            f"RegisterQueryResults of query {query_id}, whose sink it never got",
        )
        for each in sinks:
            each.acknowledged = reply is None
            each.over = each.over or _is_refused(reply)

    def reported(self, task: TaskView, state: TaskState) -> None:
        """ReportTaskStatus was called."""
        held = self._own(task, f"report {state.name}")
        if state not in ENDS:
            return
        self.require(
            "final-report-stands",
            held.end in {None, state},
            f"{task} was reported {held.end and held.end.name}, now {state.name}",
        )
        if state is TaskState.SUCCEEDED and held.is_sink:
            self.require(
                "uploads-before-success",
                held.acknowledged is True,
                f"{task} is the sink, is reported SUCCEEDED, and its result was "
                + ("never uploaded" if held.acknowledged is None else "not acknowledged"),
            )
        elif state is TaskState.SUCCEEDED:
            self.require(
                "registers-before-success",
                held.acknowledged is not False,
                f"{task} is reported SUCCEEDED; its registration was not acknowledged",
            )
            self.require(
                "finalizes-before-success",
                not held.unfinished,
                f"{task} is reported SUCCEEDED; partitions {sorted(held.unfinished)} are not final",
            )
        held.end = state

    def fetched(self, task: TaskView) -> None:
        """FetchShufflePartition is called."""
        readers = [each for each in self._all() if each.task.query_id == task.query_id]
        parents = {
            parent for each in readers for parent in each.plan.stages[each.task.stage_id].parents
        }
        self.require(
            "reads-what-was-made",
            task.stage_id in parents,
            f"{task} is fetched; its attempts read stages {sorted(parents)}",
        )

    def settled(self, running: set[Key]) -> None:
        """Nothing was lost for some turns. `running`: attempts that the coordinator waits for."""
        # What a coordinator gave out again since it restarted, the worker need not have heard of.
        unreported = sorted(
            key
            for key in running
            if any(not held.forgotten for held in self.held.get(key, {}).values())
        )
        self.require(
            "every-task-is-reported",
            not unreported,
            f"the coordinator still waits for {['/'.join(map(str, key)) for key in unreported]}",
        )

    def ended(self, open_queries: dict[str, str]) -> None:
        """Nothing was lost for long. `open_queries`: those that go on, with their state."""
        self.require("every-query-ends", not open_queries, f"these go on: {open_queries}")


def _is_refused(reply: Refusal | None) -> bool:
    """Whether the coordinator said no: then the attempt is none of the worker's any more."""
    return reply is not None and reply.code != "UNAVAILABLE"
