"""Tables of a session: where the rows of a name are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.catalog import check_table
from ffq.catalog.files import format_of_name
from ffq.catalog.hidden import is_hidden_file, is_hidden_folder
from ffq.engine.frames import Unconvertible, pandas_table
from ffq.errors import InvalidRequest, StorageError, words

Place: TypeAlias = str | os.PathLike[str]
"""A file, a folder or a glob, or a URI."""

FORMATS: Final = ("parquet", "csv", "json")
_MOST_NAME: Final = 256
_ROW_GROUP_ROWS: Final = 131_072
_ROW_GROUP_BYTES: Final = 64 * 1024 * 1024


@attrs.frozen
class TableDefinition:
    """A table as a catalog file has it.

    Attributes:
        paths: absolute files, folders and globs, or URIs.
        options: a JSON object: a value of any kind, as `types` is a dict, stays as it was given.
    """

    name: str
    paths: tuple[str, ...]
    format: str
    options: str = "{}"

    def entry(self) -> dict[str, object]:
        """The catalog file's entry."""
        return {
            "name": self.name,
            "paths": list(self.paths),
            "format": self.format,
            "options": json.loads(self.options),
        }


def checked_name(name: object) -> str:
    """Raises InvalidRequest: no name of a table."""
    if not isinstance(name, str):
        raise InvalidRequest(f"a table's name is a {type(name).__name__}; right would be a text")
    if not name or len(name) > _MOST_NAME or not name.isprintable():
        raise InvalidRequest(
            f"table {words(name, 80)}: right would be a name of 1 to {_MOST_NAME} printable "
            "characters"
        )
    return name


def key_of(name: str) -> str:
    """Names are one to SQL where only their case differs."""
    return name.lower()


def defined(
    name: str,
    places: Place | Sequence[Place],
    format_: str | None = None,
    options: Mapping[str, object] | None = None,
) -> TableDefinition:
    """A table of files.

    Args:
        format_: `parquet`, `csv` or `json`; None: what the names of the files say.

    Raises:
        InvalidRequest: no path, an unknown format, names that say several or none, or an option
            that the format has not, or a value that the option has not.
    """
    given = [places] if isinstance(places, str | os.PathLike) else list(places)
    if not given or not all(isinstance(place, str | os.PathLike) for place in given):
        raise InvalidRequest(
            f"table {name!r}: {words(places, 80)} says no place; right would be a path, with * if "
            "need be, or a list of paths"
        )
    paths = tuple(absolute(f"table {name!r}", os.fspath(place)) for place in given)
    if format_ is None:
        format_ = _one_format(name, paths)
    if format_ not in FORMATS:
        raise InvalidRequest(
            f"table {name!r}: unknown format {words(format_, 40)}; known: {', '.join(FORMATS)}"
        )
    definition = TableDefinition(name, paths, format_, _json(name, options or {}))
    check_table(definition.entry())
    return definition


def _json(name: str, options: Mapping[str, object]) -> str:
    try:
        return json.dumps(options, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"table {name!r}: its options are {words(options, 80)}: {error}"
        ) from None


def absolute(what: str, path: object) -> str:
    """A path from this process's folder; a URI as it is. Raises InvalidRequest: names `what`."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidRequest(f"{what}: {words(path, 80)} is no path")
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _one_format(name: str, paths: Sequence[str]) -> str:
    found = {_format_of(path) for path in paths}
    if len(found) > 1:
        raise InvalidRequest(
            f"table {name!r}: its files are {' and '.join(sorted(found))}; right would be one "
            "format, or format= to say which"
        )
    return found.pop()


def _format_of(path: str) -> str:
    """By its last suffix that says one; that of a folder by its files, where they agree."""
    if "://" not in path and not has_magic(path) and os.path.isdir(path):
        inside = {
            said for each in _files_within(Path(path)) if (said := _said_format(each)) is not None
        }
        return inside.pop() if len(inside) == 1 else "parquet"
    return _said_format(path) or "parquet"


def _files_within(folder: Path) -> Iterator[str]:
    for _, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not is_hidden_folder(each)]
        yield from (each for each in files if not is_hidden_file(each))


def _said_format(path: str) -> str | None:
    return format_of_name(path.rstrip("*"))


def is_places(what: object) -> bool:
    """Whether this says where files are, and is no data itself."""
    if isinstance(what, str | os.PathLike):
        return True
    return isinstance(what, list | tuple) and all(
        isinstance(each, str | os.PathLike) for each in what
    )


def arrow_reader(name: str, data: Any) -> pa.RecordBatchReader:
    """What a program holds as rows: Arrow tables, batches and streams, pandas, Polars, a mapping
    of columns, a list of rows as mappings. A column that a row has not is null there.

    Raises:
        InvalidRequest: none of these, what Arrow cannot hold, or a named index, which would be
            lost; names the table.
    """
    try:
        if isinstance(data, pa.RecordBatchReader):
            return data
        if isinstance(data, Mapping):
            data = pa.table(dict(data))
        elif isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
            # Of from_pylist the first row would say which columns there are.
            names = dict.fromkeys(name for row in data for name in row)
            data = pa.table({name: [row.get(name) for row in data] for name in names})
        elif type(data).__module__.split(".")[0] == "pandas":
            data = pandas_table(data)
        if isinstance(data, pa.RecordBatch):
            data = pa.Table.from_batches([data])
        if isinstance(data, pa.Table):
            table: Any = data
            return table.to_reader()
        if hasattr(data, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(data)
    except Unconvertible as error:
        raise InvalidRequest(f"table {name!r}: a {type(data).__name__} {error}") from error
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest(
            f"table {name!r}: a {type(data).__name__} that Arrow cannot hold: {error}"
        ) from error
    raise InvalidRequest(
        f"table {name!r}: what is of type {type(data).__name__} has no rows; right would be a "
        "path, a pyarrow.Table, a pandas or Polars DataFrame, or anything with __arrow_c_stream__"
    )


def write_parquet_file(name: str, reader: pa.RecordBatchReader, path: Path) -> None:
    """Nothing of a failed write is left.

    Raises:
        InvalidRequest: as `write_parquet`.
        StorageError: the disk.
    """
    try:
        with pa.OSFile(str(path), "wb") as file:
            write_parquet(name, reader, file)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageError(f"table {name!r}: cannot be written to {path}: {error}") from error
    except InvalidRequest:
        path.unlink(missing_ok=True)
        raise


def write_parquet(
    name: str, reader: pa.RecordBatchReader, sink: Any, compression: str = "snappy"
) -> None:
    """Some batches at a time.

    Args:
        sink: a file of Python or Arrow, open for writing.

    Raises:
        InvalidRequest: a type that Parquet does not have, columns of one name, or none.

    And what the sink raises.
    """
    names = [field.name for field in reader.schema]
    if not names or len({each.lower() for each in names}) < len(names):
        raise InvalidRequest(
            f"table {name!r}: its columns are {', '.join(names) or 'none'}; right would be at "
            "least one, and each name once whatever its case"
        )
    try:
        with pq.ParquetWriter(sink, reader.schema, compression=compression) as writer:
            for group in _row_groups(reader):
                writer.write_table(group, row_group_size=_ROW_GROUP_ROWS)
    except pa.ArrowException as error:
        raise InvalidRequest(f"table {name!r} cannot be held as Parquet: {error}") from error


def _row_groups(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Of many small batches few row groups."""
    batches: list[pa.RecordBatch] = []
    for batch in reader:
        batches.append(batch)
        rows = sum(each.num_rows for each in batches)
        if rows >= _ROW_GROUP_ROWS or sum(each.nbytes for each in batches) >= _ROW_GROUP_BYTES:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)
