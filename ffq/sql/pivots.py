"""PIVOT without IN: its columns are values that only the data has, and are asked for first. Pure.

The query that asks is made of the text; what it gives is put into the text as lists of IN. So
whoever plans sees only queries that say their columns.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from ffq.engine.sql import text as quoted
from ffq.errors import InvalidQuery
from ffq.sql.text import Edit, Edited, query_error, tokens

MAX_VALUES: Final = 1000
"""Columns that the data may make of one PIVOT, for each of its aggregates."""
_PIVOT: Final = frozenset({"pivot", "pivot_wider"})
_AFTER: Final = frozenset({"using", "group", "order", "limit", "offset"})
_WITHOUT_CONDITION: Final = frozenset({"natural", "cross", "positional"})
"""Of a JOIN, which has no ON or USING then."""
_AFTER_ON: Final = _AFTER | {"union", "intersect", "except"}
_CLOSING: Final = {b"(": b")", b"[": b"]", b"{": b"}"}


@attrs.frozen
class _Pivot:
    """
    Attributes:
        columns: bytes [start, end) of the expressions after ON that have no IN.
        queries: of the values of each.
    """

    start: int
    columns: tuple[tuple[int, int], ...]
    queries: tuple[str, ...]


@attrs.frozen
class UnlistedPivots:
    """Those of a text whose values can be asked for now: of one within another that one's first.

    Attributes:
        query: gives rows (place, value): a column's number, in their order, and a value of it.
        parameters: names of those in the query, in lower case.
    """

    text: bytes
    query: str
    parameters: frozenset[str]
    _pivots: tuple[_Pivot, ...]

    def fail(self, message: str) -> InvalidQuery:
        """About the first of them."""
        return query_error(f"PIVOT: {message}", self.text, self._pivots[0].start)

    def listed(self, values: Iterable[tuple[int, str]]) -> Edited:
        """The text with the query's rows in it.

        Raises InvalidQuery: there are none for a column, or too many; says where.
        """
        by_column = defaultdict[int, list[str]](list)
        for at, value in values:
            by_column[at].append(value)
        edits: list[Edit] = []
        places = itertools.count()
        for pivot in self._pivots:
            found = [(span, by_column[next(places)]) for span in pivot.columns]
            for (start, _), given in found:
                if not given:
                    message = (
                        "PIVOT: the data has no value to make a column of; right would be a list "
                        "of values: IN ('a', 'b')"
                    )
                    raise query_error(message, self.text, start)
            if math.prod(len(given) for _, given in found) > MAX_VALUES:
                message = (
                    f"PIVOT: more than {MAX_VALUES:,} columns would be made of the values in the "
                    "data; right would be a list of those wanted: IN ('a', 'b')"
                )
                raise query_error(message, self.text, pivot.start)
            for (start, end), given in found:
                by = f") IN ({', '.join(map(quoted, given))})"
                edits += [Edit(start, start, b"("), Edit(end, end, by.encode())]
        return Edited.of(self.text, edits)


def unlisted_pivots(sql: str) -> UnlistedPivots | None:
    """None: there are none, or none in a text that can be read.

    Raises InvalidQuery: one whose values cannot be asked for; says where.
    """
    text = sql.encode()
    if b"pivot" not in text.lower():
        return None
    reader = _Reader(text)
    places = [at for at in range(len(reader.tokens)) if reader.word(at) in _PIVOT]
    pivots = tuple(pivot for at in places if (pivot := reader.pivot(at)) is not None)
    if not pivots:
        return None
    asked = " UNION ALL ".join(
        f"SELECT {place} AS place, value FROM ({query})"
        for place, query in enumerate(query for pivot in pivots for query in pivot.queries)
    )
    query = f"SELECT place, value FROM ({asked}) ORDER BY place, value"
    found = list(tokens(query.encode(), 0, len(query.encode())))
    names = {
        name.value.lower()
        for sign, name in itertools.pairwise(found)
        if sign.raw == b"$" and name.kind == "word" and name.start == sign.end
    }
    made = UnlistedPivots(text, query, frozenset(names), pivots)
    if any(token.raw == b"?" for token in found):
        raise made.fail("of its values some ? would decide; right would be $1, or $name")
    return made


class _Reader:
    """The tokens of a text, and how they nest."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self.tokens = list(tokens(text, 0, len(text)))
        self._around: list[int] = []
        """Where the bracket opens that a token stands in; of brackets, the one around both."""
        self._closes: dict[int, int] = {}
        self._pivots: dict[int, _Pivot | None] = {}
        opened = [-1]
        for at, token in enumerate(self.tokens):
            if token.raw in _CLOSING.values() and len(opened) > 1:
                self._closes[opened.pop()] = at
            self._around.append(opened[-1])
            if token.raw in _CLOSING:
                opened.append(at)

    def word(self, at: int) -> str:
        """In lower case; empty: there is none."""
        if at >= len(self.tokens) or self.tokens[at].kind != "word":
            return ""
        return self.tokens[at].value.lower()

    def _beside(self, at: int) -> Iterator[int]:
        """Tokens from here on in the same bracket, to the end of the statement."""
        around = self._around[at]
        end = self._closes.get(around, len(self.tokens))
        for each in range(at, end):
            if self._around[each] == around:
                if self.tokens[each].raw == b";":
                    return
                yield each

    def _part(self, first: int, end: int) -> str:
        return self._text[self.tokens[first].start : self.tokens[end - 1].end].decode()

    def pivot(self, at: int) -> _Pivot | None:
        """None: it says its columns, or needs another's values first."""
        if at not in self._pivots:
            self._pivots[at] = self._read(at)
        return self._pivots[at]

    def _read(self, at: int) -> _Pivot | None:
        if self._is_of_standard(at + 1):
            return None
        on = self._on(at)
        if on is None or on == at + 1 or on + 1 == len(self.tokens):
            return None
        columns = [
            (first, end) for first, end in self._items(on + 1) if not self._is_listed(first, end)
        ]
        recursive, definitions = self._definitions(at)
        needed = [(at + 1, on), *definitions]
        if not columns or any(self._is_open(first, end) for first, end in needed):
            return None
        known = ", ".join(self._part(first, end) for first, end in definitions)
        given = f"WITH {'RECURSIVE ' * recursive}{known} " if known else ""
        source = self._part(at + 1, on)
        parts = [self._part(first, end) for first, end in columns]
        return _Pivot(
            self.tokens[at].start,
            tuple((self.tokens[first].start, self.tokens[end - 1].end) for first, end in columns),
            tuple(
                f"{given}SELECT DISTINCT CAST(({part}) AS VARCHAR) AS value FROM {source} "
                f"WHERE ({part}) IS NOT NULL LIMIT {MAX_VALUES + 1}"
                for part in parts
            ),
        )

    def _on(self, at: int) -> int | None:
        """The ON of a PIVOT: the first one that is no JOIN's in what it is over."""
        joins, before = 0, set[str]()
        for each in list(self._beside(at))[1:]:
            word = self.word(each)
            if word == "join":
                joins += not before & _WITHOUT_CONDITION
                before = set()
            elif word in {"on", "using"} and joins:
                joins -= 1
            elif word == "on":
                return each
            elif word in _AFTER:
                return None
            before = {*before, word} if word else set()
        return None

    def _is_of_standard(self, at: int) -> bool:
        """`FROM t PIVOT (sum(v) FOR k IN (...))`."""
        return at in self._closes and any(self.word(each) == "for" for each in self._beside(at + 1))

    def _is_open(self, first: int, end: int) -> bool:
        """Whether a PIVOT is in it whose values are not known."""
        return any(
            self.word(each) in _PIVOT and self.pivot(each) is not None for each in range(first, end)
        )

    def _items(self, first: int) -> list[tuple[int, int]]:
        """What stands between commas: tokens [first, end) each."""
        found = []
        end = first
        for each in self._beside(first):
            if self.word(each) in _AFTER_ON:
                break
            if self.tokens[each].raw == b",":
                found.append((first, each))
                first = each + 1
            end = each + 1
        found.append((first, end))
        return [(first, end) for first, end in found if first < end]

    def _is_listed(self, first: int, end: int) -> bool:
        """`x IN (...)`, or IN a name. Of an operator's result it is an expression: `x + 1 IN (2)`
        is true or false."""
        beside = [each for each in self._beside(first) if each < end]
        tail = next((at for at in (-2, -3) if self.word((beside[at:] or [end])[0]) == "in"), None)
        return tail is not None and self._is_primary(beside[:tail])

    def _is_primary(self, places: list[int]) -> bool:
        """Whether no operator is in it but those that come after a value: `.`, `[]`, `::`."""
        words = [self.word(at) for at in places]
        if words[:1] == ["case"]:
            return words.index("end") == len(words) - 1 if "end" in words else False
        before = "."
        for at, word in zip(places, words, strict=True):
            raw = self.tokens[at].raw
            if self.tokens[at].kind in {"word", "name"}:
                if before not in {".", ":"} or word == "not":
                    return False
                before = ":" if before == ":" else ""  # a type may have several words
            elif raw in {b".", b":"}:
                before = raw.decode()
            elif raw in _CLOSING or raw in _CLOSING.values():
                before = ""
            else:
                return False
        return bool(places)

    def _definitions(self, at: int) -> tuple[bool, list[tuple[int, int]]]:
        """Whether RECURSIVE is said, and the common tables that may be named there, the outermost
        first: tokens [first, end) each."""
        around = [self._around[at]]
        while around[-1] >= 0:
            around.append(self._around[around[-1]])
        recursive, found = False, []
        for opened in reversed(around):
            if opened + 1 >= len(self.tokens):
                continue
            begin = next((e for e in self._beside(opened + 1) if self.word(e) == "with"), at)
            begin += 1
            if self.word(begin) == "recursive":
                recursive, begin = True, begin + 1
            found += [(first, end) for first, end in self._with(begin) if end <= at]
        return recursive, found

    def _with(self, at: int) -> Iterator[tuple[int, int]]:
        """Each `name AS (...)` from here on."""
        while at < len(self.tokens):
            first, at = at, at + 1
            at = self._closes.get(at, at - 1) + 1
            if self.word(at) != "as":
                return
            at += 1
            while self.word(at) in {"not", "materialized"}:
                at += 1
            if at not in self._closes:
                return
            at = self._closes[at] + 1
            yield first, at
            if at >= len(self.tokens) or self.tokens[at].raw != b",":
                return
            at += 1
