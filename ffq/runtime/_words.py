"""What the framework says about the errors of others, whatever those do.

An exception may refuse attributes (a frozen class), share its object with other failures, have a
repr that raises or one of megabytes. None of that may turn the failure told of into another one.
"""

from __future__ import annotations

from contextlib import suppress

MOST_NOTES = 16
"""Notes on one exception object: one that is raised again and again does not grow for ever."""


def note(error: BaseException, text: str) -> None:
    """Add a note to an error, once; nothing happens where it takes none."""
    with suppress(Exception):
        notes = getattr(error, "__notes__", ())
        if text not in notes and len(notes) < MOST_NOTES:
            error.add_note(text)
