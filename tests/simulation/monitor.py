"""Looks at the coordinator's machines after every message that an actor has handled.

What it compares them with is its own accounts of the messages, kept as simply as can be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ffq.errors import FfqError, InvariantViolated
from ffq.ids import AttemptKey
from ffq.messages import GetQueryStatus, ReportTaskStatus
from ffq.runtime import Hooks
from tests.simulation.invariants import require
from tests.simulation.liveness_account import LivenessAccount
from tests.simulation.machines import Machines
from tests.simulation.query_account import Inputs, QueryAccount
from tests.simulation.trace import Trace


class Monitor(Hooks):
    """Of one life of the coordinator, from when `begin` was called."""

    def __init__(self, trace: Trace, now_ms: Callable[[], int]) -> None:
        self._trace = trace
        self._now_ms = now_ms
        self._liveness = LivenessAccount(now_ms)
        self._machines: Machines | None = None
        self._queries: QueryAccount | None = None
        self._fingerprint: tuple[object, ...] = ()
        self._doomed: tuple[str, int] | None = None

    def begin(self, machines: Machines) -> None:
        """The machines are there, and have handled nothing yet that came from outside."""
        self._machines = machines
        self._queries = QueryAccount(machines, self._liveness, self._trace)

    @property
    def committed(self) -> dict[AttemptKey, Inputs]:
        """The inputs of every assignment, as of then."""
        return {} if self._queries is None else self._queries.committed

    def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
        """Check everything that can have changed."""
        if self._machines is None or self._queries is None or self._trace.violation is not None:
            return
        self._trace.steps += 1
        with self._trace.failing():
            # What ended in a bug may have been done, or not.
            self._liveness.note(message, error)
            self._queries.note(message)
            bug = error is not None and not isinstance(error, FfqError)
            if bug:
                self._queries.forget_turns()
                self._check_after_bug(path, self._machines)
            if self._doomed is None:
                if not bug:
                    self._liveness.check(message, self._machines.state)
                self._check(path, message, self._machines, self._queries)
            elif self._doomed[0] == path:
                self._check_stops(path, self._doomed[1])

    def nothing_outlives(self) -> None:
        """Every running attempt is with a worker that has been heard of in time.

        Raises Violation.
        """
        if self._machines is not None and self._doomed is None:
            self._liveness.nothing_outlives(self._machines.state)

    def _check_after_bug(self, path: str, machines: Machines) -> None:
        """A machine that is not consistent any more is to end, and all with it."""
        try:
            machines.at(path).validate_state()
        except InvariantViolated as broken:
            self._trace.note(f"{path} has to end: {broken.message}")
            if self._doomed is None:
                self._doomed = path, self._now_ms()

    def _check_stops(self, path: str, doomed_ms: int) -> None:
        late_ms = self._now_ms() - doomed_ms
        found = f"{path} serves on, {late_ms} ms after its books were broken"
        require("inconsistent-stops", late_ms <= 0, found)

    def _check(self, path: str, message: object, machines: Machines, queries: QueryAccount) -> None:
        if isinstance(message, GetQueryStatus):
            return
        if path != "/scheduling":
            machines.at(path).validate_state()
            return
        state = machines.state
        fingerprint = (
            state.version,
            state.submissions,
            len(state.finished),
            len(state.expired),
            state.output_partitions,
            state.active_result_bytes,
            tuple(len(query.running) for query in state.queries.values()),
        )
        if fingerprint == self._fingerprint and not isinstance(message, ReportTaskStatus):
            return
        self._fingerprint = fingerprint
        queries.check()
        machines.scheduling.validate_state()
