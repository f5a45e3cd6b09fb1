"""Runs stage fragments on Arrow data with DuckDB, and custom operators between its parts.

Names are imported when they are first used: who only writes SQL, or plans, does without DuckDB.
"""

from typing import TYPE_CHECKING

from ffq.lazily import importing

if TYPE_CHECKING:
    from ffq.engine.cancel import CancelToken
    from ffq.engine.engine import ENGINE_FAMILY, BatchSink, Engine, EngineSettings, RunStats
    from ffq.engine.fragment_run import FragmentSpec
    from ffq.engine.operators import OperatorRegistry, load_operators, operator

__getattr__ = importing(
    __name__,
    {
        "BatchSink": "ffq.engine.engine",
        "CancelToken": "ffq.engine.cancel",
        "ENGINE_FAMILY": "ffq.engine.engine",
        "Engine": "ffq.engine.engine",
        "EngineSettings": "ffq.engine.engine",
        "FragmentSpec": "ffq.engine.fragment_run",
        "OperatorRegistry": "ffq.engine.operators",
        "RunStats": "ffq.engine.engine",
        "load_operators": "ffq.engine.operators",
        "operator": "ffq.engine.operators",
    },
)

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
