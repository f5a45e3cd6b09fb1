"""Listing the files of a table."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, Final

from ffq.catalog.hidden import is_hidden_file, is_hidden_folder, is_hidden_path
from ffq.catalog.partitions import TableFile, table_file
from ffq.engine import stores
from ffq.errors import FfqError, StorageError

MAX_FILES = 100_000
_ENDS: Final = {
    "parquet": (".parquet",),
    "csv": (".csv", ".tsv"),
    "json": (".jsonl", ".ndjson", ".json"),
}
_PACKED: Final = ("", ".gz", ".zst")


def ends_of(format_: str) -> tuple[str, ...]:
    """How the names of a format's files end."""
    packed = ("",) if format_ == "parquet" else _PACKED
    return tuple(end + pack for end in _ENDS[format_] for pack in packed)


def format_of_name(path: str) -> str | None:
    """The format that the end of a name says; None: it says none."""
    lower = path.lower()
    return next((each for each in _ENDS if lower.endswith(ends_of(each))), None)


def list_files(
    table: str, locations: Iterable[str], format_: str | None = "parquet"
) -> tuple[tuple[TableFile, ...], str]:
    """Files at the locations, each once, sorted within each location; and their format.

    A folder stands for the files in it, at any depth, whose names end as the format's do; a glob
    (`**` is any depth) for the files that match. Both leave out hidden files and those in hidden
    folders (`ffq.catalog.hidden`). What is named outright is taken.

    Args:
        format_: None: the names say. A folder with Parquet files is one of Parquet files; a file
            whose name says nothing is one.

    Raises:
        StorageError: a location is missing, cannot be read or yields no file, there are more than
            MAX_FILES, files are of several formats, or a URI holds credentials; names the table and
            the location.
    """
    found: dict[str, TableFile] = {}
    for location in locations:
        stores.check_uri(location)
        try:
            files, root = _list_location(location, format_)
            for file in files:
                file.encode()  # a name that is not text could not travel to a worker
        except (OSError, ValueError) as error:
            raise StorageError(f"table {table!r}: cannot list {location}: {error}") from None
        except FfqError as error:
            raise StorageError(f"table {table!r}: {location}: {error.message}") from None
        if not files:
            raise StorageError(f"table {table!r}: {_nothing_at(location, format_)}")
        for file in files:
            found.setdefault(file, table_file(file, root))
        if len(found) > MAX_FILES:
            raise StorageError(f"table {table!r} has more than {MAX_FILES} files")
    return tuple(found.values()), format_ or _one_format(table, tuple(found))


def is_folder(table: str, location: str) -> bool:
    """
    Raises:
        StorageError: a store does not answer; names the table and the location.
    """
    scheme = stores.scheme_of(location)
    if scheme is None:
        return os.path.isdir(location)
    if stores.MAGIC & set(location):
        return False
    try:
        return stores.asked(scheme, lambda fs: bool(fs.isdir(location)))
    except OSError as error:
        raise StorageError(f"table {table!r}: cannot list {location}: {error}") from None


def folder_columns(table: str, folder: str) -> tuple[str, ...]:
    """The columns that folders `name=value` below one add, as its first file has them.

    Raises:
        StorageError: it cannot be read; names the table and the folder.
    """
    try:
        in_store = stores.scheme_of(folder) is not None
        files = _list_location(folder, None)[0] if in_store else _walk_folder(folder)
        first = next(iter(files), None)
    except OSError as error:
        raise StorageError(f"table {table!r}: cannot list {folder}: {error}") from None
    return () if first is None else tuple(name for name, _ in table_file(first, folder).folders)


def _one_format(table: str, paths: Sequence[str]) -> str:
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(format_of_name(path) or "parquet", path)
    if len(first) > 1:
        (one, path), (other, other_path), *_ = first.items()
        raise StorageError(
            f"table {table!r} has files of several formats: {path} is {one}, {other_path} {other}; "
            f"right would be a glob that only one matches, or a format"
        )
    return next(iter(first))


def _list_location(location: str, format_: str | None) -> tuple[list[str], str]:
    """Its files, and what their paths begin with that its own words do not vary."""
    scheme = stores.scheme_of(location)
    if scheme is not None:
        return stores.asked(scheme, lambda fs: _list_store(fs, scheme, location, format_))
    if os.path.isfile(location):
        return [location], ""
    if os.path.isdir(location):
        return _of_format(_walk_folder(location), format_), location
    if stores.MAGIC & set(location):
        root = _fixed(location)
        matches = glob.iglob(location, recursive=True)
        shown = _shown(matches, len(root), location)
        return sorted(filter(os.path.isfile, shown)), root
    return [], ""


def _list_store(fs: Any, scheme: str, location: str, format_: str | None) -> tuple[list[str], str]:
    where = f"{scheme}://"
    if stores.MAGIC & set(location):
        found = fs.glob(location, detail=True)
        root = _fixed(location)
    elif fs.isfile(location):
        return [location], ""
    else:
        found, root = fs.find(location, detail=True), location.rstrip("/")
    files = (path for path, info in found.items() if info["type"] == "file")
    shown = _shown(files, len(str(fs._strip_protocol(root))), location)
    paths = [where + path.lstrip("/") for path in shown]
    return (sorted(paths) if stores.MAGIC & set(location) else _of_format(paths, format_)), root


def _of_format(paths: Iterable[str], format_: str | None) -> list[str]:
    listed = sorted(paths)
    for each in (format_,) if format_ else _ENDS:
        if kept := [path for path in listed if path.lower().endswith(ends_of(each))]:
            # Beside Parquet files, others are taken for none of the table.
            if format_ or each == "parquet":
                return kept
            return [path for path in listed if format_of_name(path)]
    return []


def _shown(paths: Iterable[str], below: int, location: str) -> Iterator[str]:
    """Those that are not hidden in the path behind its first characters, `below` of them."""
    named = [part for part in location.split("/") if not stores.MAGIC & set(part)]
    for path in paths:
        if not is_hidden_path(path[below:].strip("/").split("/"), named):
            yield path


def _fixed(location: str) -> str:
    """A glob's path before its first pattern."""
    return "/".join(takewhile(lambda part: not stores.MAGIC & set(part), location.split("/")))


def _walk_folder(folder: str) -> Iterable[str]:
    above: dict[str, tuple[str, ...]] = {folder: (os.path.realpath(folder),)}
    for root, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not is_hidden_folder(name)]
        for name in folders:
            below = os.path.join(root, name)
            real = os.path.realpath(below)
            if real in above[root]:
                raise OSError(f"the link {below} leads to a folder that it is in")
            above[below] = (*above[root], real)
        for name in names:
            path = os.path.join(root, name)
            if not is_hidden_file(name) and format_of_name(name):
                if not os.path.isfile(path):
                    raise OSError(f"{path} is no regular file, or a link to none")
                yield path


def _raise(error: OSError) -> None:
    raise error


def _nothing_at(location: str, format_: str | None) -> str:
    if stores.scheme_of(location):
        return f"no file at {location}"
    if os.path.isdir(location):
        known = " or ".join(f"*{end}" for end in _ENDS[format_ or "parquet"])
        return f"no {known} file in {location}"
    if stores.MAGIC & set(location):
        return f"no file matches {location}"
    return f"no such file or folder: {location}"
