"""Answers of a planning process that hold for the next query of the same words.

A plan is kept only where it is a function of what was asked and of the tables' files. The engine
puts what it can compute into the plan, and so the day that `current_date` was. Which functions look
at more than their arguments is the engine's own word; a text that so much as holds the name of one,
be it as a column or within a string, is planned anew each time.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Final

import attrs
import duckdb

from ffq.catalog import Catalog
from ffq.errors import FfqError
from ffq.sql.facts import Facts, TableFacts
from ffq.sql.filecalls import READERS

_MOST: Final = 256
_MOST_BYTES: Final = 4 << 20
"""Of questions and answers together: the process has a limit of memory."""
_LARGEST: Final = 256 << 10
_MOST_FILES: Final = 64
"""Of one query: beyond, what is known of each takes more memory than the plan is worth."""
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


@attrs.frozen
class Basis:
    """What a plan was made of: a text, and its tables as their files were."""

    sql: str
    facts: Facts
    catalog: Catalog
    tables: Mapping[str, TableFacts]

    @property
    def files(self) -> int:
        return sum(each.files for each in self.tables.values())

    def holds(self) -> bool:
        """Whether planning would find the same now."""
        try:
            return all(
                self.facts.of(self.catalog, name) == known for name, known in self.tables.items()
            )
        except FfqError:
            return False  # planning says what is wrong


@attrs.frozen
class _Kept:
    answer: tuple[bytes, ...]
    basis: Basis
    size: int


class KeptPlans:
    """Answers by the whole of what was asked. Those that were asked for last stay, within bounds.

    An answer is kept when the same is asked again: a process of one query learns nothing for later
    ones.
    """

    def __init__(self) -> None:
        self._asked: OrderedDict[bytes, None] = OrderedDict()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, request: bytes) -> tuple[bytes, ...] | None:
        """The frames that answer it as planning it again would; None: it must be planned."""
        kept = self._kept.get(request)
        if kept is None:
            return None
        if not kept.basis.holds():
            self._drop(request)
            return None
        self._kept.move_to_end(request)
        return kept.answer

    def keep(self, request: bytes, answer: tuple[bytes, ...], basis: Basis) -> None:
        if self._is_new(request) or not may_keep(basis.sql):
            return
        size = len(request) + sum(map(len, answer))
        if size > _LARGEST or basis.files > _MOST_FILES:
            return
        if request in self._kept:
            self._drop(request)
        self._kept[request] = _Kept(answer, basis, size)
        self._size += size
        while len(self._kept) > _MOST or self._size > _MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def _is_new(self, request: bytes) -> bool:
        digest = hashlib.blake2b(request, digest_size=32).digest()
        new = digest not in self._asked
        self._asked[digest] = None
        self._asked.move_to_end(digest)
        if len(self._asked) > _MOST:
            self._asked.popitem(last=False)
        return new

    def _drop(self, request: bytes) -> None:
        self._size -= self._kept.pop(request).size


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
