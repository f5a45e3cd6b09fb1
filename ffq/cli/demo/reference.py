"""DuckDB's direct answers over the same Parquet files."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from ffq.cli.demo.data import TABLES


def direct_answer(sql: str, dataset: Path) -> pa.Table:
    """Run SQL in a DuckDB of its own; each table is the Parquet files of a folder of `dataset`."""
    with duckdb.connect() as connection:
        for table in TABLES:
            connection.read_parquet(str(dataset / table / "*.parquet")).create_view(table)
        return connection.sql(sql).to_arrow_table()
