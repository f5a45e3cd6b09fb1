"""Whether a plan holds for the next query of the same words.

It does only where it is a function of what was asked and of the tables' files. The engine puts what
it can compute into the plan, and so the day that `current_date` was. Which functions look at more
than their arguments is the engine's own word; a text that so much as holds the name of one, be it
as a column or within a string, is planned anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

import attrs
import duckdb

from ffq.catalog.versions import digest_of
from ffq.sql.facts import TableFacts
from ffq.sql.filecalls import READERS
from ffq.sql.kept import Basis

_WORD: Final = re.compile(r"\w+")
_WORDS_OF_ITS_OWN: Final = frozenset(
    {"current_time", "current_timestamp", "localtime", "localtimestamp", "sample", "tablesample"}
)
"""What the grammar makes such functions of, and samples."""
BY_TIME_ZONE: Final = frozenset(
    {
        "+",
        "-",
        "century",
        "date_diff",
        "date_part",
        "date_sub",
        "date_trunc",
        "datediff",
        "datepart",
        "datesub",
        "datetrunc",
        "day",
        "dayname",
        "dayofmonth",
        "dayofweek",
        "dayofyear",
        "decade",
        "era",
        "hour",
        "isodow",
        "isoyear",
        "julian",
        "last_day",
        "microsecond",
        "millennium",
        "millisecond",
        "minute",
        "month",
        "monthname",
        "quarter",
        "second",
        "strftime",
        "time_bucket",
        "timezone",
        "timezone_hour",
        "timezone_minute",
        "week",
        "weekday",
        "weekofyear",
        "year",
        "yearweek",
    }
)
"""What looks at the session's time zone besides its arguments: all that plan have the same."""
_FROM_CONSTANTS: Final = frozenset({*READERS, "generate_series", "range", "unnest"})
"""In FROM: files, which are looked at again, and rows of what the text says."""


_MOST_FILES: Final = 64
"""Of one query: beyond, to look at them takes longer than the plan is worth."""


@attrs.frozen
class Lasting:
    """What a plan was made of: a text, definitions of tables, and tables as their files were."""

    sql: str
    definitions: tuple[str, ...]
    tables: Mapping[str, TableFacts]

    def basis(self) -> Basis | None:
        """For as long as it holds, planning the same again gives the same; None: that may be else
        each time.
        """
        files = sum(each.files for each in self.tables.values())
        if files > _MOST_FILES or not may_keep(self.sql):
            return None
        versions = {name: digest_of(each.version) for name, each in self.tables.items()}
        return Basis(self.definitions, versions)


def may_keep(sql: str) -> bool:
    """Whether all that this text can call gives the same whenever it is planned."""
    return _changing().isdisjoint(_words(sql))


def _words(sql: str) -> frozenset[str]:
    return frozenset(map(str.lower, _WORD.findall(sql)))


@cache
def _changing() -> frozenset[str]:
    """Names of functions of which one, or one that they call, looks at more than its arguments."""
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = connection.execute(
            "SELECT DISTINCT lower(function_name), function_type, stability, macro_definition "
            "FROM duckdb_functions()"
        ).fetchall()
    found = set(_WORDS_OF_ITS_OWN)
    macros: list[tuple[str, frozenset[str]]] = []
    for name, kind, stability, definition in rows:
        if kind == "macro" and definition is not None:
            macros.append((name, _words(definition)))
        elif kind not in {"scalar", "aggregate", "window"}:
            found |= {name} - _FROM_CONSTANTS
        elif stability != "CONSISTENT":
            found |= {name} - BY_TIME_ZONE - _FROM_CONSTANTS
    before = -1
    while before < len(found):
        before = len(found)
        found |= {name for name, words in macros if not words.isdisjoint(found)}
    return frozenset(found)
