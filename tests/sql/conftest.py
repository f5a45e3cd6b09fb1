"""What the tests of SQL share."""

from __future__ import annotations

from tests.engine.conftest import tpch
from tests.profiles import CHOSEN
from tests.sql.world import engines, folder, preparer, world

__all__ = ["engines", "folder", "preparer", "tpch", "world"]

collect_ignore = [] if CHOSEN.every_query == 1 else ["test_tpcds.py"]
