"""What is given to the framework, looked at where it is given: a wrong use changes nothing."""

from __future__ import annotations

import inspect
from math import isnan

from ffq.errors import words
from ffq.runtime.errors import InvalidOption


def is_number(value: object) -> bool:
    """An int or a float that time can be reckoned with: no bool, no NaN, none beyond a float."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and not isnan(value)
    except OverflowError:
        return False


def check_seconds(what: str, seconds: object, *, positive: bool = False) -> None:
    """Raise InvalidOption unless `seconds` is a number of seconds; infinity is one."""
    least = "more than 0" if positive else "0 or more"
    number = is_number(seconds)
    if not number or seconds < 0 or (positive and seconds == 0):  # type: ignore[operator]
        raise InvalidOption(
            f"{what}={words(seconds)} must be a number of seconds, {least}, that fits a float"
        )


def check_instance(what: str, value: object, kind: type) -> None:
    """Raise InvalidOption unless `value` is a `kind`; say so where the class itself was given."""
    if not isinstance(value, kind):
        hint = f"; call it: {kind.__qualname__}(...)" if value is kind else ""
        raise InvalidOption(
            f"{what}={words(value)} must be {_article(kind.__qualname__)} {kind.__qualname__}{hint}"
        )


def check_function(what: str, value: object) -> None:
    """Raise InvalidOption unless `value` can be called; a coroutine is closed, it never ran."""
    if inspect.iscoroutine(value):
        value.close()
        raise InvalidOption(
            f"{what}: {value.__qualname__}() is a coroutine already: give the function, "
            f"{value.__qualname__}, and its arguments after it"
        )
    if not callable(value):
        raise InvalidOption(f"{what}: {words(value)} is no function")


def _article(name: str) -> str:
    return "an" if name[:1] in "AEIOU" else "a"
