"""Settings of the coordinator's core, checked where they are made."""

from __future__ import annotations

from typing import Any, Final

import attrs

from ffq.bounds import MAX_AHEAD
from ffq.errors import InvalidRequest, words

MAX_BACKOFF_EXPONENT = 10
BEATS_PER_TIMEOUT: Final = 5
"""A worker beats at least so often within its liveness timeout: one lost beat is no news."""
_LONGEST_REST_MS: Final = 3_000
"""What a worker was found to have room for holds for some beats, also when it falls silent."""
MAX_COUNT: Final = 2**32 - 1
"""Counts that are uint32 on the wire, and all others."""
MAX_MS: Final = 2**53 - 1
"""Times in ms and sizes in bytes: exact as floats, and no sum of a few overflows 64 bits."""


def _from_to(minimum: int, maximum: int) -> Any:
    def check(_: object, attribute: attrs.Attribute[int], value: int) -> None:
        # bool is an int in Python; as a setting it is a mistake.
        if type(value) is not int or value < minimum:
            raise InvalidRequest(
                f"setting {attribute.name} must be a whole number of at least {minimum}, "
                f"not {words(value, 40)}"
            )
        if value > maximum:
            raise InvalidRequest(
                f"setting {attribute.name} must be at most {maximum}, not {words(value, 40)}"
            )

    return check


def _bound(default: int, minimum: int = 1, maximum: int = MAX_COUNT) -> int:
    return attrs.field(default=default, validator=_from_to(minimum, maximum), kw_only=True)


def _size(default: int, minimum: int = 1) -> int:
    """A time in ms or a size in bytes."""
    return _bound(default, minimum, MAX_MS)


@attrs.frozen
class CoordinatorSettings:
    """Settings of the core. Times in ms, sizes in bytes; each is a whole number, of at most MAX_MS
    for times and sizes and MAX_COUNT for the others.

    The first eight are the protocol's; the others bound what the coordinator holds (R30).

    Attributes:
        blacklist_failure_threshold: consecutive failures that exclude a worker (R16).
        max_concurrent_tasks_per_worker: running attempts of one worker (R7).
        max_concurrent_tasks_per_query: running attempts of one query (R7).
        max_task_attempts: charged failures of one task that fail its query (R14).
        retry_backoff_base_ms: delay of the first retry; doubles with each further one (R14).
        worker_liveness_timeout_ms: a worker silent for longer is stale (R19).
        blacklist_ttl_ms: how long an exclusion lasts (R16).
        unrunnable_timeout_ms: how long a query waits for a capability that no live worker has
            before it fails; 0 = forever (R10).
        max_tasks_ahead: attempts that wait at one worker for a slot of it, beside those that run
            there; 0: none do. R7's limit of a query counts them, that of a worker does not.
        assignment_lease_ms: for workers that list their attempts in heartbeats: an attempt that
            was not listed for longer is taken back.
        max_uncharged_retries_per_stage: how often any one task of a stage may be queued again
            without being charged for it (lost output, lost input, stopped worker, lapsed lease).
        adaptive_target_bytes: reduce partitions are grouped into tasks of about this many bytes.
        adaptive_min_tasks: the target is lowered to this part of a stage's input, so that a small
            input is shared out too.
        adaptive_skew_bytes: a reduce partition of at least so many bytes, and of a third more than
            an even share, is shared out to several tasks where its stage's plan allows it.
        speculation: percent of the median duration of a stage's finished tasks: an attempt that
            runs for longer may get a second one beside it; 0: none does (R13).
        speculation_quantile: percent of a stage's tasks that must have finished before.
        speculation_min_ms: an attempt may run for so long in any case.
        max_tasks_per_query: tasks that a query may be laid out into.
        max_queries: queries that are queued or running.
        max_plan_bytes: plan bytes of all queued and running queries together.
        max_assignment_bytes: about how large a GetTask answer of several tasks may be.
        max_task_bytes: how much one task's assignment may take: its plan and the names of the files
            and outputs that it reads. A query with a larger one fails.
        max_workers: workers that are live at a time.
        max_standings: absent workers whose failures and exclusions are remembered.
        max_capabilities: names in one worker's capabilities.
        max_registered_partitions: partition records of all registered map outputs together.
        result_ttl_ms: how long a finished query is kept (R27).
        max_result_bytes: result bytes of all queries together (R27).
        max_finished_queries: finished queries that are kept (R27).
        max_expired_ids: evicted ids that are remembered (R27).
    """

    blacklist_failure_threshold: int = _bound(3)
    max_concurrent_tasks_per_worker: int = _bound(8)
    max_concurrent_tasks_per_query: int = _bound(32)
    max_task_attempts: int = _bound(3)
    retry_backoff_base_ms: int = _size(250, 0)
    worker_liveness_timeout_ms: int = _size(15_000)
    blacklist_ttl_ms: int = _size(60_000, 0)
    unrunnable_timeout_ms: int = _size(0, 0)
    max_tasks_ahead: int = _bound(MAX_AHEAD, 0)
    assignment_lease_ms: int = _size(10_000)
    max_uncharged_retries_per_stage: int = _bound(64)
    adaptive_target_bytes: int = _size(16 * 1024 * 1024)
    adaptive_min_tasks: int = _bound(2)
    adaptive_skew_bytes: int = _size(8 * 1024 * 1024)
    speculation: int = _bound(0, 0)
    speculation_quantile: int = _bound(50, 1, 100)
    speculation_min_ms: int = _size(100, 0)
    max_tasks_per_query: int = _bound(100_000)
    max_queries: int = _bound(10_000)
    max_plan_bytes: int = _size(512 * 1024 * 1024)
    max_assignment_bytes: int = _size(3_500_000)
    max_task_bytes: int = _size(48 * 1024 * 1024)
    max_workers: int = _bound(10_000)
    max_standings: int = _bound(10_000)
    max_capabilities: int = _bound(256)
    max_registered_partitions: int = _bound(4_000_000)
    result_ttl_ms: int = _size(600_000, 0)
    max_result_bytes: int = _size(1024 * 1024 * 1024)
    max_finished_queries: int = _bound(1_000)
    max_expired_ids: int = _bound(100_000)

    @property
    def rest_ms(self) -> int:
        """For how long an idle worker may leave out beats that say nothing new."""
        return min(_LONGEST_REST_MS, self.worker_liveness_timeout_ms // BEATS_PER_TIMEOUT)

    def retry_delay_ms(self, failures: int) -> int:
        """How long a task waits after its `failures`-th failure (R14)."""
        return self.retry_backoff_base_ms << min(failures - 1, MAX_BACKOFF_EXPONENT)
