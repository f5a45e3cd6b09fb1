"""The worker: pulls tasks from a coordinator, runs them, serves what they wrote."""

from ffq.worker.config import WorkerConfig, worker_config
from ffq.worker.process import WorkerReady, run_worker

__all__ = ["WorkerConfig", "WorkerReady", "run_worker", "worker_config"]
