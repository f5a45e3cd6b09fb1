"""What calls are given that start clusters: checked alike, and named."""

from __future__ import annotations

from ffq.errors import InvalidRequest, words


def check_count(call: str, name: str, value: object, most: int) -> None:
    """Raises InvalidRequest: no whole number from 1 to `most`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= value <= most:  # type: ignore[operator]
        raise InvalidRequest(
            f"{call}: {name}={words(value)}; right would be a whole number from 1 to {most}"
        )


def check_modules(call: str, operators: object) -> None:
    """Raises InvalidRequest: no text."""
    if not isinstance(operators, str):
        raise InvalidRequest(
            f"{call}: operators={words(operators)}; right would be a text, the names of modules "
            "with commas between"
        )
