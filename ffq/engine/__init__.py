"""Runs stage fragments on Arrow data with DuckDB, and custom operators between its parts."""

from ffq.engine.cancel import CancelToken
from ffq.engine.engine import ENGINE_FAMILY, BatchSink, Engine, EngineSettings, RunStats
from ffq.engine.fragment_run import FragmentSpec
from ffq.engine.operators import OperatorRegistry, load_operators, operator

__all__ = [
    "Engine",
    "EngineSettings",
    "FragmentSpec",
    "RunStats",
    "BatchSink",
    "CancelToken",
    "ENGINE_FAMILY",
    "operator",
    "load_operators",
    "OperatorRegistry",
]
