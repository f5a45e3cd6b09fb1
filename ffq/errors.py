"""Every error ffq raises on purpose, in one tree.

    FfqError
    ├── CallerError                 the request was at fault; the same call again fails again
    │   ├── InvalidRequest          malformed id, number, message or setting        INVALID_CONFIG
    │   ├── InvalidPlan             plan bytes that are no plan of ours             INVALID_PLAN
    │   │   └── InvalidQuery        SQL that is no query, or not over these tables  INVALID_QUERY
    │   ├── PlanningError           a plan that cannot be cut, bound or laid out    PLANNING
    │   │   ├── FileChanged         a file is another one than was planned on       FILE_CHANGED
    │   │   └── PlanningLimit       planning it took more time or memory than may   PLANNING_LIMIT
    │   ├── UnsupportedPlan         a node or type this engine does not run         UNSUPPORTED
    │   ├── UnknownId               no such query, task, attempt or worker          UNKNOWN_QUERY
    │   ├── PlanConflict            same query id, other plan                       PLAN_CONFLICT
    │   └── AccessDenied            missing or bad credentials                      UNAUTHENTICATED
    ├── NotReady                    right call, too early (or output lost again)    NOT_READY
    ├── QuotaExceeded               over a bound; try again after retry_after_ms    QUOTA
    ├── ExecutionError              running a fragment failed                       EXECUTION
    │   ├── DataError               the data: a cast, arithmetic, a range           DATA
    │   ├── OperatorError           the user's custom operator raised               OPERATOR
    │   ├── OutOfMemory             the process had no memory left for it           OUT_OF_MEMORY
    │   ├── ShuffleInputError       a named shuffle input could not be read         SHUFFLE_INPUT
    │   └── StorageError            disk or file I/O failed                         IO
    │       └── DiskError           of the process's own folders: full, unreadable  DISK
    ├── QueryFailed                 a query the client waited for ended FAILED      QUERY_FAILED
    ├── QueryCanceled               a query the client waited for was canceled      QUERY_CANCELED
    ├── Unavailable                 the peer cannot be reached (now)                UNAVAILABLE
    │   └── ConnectionClosed        the caller's own end was closed                 UNAVAILABLE
    ├── StartupError                a process or cluster could not start            STARTUP
    ├── WorkerSuperseded            another process has this worker's id            SUPERSEDED
    └── InvariantViolated           a bug of ours: a core machine is inconsistent   INTERNAL

Each class carries a stable `reason` (upper snake case): it travels in google.rpc.ErrorInfo and is
part of the public contract. `ffq.rpc.status` is the one place that maps classes to gRPC codes.
A single error may carry a finer reason than its class (UNKNOWN_TASK, EXPIRED, PERMISSION_DENIED).
The errors of the actor framework live in `ffq.runtime.errors`, under FfqError as well.
"""

from __future__ import annotations

from typing import ClassVar

_MOST_WORDS = 500
_MOST_BITS = 1_000


def words(value: object, most: int = _MOST_WORDS) -> str:
    """A value in the text of an error: its repr, in at most `most` characters; where it has none,
    its class, and a whole number that is too large to be true by its size in bits.
    """
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"a number of {value.bit_length()} bits"  # Python writes none of many digits
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # of whatever the class of others raises
        text = f"<{type(value).__qualname__} without a repr>"
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


class FfqError(Exception):
    """Base of everything ffq raises on purpose.

    Args:
        message: one line that names the offending thing and what would be right.
        reason: overrides the class's stable reason (upper snake case).
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.stable_reason: str = reason if reason is not None else type(self).reason


class CallerError(FfqError):
    """The request was at fault: the same call again fails again."""

    reason = "INVALID_CONFIG"


class InvalidRequest(CallerError):
    """A malformed id, number, message or setting (R28)."""


class InvalidPlan(CallerError):
    """Plan bytes that are not a plan of this vocabulary (R1, R28)."""

    reason = "INVALID_PLAN"


class InvalidQuery(InvalidPlan):
    """SQL that cannot be read, or bound to tables and columns.

    `line` and `column`: where in the text, both from 1, in characters; None: of all of it.
    """

    reason = "INVALID_QUERY"
    line: int | None = None
    column: int | None = None

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.line = line
        self.column = column


class PlanningError(CallerError):
    """A well-formed plan that cannot be cut, bound to tables and columns, or laid out (R28)."""

    reason = "PLANNING"


class FileChanged(PlanningError):
    """A table's file was written anew between planning and the end of its scan (R28)."""

    reason = "FILE_CHANGED"


class PlanningLimit(PlanningError):
    """Planning a query took more time or memory than it may."""

    reason = "PLANNING_LIMIT"


class UnsupportedPlan(CallerError):
    """A node, expression or type that this engine does not run (R17, R28)."""

    reason = "UNSUPPORTED"


class UnknownMethod(UnsupportedPlan):
    """A peer of another make, which has no such call."""


class UnknownId(CallerError):
    """No such query, stage, task, attempt or worker (R13, R27, R29)."""

    reason = "UNKNOWN_QUERY"


class PlanConflict(CallerError):
    """The query id is taken by another plan (R1, R29)."""

    reason = "PLAN_CONFLICT"


class AccessDenied(CallerError):
    """Credentials missing (UNAUTHENTICATED) or not good enough (PERMISSION_DENIED) (R29)."""

    reason = "UNAUTHENTICATED"


class NotReady(FfqError):
    """The right call, too early: not finished, not registered, or lost and made again (R29)."""

    reason = "NOT_READY"


class QuotaExceeded(FfqError):
    """Over a bound (R30). `retry_after_ms` says when a retry may succeed."""

    reason = "QUOTA"

    def __init__(
        self, message: str, *, retry_after_ms: int = 1000, reason: str | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_ms = retry_after_ms


class ExecutionError(FfqError):
    """Running a fragment failed (R28)."""

    reason = "EXECUTION"


class DataError(ExecutionError):
    """The data cannot be computed with: a cast that cannot be, division by zero, overflow (R17).

    The same plan over the same data fails again, wherever it runs.
    """

    reason = "DATA"


class OperatorError(ExecutionError):
    """The user's custom operator raised, or broke its contract (R17)."""

    reason = "OPERATOR"


class OutOfMemory(ExecutionError):
    """Running a fragment took more memory than the process has or may use (R17)."""

    reason = "OUT_OF_MEMORY"


class ShuffleInputError(ExecutionError):
    """A shuffle input named in the assignment could not be read; it may be lost.

    `inputs`: (stage, map task, attempt) of each, where they are known.
    """

    reason = "SHUFFLE_INPUT"

    def __init__(
        self,
        message: str,
        *,
        inputs: tuple[tuple[int, int, int], ...] = (),
        reason: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.inputs = inputs


class StorageError(ExecutionError):
    """Reading or writing a file failed: missing, corrupt, not Parquet, disk full."""

    reason = "IO"


class DiskError(StorageError):
    """A folder of the process's own cannot be used: disk full, not writable, unreadable (R17)."""

    reason = "DISK"


class QueryFailed(FfqError):
    """A query the client waited for ended FAILED; the message is the coordinator's."""

    reason = "QUERY_FAILED"


class QueryCanceled(FfqError):
    """A query the client waited for was canceled."""

    reason = "QUERY_CANCELED"


class Unavailable(FfqError):
    """The peer cannot be reached now; a retry may succeed."""

    reason = "UNAVAILABLE"


class ConnectionClosed(Unavailable):
    """The caller's own end of the connection was closed: no retry will succeed."""


class StartupError(FfqError):
    """A process or an embedded cluster could not start: port taken, module not importable, ..."""

    reason = "STARTUP"


class WorkerSuperseded(FfqError):
    """Another live process, started later, works under this worker's id."""

    reason = "SUPERSEDED"


class InvariantViolated(FfqError):
    """A bug of ours: `validate_state()` found a core machine inconsistent."""

    reason = "INTERNAL"
