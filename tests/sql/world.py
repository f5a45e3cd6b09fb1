"""A folder of files, and queries over it: planned and run by us, and by the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ffq.catalog import Catalog
from ffq.engine import Engine
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import WithTables
from ffq.sql.parameters import dump_parameters, load_parameters
from ffq.sql.prepare import Prepared, Preparer, Query
from tests.engine.runner import LocalRunner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    (made / "b c").mkdir()
    with duckdb.connect() as engine:
        engine.execute(
            "CREATE TABLE t AS SELECT i AS k, 's' || i AS s, i / 2 AS v, "
            "DATE '2020-01-01' + i::INT AS d FROM range(20) r(i)"
        )
        for name in ("t.parquet", "T.parquet", "b c/it's.parquet", "b c/2.parquet"):
            path = str(made / name).replace("'", "''")
            engine.execute(f"COPY t TO '{path}'")
    return made


@pytest.fixture(scope="module")
def preparer() -> Iterator[Preparer]:
    made = Preparer(Catalog.of(()))
    yield made
    made.close()


class World:
    """Queries over the folder, planned and run here."""

    def __init__(
        self,
        preparer: Preparer,
        engines: tuple[Engine, duckdb.DuckDBPyConnection],
        folder: Path,
        root: Path,
    ) -> None:
        self._preparer = preparer
        self._ours, self._theirs = engines
        self.folder = folder
        self._root = root

    def prepare(self, sql: str, parameters: Any = None, **more: Any) -> Prepared:
        tables = more.pop("tables", {"t": str(self.folder / "t.parquet")})
        entries = [{"name": name, "paths": [path]} for name, path in tables.items()]
        given = load_parameters(dump_parameters(parameters))
        texts = tuple(map(json.dumps, entries))
        return self._preparer.prepare(Query(sql, given, texts, str(self.folder), **more))

    def run(self, sql: str, parameters: Any = None, **more: Any) -> list[tuple[Any, ...]]:
        prepared = self.prepare(sql, parameters, **more)
        found = self.run_plan(dump_plan(prepared.plan))
        assert found.column_names == [name for name, _ in prepared.columns]
        return sorted(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def run_plan(self, plan_bytes: bytes) -> pa.Table:
        plan = parse_plan(plan_bytes)
        assert dump_plan(plan) == plan_bytes
        files: dict[str, list[Path]] = {}
        if isinstance(plan, WithTables):
            catalog = Catalog.of(()).over(plan.tables)
            files = {one: [Path(path) for path in catalog.files(one)] for one in catalog.names()}
        return LocalRunner(self._ours, self._root, files).run(plan)

    def their_table(self, sql: str) -> pa.Table:
        return self._theirs.sql(sql).to_arrow_table()

    def expected(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return sorted(self._theirs.execute(sql, parameters or []).fetchall())


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[tuple[Engine, duckdb.DuckDBPyConnection]]:
    ours = Engine()
    with duckdb.connect(config={"threads": 1}) as theirs:
        theirs.execute("SET file_search_path = ?", [str(folder)])
        theirs.execute(f"CREATE VIEW t AS FROM '{folder}/t.parquet'")
        yield ours, theirs
    ours.close()


@pytest.fixture
def world(
    preparer: Preparer,
    engines: tuple[Engine, duckdb.DuckDBPyConnection],
    folder: Path,
    tmp_path: Path,
) -> World:
    return World(preparer, engines, folder, tmp_path)
