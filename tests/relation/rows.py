"""Relations without a session: their SQL runs on the engine alone."""

from __future__ import annotations

import functools
from typing import Any

import duckdb
import pyarrow as pa

from ffq.relation.builder import LazyRelation
from ffq.relation.steps import Leaf, Query, Table, leaves
from ffq.relation.writing import statement

TABLES = {
    "t": pa.table({"k": [1, 1, 2, None], "v": [10, 20, 30, 40], "s": ["a", "b%", "a_", None]}),
    "u": pa.table({"k": [1, 2, 3], "v": [100, 200, 300], "w": ["x", "y", "z"]}),
    'odd "name"': pa.table({'a "quoted" one': [1, 2], "select": [3, 4], "c; DROP": ["'", "''"]}),
}


def table(name: str) -> LazyRelation[None]:
    return LazyRelation(None, Table(name))


def query(text: str) -> LazyRelation[None]:
    return LazyRelation(None, Query(text))


def sql_of(relation: LazyRelation[None]) -> str:
    """Raises PlanningError."""
    known: dict[Leaf, tuple[str, ...]] = {}
    for leaf in leaves(relation._step):
        if isinstance(leaf, Table):
            known[leaf] = tuple(TABLES[leaf.name].column_names)
        elif isinstance(leaf, Query):
            known[leaf] = tuple(run(leaf.text).column_names)
    return statement(relation._step, known)


def run(sql: str) -> pa.Table:
    return _engine().sql(sql).to_arrow_table()


@functools.cache
def _engine() -> duckdb.DuckDBPyConnection:
    engine = duckdb.connect(config={"threads": 1})
    for name, table in TABLES.items():
        engine.register(name, table)
    return engine


def rows(relation: LazyRelation[None]) -> list[tuple[Any, ...]]:
    """In the order that they come in."""
    return [tuple(row.values()) for row in run(sql_of(relation)).to_pylist()]


def names(relation: LazyRelation[None]) -> list[str]:
    return list(run(sql_of(relation)).column_names)
