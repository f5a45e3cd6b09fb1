"""Coordinators that break one check each, and the shortest steps that show it."""

from tests.testing.broken import assignment, attempts, clients, configured, workers
from tests.testing.broken.case import CASES, TOLD, Case

__all__ = ["CASES", "TOLD", "Case", "assignment", "attempts", "clients", "configured", "workers"]
