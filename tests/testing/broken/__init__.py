"""Coordinators that break one check each, and the shortest steps that show it."""

from tests.testing.broken import assignment, attempts, clients, configured, workers
from tests.testing.broken.case import CASES, DECLARED, Case

__all__ = [
    "CASES",
    "DECLARED",
    "Case",
    "assignment",
    "attempts",
    "clients",
    "configured",
    "workers",
]
