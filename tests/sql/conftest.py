"""What the tests of SQL share."""

from __future__ import annotations

from tests.engine.conftest import tpch
from tests.profiles import CHOSEN

__all__ = ["tpch"]

collect_ignore = [] if CHOSEN.every_query == 1 else ["test_tpcds.py"]
