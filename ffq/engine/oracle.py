"""Types that only DuckDB can tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import duckdb

from ffq.engine import alike
from ffq.engine.faults import binding_error
from ffq.engine.known import Known
from ffq.engine.sql import Columns, select_list
from ffq.errors import PlanningError

Unasked: TypeAlias = tuple[list[str], Columns, str]
"""Expressions, the columns that they are over, and their node."""


class TypeOracle:
    """Asks DuckDB what types expressions over given columns have, where it is not known yet."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, known: Known | None = None) -> None:
        self._connection = connection
        self._known = (known or Known()).types
        self.unasked: list[Unasked] = []
        """What rules have told; see `check_unasked`."""

    def types(
        self,
        expressions: list[str],
        columns: Columns,
        node: str,
        by_rule: Sequence[str | None] = (None,),
    ) -> tuple[str, ...]:
        """
        Args:
            by_rule: their types, where these are known without asking; see `check_unasked`.

        Raises:
            PlanningError: DuckDB refuses an expression; names the node.
        """
        told = tuple(kind for kind in by_rule if kind is not None)
        if len(told) == len(expressions):
            self.unasked.append((expressions, columns, node))
            return told
        if not expressions:
            return ()
        asked = tuple(expressions), tuple(column.type for column in columns)
        found = self._known.get(asked)
        if found is None:
            row = select_list(f"CAST(NULL AS {kind})" for kind in asked[1])
            sql = f"DESCRIBE SELECT {select_list(expressions)} FROM (SELECT {row})"
            try:
                rows = self._connection.execute(sql).fetchall()
            except duckdb.Error as error:
                raise binding_error(node, error) from error
            found = tuple(kind for _, kind, *_ in rows)
            self._known.keep(asked, found, len(sql) + sum(map(len, found)))
        return found

    def check_unasked(self) -> None:
        """Ask what rules told, once DuckDB has refused the whole.

        Raises PlanningError: as `types` does where no rule tells; not where no expression is why.
        """
        for asked in self.unasked:
            self.types(*asked)

    def made_one(self, kinds: Sequence[str], sql: str, columns: Columns, what: str) -> str:
        """The type that values of these types become, where `sql` makes one value of them.

        Raises:
            PlanningError: they have no type in common; says of `what` that they have none.
        """
        if set(kinds) == {kinds[0]} != {'"NULL"'}:
            return kinds[0]
        why = alike.apart(kinds)
        chosen = ""
        if not why:
            try:
                (chosen,) = self.types([sql], columns, what)
            except PlanningError:
                if self._mixes(kinds):
                    raise
                why = "no type in common"
        if why:
            raise PlanningError(f"{what} have {why}: {alike.remedy(kinds)}")
        return alike.made_one(kinds, chosen)

    def _mixes(self, kinds: Iterable[str]) -> bool:
        """Whether DuckDB has one type for values of all."""
        choices = " ".join(f"WHEN TRUE THEN CAST(NULL AS {kind})" for kind in kinds)
        return self.can_be(f"CASE {choices} END", "VARCHAR")

    def check_constant(self, sql: str, kind: str, node: str) -> None:
        """Raises PlanningError: a constant that has no value of the type; names the node."""
        asked = f"SELECT CAST({sql} AS {kind})"
        if self._known.get(asked) is not None:
            return
        try:
            self._connection.execute(asked).fetchall()
        except duckdb.Error as error:
            raise binding_error(node, error) from error
        self._known.keep(asked, (kind,), len(asked))

    def can_be(self, sql: str, kind: str) -> bool:
        """Whether a constant has a value of the type."""
        try:
            self.check_constant(sql, kind, "")
        except PlanningError:
            return False
        return True
