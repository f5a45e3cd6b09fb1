"""What is declared to the harness about the coordinator under test."""

from __future__ import annotations

import attrs
from attrs import validators

_WHOLE = validators.ge(0)
_POSITIVE = validators.ge(1)


@attrs.frozen(kw_only=True)
class DeclaredSettings:
    """The coordinator's settings, by the protocol's names, and how exactly time can be checked.

    Attributes:
        slack_ms: how late the coordinator's timers may be before that counts as a break. 0 suits a
            virtual clock. What comes too early is always a break.
        alone: no other worker is alive at the coordinator but those that the harness plays.
        serves_outputs: FetchShufflePartition answers for registered map outputs though nothing was
            ever written (an adapter that stops at the coordinator's books).
        keeps_metrics: status reports rows and bytes of map output. False: zeros are not checked.
        incomplete_output_fails: SUCCEEDED over a partition that was registered as not finalized
            fails the attempt.
    """

    blacklist_failure_threshold: int = attrs.field(default=3, validator=_POSITIVE)
    max_concurrent_tasks_per_worker: int = attrs.field(default=8, validator=_POSITIVE)
    max_concurrent_tasks_per_query: int = attrs.field(default=32, validator=_POSITIVE)
    max_task_attempts: int = attrs.field(default=3, validator=_POSITIVE)
    retry_backoff_base_ms: int = attrs.field(default=250, validator=_WHOLE)
    worker_liveness_timeout_ms: int = attrs.field(default=15_000, validator=_POSITIVE)
    blacklist_ttl_ms: int = attrs.field(default=60_000, validator=_WHOLE)
    unrunnable_timeout_ms: int = attrs.field(default=0, validator=_WHOLE)
    slack_ms: int = attrs.field(default=0, validator=_WHOLE)
    alone: bool = True
    serves_outputs: bool = True
    keeps_metrics: bool = True
    incomplete_output_fails: bool = True

    def backoff_ms(self, failures: int) -> int:
        """How long a task waits after its `failures`-th failure (R14)."""
        return int(self.retry_backoff_base_ms * 2 ** min(failures - 1, 10))
