"""A connection that is open before its fragment comes, with the queries that it has bound.

A fragment over few rows takes a quarter of its time for these: DuckDB binds a query when it is made
and again when it runs. Here a query that is run again, as by the next task of a stage or when the
same text is asked once more, is made once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.profile import start_profile

_MOST_QUERIES: Final = 512
"""Each takes a few KiB. TPC-H's 22 are 110 for each of two workers: of those asked for in a circle,
few that are kept would be none that are found.
"""
_MOST_CHARACTERS: Final = 1024 * 1024
"""Of SQL, of all of them."""


@attrs.define(eq=False)
class Prepared:
    """One connection. What is put on it under a name is there for one fragment."""

    cursor: duckdb.DuckDBPyConnection
    _names: list[str] = attrs.field(factory=list, init=False)
    _queries: OrderedDict[str, duckdb.DuckDBPyRelation] = attrs.field(
        factory=OrderedDict, init=False
    )
    _characters: int = attrs.field(default=0, init=False)

    @classmethod
    def opened(cls, connection: duckdb.DuckDBPyConnection) -> Prepared:
        """One whose queries are profiled."""
        prepared = cls(connection.cursor())
        start_profile(prepared.cursor)
        return prepared

    def register(self, name: str, stream: pa.RecordBatchReader) -> None:
        """Have queries read a stream by this name. Raises duckdb.Error."""
        self._names.append(name)
        self.cursor.register(name, stream)

    def query(self, sql: str) -> duckdb.DuckDBPyRelation:
        """The query, not run yet. Raises duckdb.Error: it cannot be bound."""
        found = self._queries.get(sql)
        if found is not None:
            self._queries.move_to_end(sql)
            return found
        found = self._queries[sql] = self.cursor.sql(sql)
        self._characters += len(sql)
        while len(self._queries) > _MOST_QUERIES or self._characters > _MOST_CHARACTERS:
            dropped, _ = self._queries.popitem(last=False)
            self._characters -= len(dropped)
        return found

    def clear(self) -> None:
        """Let go of what the fragment has put on it. Raises duckdb.Error."""
        while self._names:
            self.cursor.unregister(self._names.pop())


@attrs.define(eq=False)
class KeptCursor:
    """The one of an instance, which one fragment uses at a time."""

    _connection: duckdb.DuckDBPyConnection
    _idle: Prepared | None = attrs.field(default=None, init=False)

    @contextmanager
    def use(self, cancel: CancelToken) -> Iterator[Prepared]:
        """Kept if all went well, and closed if not: what it is in the middle of, nobody knows."""
        prepared, self._idle = self._idle or Prepared.opened(self._connection), None
        try:
            yield prepared
            if not cancel.canceled:  # else it may be interrupted yet
                prepared.clear()
                self._idle = prepared
        finally:
            if self._idle is not prepared:
                prepared.cursor.close()

    def close(self) -> None:
        """Nobody may be using it."""
        if self._idle is not None:
            self._idle.cursor.close()
            self._idle = None
