"""Stores as file systems of DuckDB, which reads and writes their files by fsspec."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from ffq.engine.stores import scheme_of, store


def attach(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Have DuckDB read these paths by fsspec. Raises StorageError, as `store`."""
    for scheme in {scheme_of(path) for path in paths} - {None}:
        fs = store(str(scheme))
        names = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
        if names & set(connection.list_filesystems()):
            continue
        try:
            connection.register_filesystem(fs)
        except duckdb.InvalidInputException:
            # Another thread was first: fragments share one instance.
            if not names & set(connection.list_filesystems()):
                raise
