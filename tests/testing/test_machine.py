from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter, told_of
from ffq.testing.machine import coordinator_machine

SETTINGS = CoordinatorSettings(
    max_concurrent_tasks_per_worker=3,
    max_concurrent_tasks_per_query=4,
    blacklist_failure_threshold=3,
    retry_backoff_base_ms=100,
    worker_liveness_timeout_ms=1_000,
    blacklist_ttl_ms=3_000,
)

TestCore = coordinator_machine(
    lambda: CoreAdapter(CoreCoordinator(SETTINGS)), told_of(SETTINGS)
).TestCase
