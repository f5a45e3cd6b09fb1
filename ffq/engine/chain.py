"""The relations of one query, each a common table expression that may read those before it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs


@attrs.define
class Chain:
    """What becomes the same SQL is one relation, unless that is inlined in each place: so a chain
    says what is computed, and `keep` what is computed once.

    No stream is read twice by it: each has a name of its own, and so all SQL over it is other SQL.
    """

    _names: Iterator[int] = attrs.field(factory=itertools.count)
    _tables: dict[str, str] = attrs.field(factory=dict)
    _by_sql: dict[str, str] = attrs.field(factory=dict)
    _kept: set[str] = attrs.field(factory=set)

    def inner(self) -> Chain:
        """One for a query within a relation of this one, whose names are others."""
        return Chain(self._names)

    def add(self, sql: str, *, keep: bool = False) -> str:
        """The relation's name. keep: it is computed once, however often it is read."""
        name = self._by_sql.get(sql)
        if name is None:
            name = self._by_sql[sql] = f"r{next(self._names)}"
            self._tables[name] = sql
        if keep:
            self.keep(name)
        return name

    def define(self, head: str, sql: str) -> None:
        """A relation that has a name, and names for its columns."""
        self._tables[head] = sql

    def keep(self, name: str) -> None:
        self._kept.add(name)

    def text(self) -> str:
        """WITH and all relations; nothing where there are none."""
        listed = ", ".join(
            f"{head} AS {self._manner(head)}({sql})" for head, sql in self._tables.items()
        )
        return f"WITH RECURSIVE {listed} " if listed else ""

    def _manner(self, head: str) -> str:
        if head in self._kept:
            return "MATERIALIZED "
        return "" if "(" in head else "NOT MATERIALIZED "
