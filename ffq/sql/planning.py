"""An instance of the engine that plans, and reads nothing: its tables are empty or hold samples.

The format in which it gives its plans changes between its releases: those that are tested are
listed, and any other is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.faults import one_line
from ffq.engine.sql import identifier
from ffq.errors import InvalidQuery, StartupError, UnsupportedPlan
from ffq.sql.files import Named
from ffq.sql.kinds import ENGINE_ERRORS
from ffq.sql.literals import literal
from ffq.sql.parameters import Value
from ffq.sql.parsing import complaint, read_json

TESTED_RELEASES: Final = frozenset({"2.0.1"})
_KEPT: Final = frozenset(
    {
        "common_aggregate",
        "cte_filter_pusher",
        "column_lifetime",
        "cte_inlining",
        "deliminator",
        "duplicate_groups",
        "empty_result_pullup",
        "expression_rewriter",
        "filter_pullup",
        "filter_pushdown",
        "join_order",
        "limit_pushdown",
        "outer_join_simplification",
        "top_n",
        "unnest_rewriter",
        "unused_columns",
    }
)
"""Passes of the optimizer that go by the query. The others bake what the tables hold into the plan:
over planning tables, that is not what the query's tables hold."""
_ALL_PIVOTS: Final = 1_000_000
_SERIALIZE: Final = (
    "SELECT json_serialize_plan(?::VARCHAR, skip_null := true, skip_empty := true, "
    "skip_default := true, optimize := true)"
)
# The engine writes NaN and infinities bare, which JSON has not.
_BARE_FLOAT: Final = re.compile(r'(?<="value":)(-?)(NAN|INF(?:INITY)?)\b', re.IGNORECASE)
_FLOATS: Final = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity"}


@attrs.frozen
class Planned:
    """A query as the engine planned it: its plan as read from JSON, and its columns."""

    plan: Mapping[str, Any]
    names: tuple[str, ...]
    types: tuple[str, ...]


@attrs.frozen
class _Held:
    columns: tuple[tuple[str, str], ...]
    sample: pa.Table | None = attrs.field(default=None, repr=False)

    def same(self, other: _Held | None) -> bool:
        return other is not None and self.columns == other.columns and self.sample is other.sample


class PlanningInstance:
    """Plans queries over tables of these columns: pairs of name and the engine's type.

    To open one takes longer than most plans do, and to fill its tables too. So it may be kept, and
    told by `hold` what the next query's tables are.

    Args:
        samples: some of a table's rows, under the names of its columns: they decide in which order
            it joins, and nothing of what a query gives.
        memory: what the instance may take, in the engine's words.
        time_zone: that of the workers.

    Raises:
        StartupError: an engine of a release that is not tested, or that lacks a pass we keep.
    """

    def __init__(
        self,
        tables: Mapping[str, Sequence[tuple[str, str]]],
        *,
        samples: Mapping[str, pa.Table] | None = None,
        memory: str = "256MB",
        time_zone: str = "UTC",
    ) -> None:
        if duckdb.__version__ not in TESTED_RELEASES:
            raise StartupError(
                f"SQL is planned with duckdb {' or '.join(sorted(TESTED_RELEASES))}; this is "
                f"{duckdb.__version__}, whose plans may be written otherwise"
            )
        self._connection = duckdb.connect(config={"memory_limit": memory, "threads": 1})
        self._set_up(time_zone)
        self._held: dict[str, _Held] = {}
        self.hold(tables, samples or {})

    def close(self) -> None:
        self._connection.close()

    def _set_up(self, time_zone: str) -> None:
        rows = self._connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
        passes = {name for (name,) in rows}
        if missing := _KEPT - passes:
            raise StartupError(f"this engine's optimizer has no {', '.join(sorted(missing))}")
        left_out = ",".join(sorted(passes - _KEPT))
        for setting, value in (
            ("disabled_optimizers", left_out),
            ("TimeZone", time_zone),
            # However many columns, they are aggregates of some rows, and no node of its own.
            ("pivot_filter_threshold", _ALL_PIVOTS),
            ("autoinstall_known_extensions", False),
            ("autoload_known_extensions", False),
            ("enable_external_access", False),
            ("python_enable_replacements", False),  # a name is no variable of this program
            ("lock_configuration", True),
        ):
            self._connection.execute(f"SET {setting} = ?", [value])

    def hold(
        self,
        tables: Mapping[str, Sequence[tuple[str, str]]],
        samples: Mapping[str, pa.Table],
    ) -> None:
        """These tables and no others, as they are given to `PlanningInstance`.

        One that it has, of the same columns and the same sample (the object), stays as it is.
        """
        wanted = {
            name: _Held(tuple(columns), samples.get(name)) for name, columns in tables.items()
        }
        for name, held in list(self._held.items()):
            if not held.same(wanted.get(name)):
                self._connection.execute(f"DROP TABLE {identifier(name)}")
                del self._held[name]
        for name, table in wanted.items():
            if name not in self._held:
                self.add(name, table.columns)
                if table.sample is not None:
                    self._fill(name, table.sample)
                self._held[name] = table

    def add(self, name: str, columns: Sequence[tuple[str, str]]) -> None:
        """One more table, until others are held."""
        listed = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns)
        self._connection.execute(f"CREATE TABLE {identifier(name)} ({listed})")
        self._held[name] = _Held(tuple(columns))

    def _fill(self, name: str, rows: pa.Table) -> None:
        self._connection.register("the sample", rows)
        try:
            self._connection.execute(
                f'INSERT INTO {identifier(name)} BY NAME SELECT * FROM "the sample"'
            )
        finally:
            self._connection.unregister("the sample")

    def _serialized(self, sql: str) -> dict[str, Any]:
        ((written,),) = self._connection.execute(_SERIALIZE, [sql]).fetchall()
        if not written:
            raise UnsupportedPlan(
                "SQL: the engine cannot write this query's plan: a constant of type BIT, for one, "
                "is no text that a plan holds"
            )
        found: dict[str, Any] = read_json(_BARE_FLOAT.sub(_json_float, written))
        return found

    def plan(self, named: Named, parameters: Mapping[str, Value]) -> Planned:
        """Raises InvalidQuery: what is wrong with the query, and where in its text."""
        sql = named.sql.text.decode()
        try:
            found = self._serialized(sql)
            if found.get("error"):
                raise complaint(found, named.sql)
            (plan,) = found["plans"]
            described = self._connection.execute(f"DESCRIBE {sql}").fetchall()
            names = self._names(named, parameters) or [name for name, *_ in described]
        except ENGINE_ERRORS as error:  # of a size, say, that it refuses before it plans
            raise InvalidQuery(f"the query cannot be planned: {one_line(error)}") from error
        return Planned(
            plan=plan, names=tuple(names), types=tuple(kind for _, kind, *_ in described)
        )

    def _names(self, named: Named, parameters: Mapping[str, Value]) -> list[str]:
        """What a query with parameters calls its columns: `$1`, and not what $1 is."""
        if not parameters:
            return []
        values = ", ".join(
            f"{identifier(name)} := {literal(value, f'parameter ${name}')}"
            for name, value in parameters.items()
        )
        # Not as values of Python: of these the engine makes others than of literals.
        self._connection.execute(f"PREPARE names AS DESCRIBE {named.described.text.decode()}")
        found = self._connection.execute(f"EXECUTE names({values})").fetchall()
        return [name for name, *_ in found]


def _json_float(match: re.Match[str]) -> str:
    return match[1] + _FLOATS[match[2].lower()]
