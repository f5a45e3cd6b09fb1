"""Queries planned and run by us, task by task, beside the engine's own answer over those files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.engine import Engine
from ffq.messages import NO_CLUSTER, ClusterSize
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import Node
from ffq.plan.stages import Parallelism, cut
from ffq.sql.distribute import distribute
from ffq.sql.exchanges import TableEstimate
from ffq.sql.files import Named
from ffq.sql.planning import Planned, PlanningInstance
from ffq.sql.sharing import with_shared
from ffq.sql.text import Edited
from ffq.sql.together import in_one_task
from tests.engine.runner import LocalRunner

_ORDERS = {"LOGICAL_ORDER_BY", "LOGICAL_TOP_N"}
_ABOVE_ORDERS = {"LOGICAL_PROJECTION", "LOGICAL_LIMIT"}
_TINY_ROWS = 30
_DIGITS = 9
"""Of floats: sums of them depend on the order in which they are added."""


def write_tables(
    con: duckdb.DuckDBPyConnection, root: Path, files: int = 2
) -> dict[str, list[Path]]:
    """The connection's tables as Parquet files; in their place it gets views of these."""
    written: dict[str, list[Path]] = {}
    names = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    for (name,) in names:
        written[name] = []
        for part in range(files):
            path = root / f"{name}{part}.parquet"
            numbered = f"SELECT *, row_number() OVER () AS nr FROM {name}"
            share = f"SELECT * EXCLUDE (nr) FROM ({numbered}) WHERE nr % {files} = {part}"
            con.execute(f"COPY ({share}) TO '{path}' (FORMAT parquet)")
            written[name].append(path)
        con.execute(f"DROP TABLE {name}")
        con.execute(f"CREATE VIEW {name} AS {reading(written[name])}")
    return written


def estimates(files: Mapping[str, Sequence[Path]]) -> dict[str, TableEstimate]:
    """Of tables, from the footers of their files."""
    found = {}
    for name, paths in files.items():
        footers = [pq.read_metadata(path) for path in paths]
        groups = [footer.row_group(at) for footer in footers for at in range(footer.num_row_groups)]
        rows = sum(footer.num_rows for footer in footers)
        size = sum(group.total_byte_size for group in groups)
        found[name] = TableEstimate(rows, size, tiny=rows <= _TINY_ROWS)
    return found


def reading(files: Sequence[Path]) -> str:
    listed = ", ".join(f"'{path}'" for path in files)
    return f"SELECT * FROM read_parquet([{listed}])"


@attrs.define
class Compared:
    """con: over views of the tables' files. together: queries that can be are run in one task."""

    con: duckdb.DuckDBPyConnection
    instance: PlanningInstance
    runner: LocalRunner
    partitions: int = 3
    estimates: dict[str, TableEstimate] = attrs.field(factory=dict)
    together: bool = False
    cluster: ClusterSize = NO_CLUSTER

    @classmethod
    def over(
        cls,
        con: duckdb.DuckDBPyConnection,
        files: Mapping[str, list[Path]],
        root: Path,
        tasks: int = 2,
    ) -> Compared:
        columns = {}
        for name in files:
            rows = con.execute(f"DESCRIBE {name}").fetchall()
            columns[name] = [(column, kind) for column, kind, *_ in rows]
        runner = LocalRunner(Engine(), root, dict(files), tasks)
        return cls(con, PlanningInstance(columns), runner)

    def close(self) -> None:
        self.instance.close()
        self.runner.engine.close()

    def run(self, sql: str) -> tuple[Planned, pa.Table]:
        planned = plan_of(self.instance, sql)
        plan = parse_plan(dump_plan(self.plan(planned)))
        return planned, self.runner.run(plan)

    def plan(self, planned: Planned) -> Node:
        plan = distribute(
            planned, partitions=self.partitions, estimates=self.estimates, cluster=self.cluster
        )
        whole = in_one_task(plan) if self.together else None
        if whole is None:
            return with_shared(plan)[0]
        (stage,) = cut(whole).stages
        assert stage.parallelism is Parallelism.SINGLE
        return whole

    def check(self, sql: str) -> pa.Table:
        """Asserts that the answer is the engine's own, to its names and types."""
        want = self.con.sql(sql).to_arrow_table()
        planned, got = self.run(sql)
        assert got.schema.remove_metadata() == want.schema.remove_metadata()
        got_rows, want_rows = rows_of(got), rows_of(want)
        assert sorted(got_rows, key=repr) == sorted(want_rows, key=repr)
        if is_ordered(planned.plan):
            assert got_rows == want_rows
        return got


def plan_of(instance: PlanningInstance, sql: str) -> Planned:
    """A query's plan, which names tables that the instance has."""
    text = Edited.of(sql.encode(), ())
    return instance.plan(Named(text, text, (), ()), {})


def is_ordered(plan: Mapping[str, Any]) -> bool:
    while plan["type"] in _ABOVE_ORDERS:
        (plan,) = plan["children"]
    return plan["type"] in _ORDERS


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [column.to_pylist() for column in table.columns]
    return [tuple(map(_comparable, row)) for row in zip(*columns, strict=True)]


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value) if math.isnan(value) or not value else f"{value:.{_DIGITS}g}"
    if isinstance(value, list | tuple):
        return tuple(map(_comparable, value))
    if isinstance(value, dict):
        return tuple((key, _comparable(each)) for key, each in value.items())
    return value
