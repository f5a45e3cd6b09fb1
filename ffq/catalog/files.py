"""Listing the files of a table."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from itertools import takewhile

from ffq.catalog.partitions import TableFile, table_file
from ffq.errors import StorageError

MAX_FILES = 100_000
_MAGIC = frozenset("*?[")


def list_files(table: str, locations: Iterable[str]) -> tuple[TableFile, ...]:
    """Files at the locations, each once; sorted within each location.

    A folder stands for the `*.parquet` files in it, at any depth; a glob (`**` is any depth) for
    the files that match. Both leave out names that begin with `_` or `.`: other engines keep
    their markers and unfinished files under such names. A file that is named outright is taken.

    Raises:
        StorageError: a location is missing, cannot be read or yields no file, or there are more
            than MAX_FILES; names the table and the location.
    """
    found: dict[str, TableFile] = {}
    for location in locations:
        try:
            files = _list_location(location)
            for file in files:
                file.encode()  # a name that is not text could not travel to a worker
        except (OSError, ValueError) as error:
            raise StorageError(f"table {table!r}: cannot list {location}: {error}") from None
        if not files:
            raise StorageError(f"table {table!r}: {_nothing_at(location)}")
        root = _root(location)
        for file in files:
            found.setdefault(file, table_file(file, root))
        if len(found) > MAX_FILES:
            raise StorageError(f"table {table!r} has more than {MAX_FILES} files")
    return tuple(found.values())


def folder_columns(table: str, folder: str) -> tuple[str, ...]:
    """The columns that folders `name=value` below one add, as its first file has them.

    Raises:
        StorageError: it cannot be read; names the table and the folder.
    """
    try:
        first = next(iter(_walk_folder(folder)), None)
    except OSError as error:
        raise StorageError(f"table {table!r}: cannot list {folder}: {error}") from None
    return () if first is None else tuple(name for name, _ in table_file(first, folder).folders)


def _list_location(location: str) -> list[str]:
    if os.path.isfile(location):
        return [location]
    if os.path.isdir(location):
        return sorted(_walk_folder(location))
    if _MAGIC & set(location):
        matches = glob.iglob(location, recursive=True)
        return sorted(match for match in matches if _is_visible(match) and os.path.isfile(match))
    return []


def _root(location: str) -> str:
    """What the paths of a location's files begin with, that its own words do not vary."""
    if os.path.isfile(location):
        return ""
    if os.path.isdir(location):
        return location
    fixed = takewhile(lambda part: not _MAGIC & set(part), location.split(os.sep))
    return os.sep.join(fixed)


def _walk_folder(folder: str) -> Iterable[str]:
    above: dict[str, tuple[str, ...]] = {folder: (os.path.realpath(folder),)}
    for root, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if _is_visible(name)]
        for name in folders:
            below = os.path.join(root, name)
            real = os.path.realpath(below)
            if real in above[root]:
                raise OSError(f"the link {below} leads to a folder that it is in")
            above[below] = (*above[root], real)
        for name in names:
            path = os.path.join(root, name)
            if _is_visible(name) and name.endswith(".parquet"):
                if not os.path.isfile(path):
                    raise OSError(f"{path} is no regular file, or a link to none")
                yield path


def _raise(error: OSError) -> None:
    raise error


def _is_visible(path: str) -> bool:
    return not os.path.basename(path).startswith(("_", "."))


def _nothing_at(location: str) -> str:
    if os.path.isdir(location):
        return f"no *.parquet file in {location}"
    if _MAGIC & set(location):
        return f"no file matches {location}"
    return f"no such file or folder: {location}"
