"""Which names a folder or a glob leaves out: other engines' markers and unfinished files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

_MARKS: Final = ("_", ".")


def is_hidden_file(name: str) -> bool:
    return name.startswith(_MARKS)


def is_hidden_folder(name: str) -> bool:
    """`_day=1` is none, but a value of a column of that name; `.day=1` is one to all readers."""
    return name.startswith(_MARKS) and not (name.startswith("_") and "=" in name)


def is_hidden_path(parts: Sequence[str], named: Collection[str] = ()) -> bool:
    """Whether a file is left out.

    Args:
        parts: its path's folders and its name, from where the search began.
        named: what the search calls by its whole name, and so means.
    """
    *folders, name = parts
    return (is_hidden_file(name) and name not in named) or any(
        is_hidden_folder(each) and each not in named for each in folders
    )
