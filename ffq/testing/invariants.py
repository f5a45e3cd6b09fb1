"""The checks of the harness, each with a stable name and the protocol's rule it stands for.

Names are part of the public contract: failures print them, `ffq conformance` tells rules by them.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Check:
    """One thing that must hold. `rule` is the number in docs/protocol.md: "R13"."""

    name: str
    rule: str
    text: str


class Violation(AssertionError):
    """A check failed.

    Attributes:
        check: which.
        detail: what was seen, and what would be right.
        script: the RPCs that led there, a line each; filled in by the session.
    """

    def __init__(self, check: Check, detail: str, rule: str | None = None) -> None:
        super().__init__(check.name, detail)
        self.check = check
        self.rule = check.rule if rule is None else rule
        self.detail = detail
        self.script: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.check.name} ({self.rule}): {self.detail}\n  [{self.check.text}]"
        return "\n".join([head, *(f"  {line}" for line in self.script)])


def _checks(*rows: tuple[str, str, str]) -> dict[str, Check]:
    return {name: Check(name, rule, text) for name, rule, text in rows}


CHECKS: dict[str, Check] = _checks(
    # lifecycle
    ("submit-answers-queued", "R1", "a new query is QUEUED"),
    ("submit-is-idempotent", "R1", "the same id and bytes answer the present state"),
    ("submit-conflict-refused", "R1", "the same id with other bytes is refused ALREADY_EXISTS"),
    ("bad-plan-refused", "R1", "bytes that are no plan are refused and leave no query behind"),
    (
        "first-assignment-starts",
        "R2",
        "a query is RUNNING from its first assignment on, not before",
    ),
    ("start-time-stands", "R2", "started_at_ms is set by the first assignment and stays"),
    ("success-needs-everything", "R3", "SUCCEEDED only when every task has a committed attempt"),
    ("success-comes", "R3", "SUCCEEDED once every task is committed and the result is there"),
    ("sink-needs-result", "R3", "a sink attempt without a result does not succeed"),
    ("every-query-ends", "R3", "with a capable worker and no more faults, every query ends"),
    ("terminal-is-final", "R4", "state, times, message and result of an ended query stand"),
    ("cancel-answers-standing-state", "R4", "a cancel of an ended query answers its state"),
    ("no-work-after-end", "R4", "nothing of an ended query is assigned"),
    ("late-call-acknowledged", "R4", "late calls about an assigned attempt are answered OK"),
    ("cancel-takes-effect", "R5", "a cancel ends a queued or running query at once"),
    ("canceled-outputs-removed", "R5", "map outputs of a canceled query are not served"),
    ("ends-only-for-cause", "R5", "no query is CANCELED that nobody canceled"),
    # assignment
    ("capacity-zero-gets-nothing", "R6", "capacity 0 gets an empty answer"),
    ("excluded-gets-nothing", "R6", "an excluded worker is assigned nothing"),
    ("asking-grants-nothing", "R6", "a worker that never beat has no capabilities"),
    ("capacity", "R7", "at most `capacity` assignments are returned"),
    ("worker-limit", "R7", "a worker's running attempts stay within its limit"),
    ("query-limit", "R7", "a query's running attempts stay within its limit"),
    ("barrier", "R8", "a stage runs only when all it reads is committed"),
    ("barrier-opens", "R8", "a stage is assigned once all it reads is committed"),
    ("assigned-known-task", "R9", "assigned are tasks of submitted plans only"),
    ("assigned-once", "R9", "each attempt is assigned at most once"),
    ("ready-is-assigned", "R9", "a task that is ready is assigned to a worker that may run it"),
    ("operator-placement", "R10", "a task goes to workers with all its operators only"),
    ("capable-is-served", "R10", "a task is assigned as soon as a capable worker beats and asks"),
    ("waiting-says-so", "R10", "a query that waits for an operator names it in its message"),
    ("unrunnable-ends", "R10", "past unrunnable_timeout_ms, and not before, such a query FAILS"),
    ("queries-take-turns", "R11", "a query submitted behind others is served within one round"),
    # attempts
    ("attempts-gapless", "R12", "attempts of a task are numbered 1, 2, 3, ..."),
    ("single-commit", "R13", "a committed task is not run again"),
    ("foreign-report-ignored", "R13", "only the current attempt, under its layout, counts"),
    ("never-assigned-refused", "R13", "calls about an attempt never assigned answer NOT_FOUND"),
    ("attempts-within-budget", "R14", "a task has at most max_task_attempts attempts"),
    ("failed-within-budget", "R14", "a query does not FAIL while its tasks may be retried"),
    ("budget-ends-query", "R14", "a query whose task used up its attempts FAILS"),
    ("failure-is-told", "R14", "a FAILED query carries the last failure's message"),
    ("not-before-backoff", "R14", "no retry before its backoff is over"),
    ("retry-comes", "R14", "a failed attempt is tried again once its backoff is over"),
    ("duplicate-changes-nothing", "R15", "a call sent again changes nothing"),
    ("success-clears-count", "R15", "a success clears its worker's count of failures"),
    ("exclusion-ends", "R16", "an exclusion ends after blacklist_ttl_ms"),
    (
        "exclusion-starves-nobody",
        "R16",
        "when all are excluded the longest excluded is let back in",
    ),
    ("excluded-at-threshold", "R16", "a worker is excluded at the threshold, not before"),
    # liveness
    ("accepted-is-told", "R18", "a heartbeat is accepted unless the worker is excluded"),
    ("evidence-keeps-alive", "R18", "every worker RPC is evidence of life"),
    ("lost-work-is-requeued", "R19", "work of a silent worker is assigned anew after the timeout"),
    ("not-lost-early", "R19", "nobody is taken for dead before the timeout"),
    ("beating-worker-kept", "R20", "a worker that keeps beating keeps its attempts"),
    ("capabilities-are-replaced", "R21", "capabilities are those of the last heartbeat"),
    # shuffle, results
    ("output-merges", "R22", "registrations merge by partition: the higher epoch or offset wins"),
    ("incomplete-output-fails", "R22", "an attempt over unfinished output is not committed"),
    ("unregistered-is-empty", "R22", "success without registration means empty output"),
    ("stale-output-refused", "R23", "only exact registered attempts are served"),
    ("committed-output-served", "R23", "a committed attempt's output is served"),
    ("zero-is-the-committed", "R23", "attempt 0 is answered as the committed attempt is"),
    ("results-after-success-only", "R26", "results are fetched after SUCCEEDED only"),
    ("result-is-the-last-upload", "R26", "the last upload before the sink's SUCCEEDED counts"),
    ("unknown-query-refused", "R27", "an unknown query id answers NOT_FOUND"),
    # errors, bounds, families
    ("malformed-refused", "R28", "a malformed request is INVALID_ARGUMENT"),
    ("refusals-have-codes", "R29", "no UNKNOWN and no traceback; only refusals that have a rule"),
    ("over-bound-refused", "R30", "over a bound: refused, and the coordinator lives on"),
    ("slots-come-back", "R30", "when all has ended, every slot can be used again"),
    ("books-are-consistent", "R30", "the coordinator's own validate_state() holds"),
    ("one-task-per-stage", "R31", "on the fixed wire a stage is one task with all partitions"),
    ("whole-plan-is-sent", "R31", "on the fixed wire an assignment carries the whole plan"),
)


@attrs.define
class CheckLog:
    """Raises when a check fails, and counts how often each was put to the test."""

    counts: dict[str, int] = attrs.field(factory=dict)

    def require(self, name: str, holds: bool, detail: str, rule: str | None = None) -> None:
        """Put one check to the test.

        Args:
            detail: what was seen and what would be right, in case it does not hold.
            rule: where the circumstances break a more exact rule than the check's own.

        Raises:
            Violation: it does not hold.
        """
        check = CHECKS[name]
        self.counts[name] = self.counts.get(name, 0) + 1
        if not holds:
            raise Violation(check, detail, rule)
