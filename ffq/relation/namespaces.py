"""Functions of one kind of value: `col("day").dt.year()`, `col("name").str.upper()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, get_args

import attrs

from ffq.errors import InvalidRequest, words

E_co = TypeVar("E_co", covariant=True)

Unit: TypeAlias = Literal[
    "year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond"
]


class Caller(Protocol[E_co]):
    """Calls a function of SQL's with the value, after `before` and before the others."""

    def __call__(self, function: str, /, *after: Any, before: tuple[Any, ...] = ()) -> E_co: ...


@attrs.frozen
class DateParts(Generic[E_co]):
    """Of dates and timestamps. Parts are whole numbers."""

    _call: Caller[E_co]

    def year(self) -> E_co:
        """Of the calendar; 0 is the year before 1."""
        return self._call("year")

    def quarter(self) -> E_co:
        """From 1 to 4."""
        return self._call("quarter")

    def month(self) -> E_co:
        """From 1 to 12."""
        return self._call("month")

    def week(self) -> E_co:
        """Of the year, as ISO 8601 counts them."""
        return self._call("week")

    def day(self) -> E_co:
        """Of the month."""
        return self._call("day")

    def weekday(self) -> E_co:
        """Monday is 1, Sunday 7."""
        return self._call("isodow")

    def ordinal_day(self) -> E_co:
        """Of the year."""
        return self._call("dayofyear")

    def hour(self) -> E_co:
        """From 0 to 23."""
        return self._call("hour")

    def minute(self) -> E_co:
        """From 0 to 59."""
        return self._call("minute")

    def second(self) -> E_co:
        """From 0 to 59, without its fraction."""
        return self._call("second")

    def truncate(self, unit: Unit) -> E_co:
        """The beginning of the year, month, … that it lies in."""
        if unit not in get_args(Unit):
            raise InvalidRequest(
                f"truncate: {words(unit, 40)} is no unit; known: {', '.join(get_args(Unit))}"
            )
        return self._call("date_trunc", before=(unit,))

    def strftime(self, format: str) -> E_co:
        """As text, by the format's % marks."""
        return self._call("strftime", format)


@attrs.frozen
class Texts(Generic[E_co]):
    """Of texts. Places count from 0, as in Python."""

    _call: Caller[E_co]

    def upper(self) -> E_co:
        """In capitals."""
        return self._call("upper")

    def lower(self) -> E_co:
        """In small letters."""
        return self._call("lower")

    def strip(self) -> E_co:
        """Without spaces at both ends."""
        return self._call("trim")

    def len(self) -> E_co:
        """In characters."""
        return self._call("length")

    def contains(self, part: Any) -> E_co:
        """Whether this text is in it, as it stands."""
        return self._call("contains", part)

    def starts_with(self, part: Any) -> E_co:
        """A boolean: whether this text stands at its beginning."""
        return self._call("starts_with", part)

    def ends_with(self, part: Any) -> E_co:
        """A boolean: whether this text stands at its end."""
        return self._call("ends_with", part)

    def matches(self, pattern: str) -> E_co:
        """Whether a part of it matches a regular expression."""
        return self._call("regexp_matches", pattern)

    def replace(self, part: Any, by: Any) -> E_co:
        """Every time that it stands there."""
        return self._call("replace", part, by)

    def extract(self, pattern: str, group: int = 0) -> E_co:
        """What a regular expression's group matches first; empty where it does not match."""
        return self._call("regexp_extract", pattern, group)

    def split(self, by: str) -> E_co:
        """A list of the parts between."""
        return self._call("string_split", by)

    def slice(self, start: int, length: int | None = None) -> E_co:
        """Characters from a place on; from the end where it is negative."""
        place = start + 1 if start >= 0 else start
        return self._call("substring", place, *(() if length is None else (length,)))


@attrs.frozen
class Lists(Generic[E_co]):
    """Of lists. Places count from 0, as in Python."""

    _call: Caller[E_co]

    def len(self) -> E_co:
        """How many elements it has, nulls among them."""
        return self._call("len")

    def get(self, place: int) -> E_co:
        """The element there, from the end where it is negative; null where there is none."""
        return self._call("list_extract", place + 1 if place >= 0 else place)

    def contains(self, value: Any) -> E_co:
        """A boolean: whether an element equals this value."""
        return self._call("list_contains", value)

    def sum(self) -> E_co:
        """Of the elements that are not null; of none null."""
        return self._call("list_sum")

    def mean(self) -> E_co:
        """A float, of the elements that are not null; of none null."""
        return self._call("list_avg")

    def min(self) -> E_co:
        """Of the elements that are not null; of none null."""
        return self._call("list_min")

    def max(self) -> E_co:
        """Of the elements that are not null; of none null."""
        return self._call("list_max")

    def sort(self) -> E_co:
        """The same elements, the smallest first."""
        return self._call("list_sort")

    def unique(self) -> E_co:
        """Each value once, in any order."""
        return self._call("list_distinct")

    def join(self, by: str) -> E_co:
        """One text of a list of texts."""
        return self._call("array_to_string", by)

    def explode(self) -> E_co:
        """A row for each element."""
        return self._call("unnest")


@attrs.frozen
class Structs(Generic[E_co]):
    """Of structs."""

    field: Callable[[str], E_co]
    """The field of this name, as a column of that name."""
