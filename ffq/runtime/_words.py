"""What the framework says about the errors of others, whatever those do.

An exception may refuse attributes (a frozen class), share its object with other failures, have a
repr that raises or one of megabytes. None of that may turn the failure told of into another one.
"""

from __future__ import annotations

from contextlib import suppress

MOST_WORDS = 500
"""Characters that one error takes in the text of another."""
MOST_NOTES = 16
"""Notes on one exception object: one that is raised again and again does not grow for ever."""


def words(value: object) -> str:
    """The repr of a value, of an error as a rule; shortened, and its class where it has none."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # of whatever the class of others raises
        text = f"<{type(value).__qualname__} without a repr>"
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 1]}…"


def note(error: BaseException, text: str) -> None:
    """Add a note to an error, once; nothing happens where it takes none."""
    with suppress(Exception):
        notes = getattr(error, "__notes__", ())
        if text not in notes and len(notes) < MOST_NOTES:
            error.add_note(text)
