"""What can go wrong in a simulated cluster, as values that a scenario holds."""

from __future__ import annotations

import enum

import attrs


class FaultKind(enum.Enum):
    """The value is how reports name it."""

    # messages
    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost after its effect"
    DUPLICATE = "request arrives twice"
    LATE_DUPLICATE = "request arrives again minutes later"
    REORDER = "requests overtake each other"
    DELAY = "request delayed past its timeout"
    # the network between nodes
    CUT_OUT = "one-way partition, from a worker"
    CUT_IN = "one-way partition, to a worker"
    CUT_PEERS = "partial partition, worker from workers"
    # workers
    CRASH_BEFORE_RUN = "worker crash before run"
    CRASH_AFTER_WRITE = "worker crash after write"
    CRASH_BEFORE_REPORT = "worker crash between register and report"
    CRASH_AFTER_COMMIT = "worker crash after commit"
    PAUSE = "worker paused past the timeout"
    REPLACED = "same id, new incarnation, empty disk"
    STRAGGLER = "worker a hundred times slower"
    SLOW_CONSUMER = "worker reads its inputs slowly"
    # disks
    CORRUPT = "shuffle data corrupt"
    TRUNCATED = "shuffle data truncated"
    MISSING = "shuffle data missing"
    DISK_FULL = "disk full"
    # the coordinator
    HANDLER_BUG = "exception while a message is handled"
    MIDWAY_BUG = "exception in the midst of a change"
    ACTOR_CRASH = "coordinator actor crash and restart"
    CLOCK_JUMP = "coordinator's clock jumps"
    # load
    OVERLOAD = "more queries than are admitted"
    POISON = "task that kills its worker"


CRASHES = frozenset(
    {
        FaultKind.CRASH_BEFORE_RUN,
        FaultKind.CRASH_AFTER_WRITE,
        FaultKind.CRASH_BEFORE_REPORT,
        FaultKind.CRASH_AFTER_COMMIT,
    }
)
MESSAGES = frozenset(
    {
        FaultKind.REQUEST_LOST,
        FaultKind.ANSWER_LOST,
        FaultKind.DUPLICATE,
        FaultKind.LATE_DUPLICATE,
        FaultKind.REORDER,
        FaultKind.DELAY,
    }
)
DAMAGE = frozenset({FaultKind.CORRUPT, FaultKind.TRUNCATED, FaultKind.MISSING})
SLOWNESS = frozenset({FaultKind.STRAGGLER, FaultKind.SLOW_CONSUMER})
LOAD = frozenset({FaultKind.OVERLOAD, FaultKind.POISON})
CUTS = frozenset({FaultKind.CUT_OUT, FaultKind.CUT_IN, FaultKind.CUT_PEERS})


@attrs.frozen
class Fault:
    """One fault.

    Attributes:
        at_ms: from then on it may strike.
        worker: number of the worker that it strikes, where it strikes a worker.
        for_ms: how long it lasts; for crashes, until the worker is started again.
        count: how many messages or attempts it strikes.
        method: messages: only calls of this name; empty: any.
    """

    kind: FaultKind
    at_ms: int
    worker: int = 0
    for_ms: int = 0
    count: int = 1
    method: str = ""

    def __str__(self) -> str:
        what = [self.kind.value, f"from {self.at_ms} ms", f"worker {self.worker}"]
        if self.for_ms:
            what.append(f"for {self.for_ms} ms")
        if self.count > 1:
            what.append(f"{self.count} times")
        if self.method:
            what.append(f"{self.method} only")
        return ", ".join(what)
