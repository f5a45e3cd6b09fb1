"""From the text of a query to a plan, where the files of its tables can be read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import duckdb

from ffq.engine.faults import one_line
from ffq.engine.sql import text
from ffq.engine.types import travelling
from ffq.errors import InvalidPlan, StorageError
from ffq.plan.model import Node
from ffq.sql.distribute import distribute
from ffq.sql.files import name_files
from ffq.sql.planning import PlanningInstance

DEFAULT_PARTITIONS: Final = 8


@attrs.frozen
class Prepared:
    """A plan, and the tables that it reads, by name: those that were given, and files in FROM."""

    plan: Node
    tables: Mapping[str, str]


def prepare(
    sql: str, tables: Mapping[str, str], *, partitions: int = DEFAULT_PARTITIONS
) -> Prepared:
    """
    Args:
        tables: paths, folders and globs of Parquet files by the name of their table.

    Raises:
        InvalidPlan: what is wrong with the query, and where in its text.
        UnsupportedPlan: names what is not distributed.
        StorageError: a table without files, or one that cannot be read.
    """
    named = name_files(sql, tables)
    places = {**tables, **named.files}
    instance = PlanningInstance({name: _columns(name, place) for name, place in places.items()})
    try:
        planned = instance.plan(named.sql)
    finally:
        instance.close()
    return Prepared(distribute(planned, partitions=partitions), places)


def _columns(name: str, place: str) -> Sequence[tuple[str, str]]:
    return _columns_of(name, [f"{place}/**/*.parquet" if os.path.isdir(place) else place])


def _columns_of(name: str, files: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Names and types of a table's columns, as scans give them out."""
    listed = ", ".join(map(text, files))
    try:
        with duckdb.connect() as reader:
            rows = reader.execute(f"DESCRIBE SELECT * FROM read_parquet([{listed}])").fetchall()
    except duckdb.Error as error:
        raise StorageError(f"table {name!r}: {one_line(error)}") from error
    if not rows:
        raise InvalidPlan(f"table {name!r} has no columns")
    return [(column, travelling("", kind)[1]) for column, kind, *_ in rows]
