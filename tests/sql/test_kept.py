"""Plans that are kept: only such as planning anew would give again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog
from ffq.engine.inline import open_inline
from ffq.errors import InvalidQuery, StorageError
from ffq.messages import ClusterSize, PlanSql, SqlPlan
from ffq.plan.inline import InlineTable
from ffq.sql import kept as module
from ffq.sql import lasting
from ffq.sql.child import answer
from ffq.sql.frames import Hello, load_basis, load_header, load_reply
from ffq.sql.kept import Basis, KeptPlans
from ffq.sql.lasting import BY_TIME_ZONE, may_keep
from ffq.sql.parameters import dump_parameters
from ffq.sql.prepare import Preparer
from ffq.sql.service import Job, PlanningService

CLUSTER = ClusterSize(4, 2)
CLOCK = ("current_date", "now()", "current_timestamp", "localtimestamp", "today()", "current_time")


class Planning(PlanningService):
    """How often it planned: in this process."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.planned = 0
        self._preparer = Preparer(Catalog.of(()))

    @property
    def kept(self) -> KeptPlans:
        return self._kept

    def _asked(self, request: bytes, job: Job) -> tuple[SqlPlan, Basis | None]:
        self.planned += 1
        hello = Hello((), client_tables=True, one_task_bytes=8 << 20)
        told, *plan = answer(self._preparer, hello, request)
        header = load_header(told)
        return load_reply(header, *plan), load_basis(header)

    def close(self) -> None:
        super().close()
        self._preparer.close()

    def ask(
        self,
        sql: str,
        parameters: Any = None,
        *,
        tables: tuple[str, ...] = (),
        cluster: ClusterSize = CLUSTER,
        partitions: int = 0,
        inline: tuple[InlineTable, ...] = (),
        folder: str = "/",
    ) -> SqlPlan:
        message = PlanSql(sql, dump_parameters(parameters), tables, folder, partitions, inline)
        known = self.known(message, cluster) if self.may_know(message, cluster) else None
        return self.plan(message, cluster=cluster) if known is None else known

    def is_kept(self, sql: str, parameters: Any = None, **more: Any) -> bool:
        """Whether it is not planned when it is asked for the third time."""
        answers = {self.ask(sql, parameters, **more) for _ in range(2)}
        before = self.planned
        answers.add(self.ask(sql, parameters, **more))
        assert len(answers) == 1 or self.planned > before
        return self.planned == before


@pytest.fixture
def planning() -> Iterator[Planning]:
    made = Planning()
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "five.parquet"
    write(path, {"k": [1, 2, 3], "v": [10, 20, 30]})
    return path


def write(path: Path, columns: dict[str, list[Any]], at_s: int = 1_000_000_000) -> None:
    pq.write_table(pa.table(columns), path)
    os.utime(path, (at_s, at_s))


def test_what_is_asked_again_is_not_planned_again(planning: Planning, file: Path) -> None:
    sql = f"SELECT count(*) AS n, sum(v), year(DATE '2020-01-01') FROM '{file}' WHERE k > 1"
    first = planning.ask(sql)
    assert planning.ask(sql) == planning.ask(sql) == planning.ask(sql) == first
    assert planning.planned == 2


def test_a_query_that_comes_once_is_not_kept(planning: Planning, file: Path) -> None:
    planning.ask(f"FROM '{file}'")
    assert not planning.kept


def test_nothing_that_is_asked_otherwise_gets_its_answer(planning: Planning, file: Path) -> None:
    entry = json.dumps({"name": "t", "paths": [str(file)]})
    other = json.dumps({"name": "t", "paths": [str(file.parent / "*.parquet")]})
    sql = "SELECT k + $1 AS a FROM t"
    ways: list[dict[str, Any]] = [
        {"parameters": [1], "tables": (entry,)},
        {"parameters": [2], "tables": (entry,)},
        {"parameters": [1.0], "tables": (entry,)},
        {"parameters": [True], "tables": (entry,)},
        {"parameters": ["1"], "tables": (entry,)},
        {"parameters": [1], "tables": (other,)},
        {"parameters": [1], "tables": (entry,), "cluster": ClusterSize(64, 32)},
        {"parameters": [1], "tables": (entry,), "partitions": 3},
        {"parameters": [1], "tables": (entry,), "folder": "/usr"},
    ]
    for way in ways:
        before = planning.planned
        for _ in range(2):
            with suppress(InvalidQuery):  # no sum of a number and a text
                planning.ask(sql, **way)
        assert planning.planned == before + 2, way
    for text in (sql.lower().replace("a from", "A FROM"), f"{sql} "):
        before = planning.planned
        planning.ask(text, [1], tables=(entry,))
        assert planning.planned == before + 1, text


def test_a_file_that_has_changed_is_planned_anew(planning: Planning, file: Path) -> None:
    sql = f"FROM '{file.parent}/*.parquet'"
    assert planning.is_kept(sql)
    before = planning.ask(sql)
    write(file, {"k": [1, 2, 3], "w": [10, 20, 30]}, 1_000_000_001)
    after = planning.ask(sql)
    assert after != before
    assert [column.name for column in after.columns] == ["k", "w"]
    write(file.with_name("more.parquet"), {"k": [4], "w": [5]})
    planned = planning.planned
    assert planning.ask(sql) != after
    assert planning.planned == planned + 1
    file.unlink()
    file.with_name("more.parquet").unlink()
    with pytest.raises(StorageError):
        planning.ask(sql)


def test_rows_that_go_with_a_query_are_a_part_of_what_is_asked(
    planning: Planning, tmp_path: Path
) -> None:
    def table(values: list[Any]) -> InlineTable:
        write(tmp_path / "rows.parquet", {"k": values})
        made = InlineTable("rows", (tmp_path / "rows.parquet").read_bytes())
        with open_inline(made):
            return made

    numbers, words = table([1, 2]), table(["a", "b"])
    assert planning.is_kept("FROM rows", inline=(numbers,))
    assert planning.ask("FROM rows", inline=(numbers,)) != planning.ask(
        "FROM rows", inline=(words,)
    )


@pytest.mark.parametrize(
    "expression",
    [
        *CLOCK,
        *map(str.upper, CLOCK),
        'main."now"()',
        "ago(INTERVAL 1 DAY)",
        "age(TIMESTAMP '2020-01-01')",
        "random()",
        "uuid()",
    ],
)
def test_what_looks_at_a_clock_or_at_chance_is_planned_each_time(
    planning: Planning, file: Path, expression: str
) -> None:
    assert not planning.is_kept(f"SELECT k, {expression} AS x FROM '{file}'")


def test_writes_explanations_and_errors_are_not_kept(
    planning: Planning, file: Path, tmp_path: Path
) -> None:
    assert not planning.is_kept(f"COPY (FROM '{file}') TO '{tmp_path / 'out'}' (FORMAT parquet)")
    assert not planning.is_kept(f"EXPLAIN FROM '{file}'")
    for _ in range(3):
        with pytest.raises(InvalidQuery):
            planning.ask("FROM nowhere")
    assert not planning.kept


def test_keywords_that_change_are_known() -> None:
    """Of all words of the grammar and names of functions without arguments: what two instances say
    of them, whose clocks show two days, is the same, or they are not kept."""
    with duckdb.connect() as one:
        one.execute("SET TimeZone = 'Etc/GMT-14'")
        words = one.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
        names = one.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN "
            "('scalar', 'macro') AND len(parameters) = 0"
        ).fetchall()
        asked = [*(word for (word,) in words), *(f'"{name}"()' for (name,) in names)]
        first = {each: said(one, each) for each in asked if may_keep(f"SELECT {each}")}
    with duckdb.connect() as other:
        other.execute("SET TimeZone = 'Etc/GMT+12'")
        assert {each: said(other, each) for each in first} == first


def said(connection: duckdb.DuckDBPyConnection, expression: str) -> object:
    try:
        return connection.execute(f"SELECT {expression}").fetchall()
    except duckdb.Error as error:
        return type(error)


def test_what_is_let_pass_for_its_time_zone_looks_at_nothing_else() -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT function_name, parameter_types, return_type FROM duckdb_functions() WHERE "
            "function_type = 'scalar' AND stability <> 'CONSISTENT'"
        ).fetchall()
    for name, taken, given in rows:
        if name in BY_TIME_ZONE:
            kinds = (*taken, given)
            assert any("TIME ZONE" in kind or "TIMESTAMPTZ" in kind for kind in kinds), name


def test_plans_are_kept_within_bounds(
    planning: Planning, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    for at in range(5):
        assert planning.is_kept(f"SELECT k + {at} FROM '{file}'")
    assert len(planning.kept) == 3
    monkeypatch.setattr(module, "_MOST_BYTES", 1)
    planning.ask(f"FROM '{file}'")
    planning.ask(f"FROM '{file}'")
    assert not planning.kept
    monkeypatch.undo()
    assert planning.is_kept(f"SELECT '{'x' * 1000}' FROM '{file}'")
    assert not planning.is_kept(f"SELECT '{'x' * 300_000}' FROM '{file}'")
    monkeypatch.setattr(lasting, "_MOST_FILES", 1)
    write(file.with_name("more.parquet"), {"k": [4], "v": [5]})
    assert planning.is_kept(f"FROM '{file}'")
    assert not planning.is_kept(f"FROM '{file.parent}/*.parquet'")
