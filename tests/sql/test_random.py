"""Queries of a grammar over random tables: over one task or several, planned on whatever the
planning tables hold, they give what the engine gives in one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from ffq.engine import Engine
from ffq.sql.planning import PlanningInstance
from tests.engine.runner import LocalRunner
from tests.profiles import CHOSEN
from tests.sql.compared import Compared, estimates, write_tables
from tests.sql.grammar import TABLES, queries, rows

_QUERIES: Final = 4
"""Over the tables of each example: files are slow to write."""
_MISLEADING: Final = {
    "t": "SELECT 7 AS a, 7 AS b, 'a' AS s FROM range(2000)",
    "u": "SELECT 7 AS a, 7 AS k, 'a' AS s, TRUE AS f",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@settings(max_examples=max(CHOSEN.examples // 5 // CHOSEN.every_query, 3))
@given(data=st.data())
def test_it_gives_what_the_engine_gives(engine: Engine, data: DataObject) -> None:
    with TemporaryDirectory() as folder, duckdb.connect() as con:
        for name, columns in TABLES.items():
            listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            con.execute(f"CREATE TABLE {name} ({listed})")
            con.execute(data.draw(rows(name))).fetchall()
        root = Path(folder)
        samples = {
            "empty": {},
            "all": {name: con.table(name).to_arrow_table() for name in TABLES},
            "misleading": {
                name: con.sql(sql).to_arrow_table() for name, sql in _MISLEADING.items()
            },
        }[data.draw(st.sampled_from(["empty", "all", "misleading"]))]
        files = write_tables(con, root)
        instance = PlanningInstance(
            {name: list(columns.items()) for name, columns in TABLES.items()}, samples=samples
        )
        compared = Compared(
            con,
            instance,
            LocalRunner(
                engine,
                root / "shuffles",
                files,
                scan_tasks=data.draw(st.integers(1, 3)),
                inlines=data.draw(st.booleans()),
            ),
            partitions=data.draw(st.integers(1, 3)),
            estimates=estimates(files) if data.draw(st.booleans()) else {},
        )
        try:
            for _ in range(_QUERIES):
                sql = data.draw(queries())
                note(sql)
                compared.check(sql)
        finally:
            instance.close()
