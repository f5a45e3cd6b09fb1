"""Times and bounds of the simulated cluster: small ones, so that little data reaches them."""

from __future__ import annotations

import attrs

from ffq.actors import ActorSettings
from ffq.core import CoordinatorSettings
from ffq.retry import RetryPolicy
from ffq.worker.attempt import AttemptSettings
from ffq.worker.inputs import FetchSettings
from ffq.worker.loop import LoopSettings
from tests.simulation.network import RPC_TIMEOUT_MS

COORDINATOR_SETTINGS = CoordinatorSettings(
    blacklist_failure_threshold=3,
    max_concurrent_tasks_per_worker=3,
    max_concurrent_tasks_per_query=4,
    max_tasks_ahead=2,
    max_task_attempts=3,
    retry_backoff_base_ms=100,
    worker_liveness_timeout_ms=3_000,
    blacklist_ttl_ms=4_000,
    assignment_lease_ms=1_500,
    adaptive_target_bytes=120,
    max_queries=5,
    result_ttl_ms=30_000,
    adaptive_skew_bytes=60,
)
SPECULATING = attrs.evolve(
    COORDINATOR_SETTINGS, speculation=150, speculation_quantile=30, speculation_min_ms=20
)
ACTOR_SETTINGS = ActorSettings(mailbox=4, tick_ms=500, sweep_ms=300)
RETRY = RetryPolicy(timeout_ms=RPC_TIMEOUT_MS, base_ms=50, max_ms=400)
HEARTBEAT_MS = 500


def loop_settings(slots: int) -> LoopSettings:
    """Of the real worker loop."""
    return LoopSettings(
        slots=slots,
        poll_ms=100,
        heartbeat_ms=HEARTBEAT_MS,
        connect_timeout_ms=0,
        stop_grace_ms=2_000,
        claim_ms=1_500,
        ahead_ms=400,
        retry=RETRY,
        attempts=AttemptSettings(
            fetch=FetchSettings(retry=RETRY, patience_ms=1_200, coordinator_patience_ms=3_000),
            result_chunk_bytes=32,
        ),
    )
