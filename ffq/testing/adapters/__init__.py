"""Adapters of ours: over the core alone, and over gRPC."""

from ffq.testing.adapters.core import CoreAdapter as CoreAdapter

__all__ = ["CoreAdapter"]
