"""Write and Commit: files that nobody sees, and how they are made visible.

DuckDB writes them itself, so that nothing of a table is held here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
import duckdb
import pyarrow as pa

from ffq.engine import staging, stores
from ffq.engine.cancel import CancelToken
from ffq.engine.faults import one_line
from ffq.engine.filesystems import attach
from ffq.engine.publishing import STAGED_END, Publishing, taken
from ffq.engine.sql import Columns, identifier, text
from ffq.engine.staging import Staging, marked_rows, remove_abandoned, write_mark
from ffq.errors import FfqError, InvalidRequest, PlanningError, StorageError, UnsupportedPlan
from ffq.ids import AttemptKey, is_valid_id
from ffq.plan import model
from ffq.plan.terms import FileFormat, WriteMode, WriteTarget

STAGED: Final = pa.schema([("path", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64())])
"""What Write gives out: a row for each file, its path as seen from the staging folder."""
COUNT: Final = pa.schema([("Count", pa.int64())])

_OPTIONS: Final[Mapping[FileFormat, frozenset[str]]] = {
    FileFormat.PARQUET: frozenset({"compression", "compression_level", "row_group_size"}),
    FileFormat.CSV: frozenset(
        {
            *("compression", "dateformat", "delimiter", "escape", "force_quote", "header"),
            *("nullstr", "quote", "timestampformat"),
        }
    ),
    FileFormat.JSON: frozenset({"array", "compression", "dateformat", "timestampformat"}),
}
_SUFFIX: Final = {FileFormat.PARQUET: "parquet", FileFormat.CSV: "csv", FileFormat.JSON: "json"}
_MAX_OPEN: Final = 8
"""Files of partitions that are written to a store at a time: of each, a part is in memory."""
_NO_ROOM: Final = ("No space left", "quota exceeded", "File too large")


@attrs.frozen
class StagedFile:
    """path: relative to the staging folder. bytes: of the file."""

    path: str
    rows: int
    bytes: int


def check_options(format_: FileFormat, options: Sequence[tuple[str, str]]) -> None:
    """Raises UnsupportedPlan: names an option that files of that format are not written with."""
    known = _OPTIONS[format_]
    for name, _ in options:
        if name.lower() not in known:
            raise UnsupportedPlan(
                f"{format_.value} files are not written with option {name!r}; known: "
                f"{', '.join(sorted(known))}"
            )


def check_target(target: WriteTarget) -> None:
    """Whether the query may write there, as far as can be said before.

    Raises:
        PlanningError: something is there that must not be, or the path is no absolute one.
        UnsupportedPlan: a store that is not written to.
        StorageError: the folder that it is to stand in is not there, or the store does not answer.
    """
    if not target.write_id or not is_valid_id(target.write_id):
        raise PlanningError(f"cannot write to {target.path!r}: the write has no id that tells it")
    if stores.scheme_of(target.path) is None:
        _check_path(target)
        return
    stores.check_writable(target.path)
    with _told(target):
        Publishing(target).check()


def _check_path(target: WriteTarget) -> None:
    path = Path(target.path)
    if not path.is_absolute():
        raise PlanningError(f"cannot write to {target.path!r}: right would be an absolute path")
    if not path.parent.is_dir():
        raise StorageError(f"cannot write to {path}: there is no folder {path.parent}")
    if Staging(target).is_done():
        return
    if target.single_file:
        if path.is_dir():
            raise PlanningError(f"cannot write to {path}: it is a folder")
        if path.exists() and target.mode is WriteMode.CREATE:
            raise taken(path)
    elif path.exists() and not path.is_dir():
        raise PlanningError(f"cannot write files into {path}: it is a file")
    elif target.mode is WriteMode.CREATE and path.is_dir() and any(path.iterdir()):
        raise taken(path)


@contextmanager
def _told(target: WriteTarget) -> Iterator[None]:
    """Errors of a store, by what is written to. Raises StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write to {target.path}: {stores.said(error)}") from error


def stage_rows(
    node: model.Write,
    key: AttemptKey,
    sql: str,
    columns: Columns,
    cursor: duckdb.DuckDBPyConnection,
) -> list[StagedFile]:
    """Write the rows of a query into files of this attempt.

    Args:
        sql: whose columns are c0, c1, ...

    Raises:
        PlanningError, UnsupportedPlan: names or options that cannot be.
        StorageError: they cannot be written there; names the path.
        duckdb.Error: the query failed.
    """
    check_target(node.target)
    folder, end = _open_attempt(node.target, key, cursor)
    suffix = f"{_SUFFIX[node.format]}{end}"
    name = f"part-{key.task_id:05}"
    place = folder if node.partition_by else f"{folder}/{name}.{suffix}"
    options = [f"FORMAT {_SUFFIX[node.format]}", "RETURN_FILES true", *_options(node)]
    if node.partition_by:
        keys = ", ".join(identifier(each) for each in _partition_columns(node, columns))
        pattern = text(name + "-{i}")
        options += [f"PARTITION_BY ({keys})", f"FILENAME_PATTERN {pattern}"]
        # A store has no folders that could be seen to be empty.
        options += [f"FILE_EXTENSION {text(suffix)}", "OVERWRITE_OR_IGNORE true"]
    outputs = _outputs(node, columns)
    statement = f"COPY (SELECT {outputs} FROM ({sql})) TO {text(place)}"
    try:
        (found,) = cursor.execute(f"{statement} ({', '.join(options)})").fetchall()
        count, paths = found
        return _listed(folder, count, paths)
    except OSError as error:
        raise StorageError(f"cannot write to {node.target.path}: {one_line(error)}") from error
    except duckdb.Error as error:
        raise _write_error(node.target, folder, error) from error


def _open_attempt(
    target: WriteTarget, key: AttemptKey, cursor: duckdb.DuckDBPyConnection
) -> tuple[str, str]:
    """An empty folder for the files of an attempt, and how their names end besides.

    Raises StorageError.
    """
    with _told(target):
        if stores.scheme_of(target.path) is None:
            path = Staging(target).of_attempt(key)
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            return str(path), ""
        publishing = Publishing(target)
        publishing.discard_attempt(key)
        attach(cursor, [target.path])
        cursor.execute(f"SET partitioned_write_max_open_files = {_MAX_OPEN}")
        return publishing.of_attempt(key), STAGED_END


def _listed(folder: str, count: int, paths: Sequence[str]) -> list[StagedFile]:
    """The files, in a fixed order; what has rows is on disk when they are listed."""
    files = []
    for at, path in enumerate(sorted(paths)):
        if stores.scheme_of(path) is None:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        size = stores.status(path).st_size
        inside = path.removeprefix(f"{os.path.dirname(folder)}/")
        files.append(StagedFile(inside, count if at == 0 else 0, size))
    return files


def _write_error(target: WriteTarget, folder: str, error: duckdb.Error) -> Exception:
    said = one_line(error)
    if stores.scheme_of(target.path) is not None and "Traceback" in str(error):
        return StorageError(f"cannot write to {target.path}: {said.removeprefix('IO Error: ')}")
    if said.startswith("IO Error") and (folder in said or any(s in said for s in _NO_ROOM)):
        return StorageError(f"cannot write to {target.path}: {said}")
    return error


def _outputs(node: model.Write, columns: Columns) -> str:
    if not columns:
        raise PlanningError(f"cannot write to {node.target.path}: the rows have no columns")
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.name.lower(), column.name)
        if other is not column.name:
            raise PlanningError(
                f"cannot write to {node.target.path}: columns {other!r} and {column.name!r} would "
                f"have one name; right would be names that differ"
            )
    return ", ".join(
        f"{_kept(f'c{at}', column.type)} AS {identifier(column.name)}"
        for at, column in enumerate(columns)
    )


def _kept(sql: str, kind: str) -> str:
    """Files have no integers of 128 bits: DuckDB would round them to floats."""
    return f"CAST({sql} AS DECIMAL(38,0))" if kind in {"HUGEINT", "UHUGEINT"} else sql


def _partition_columns(node: model.Write, columns: Columns) -> list[str]:
    names = {column.name.lower(): column.name for column in columns}
    for each in node.partition_by:
        if each.startswith("."):
            raise PlanningError(
                f"PARTITION_BY: folders of column {each!r} would be hidden, and not be read again; "
                "right would be a column whose name does not begin with a dot"
            )
        if each.lower() not in names:
            raise PlanningError(
                f"PARTITION_BY: there is no column {each!r}; there are {', '.join(names.values())}"
            )
    if node.target.single_file:
        raise PlanningError(f"PARTITION_BY: {node.target.path} is one file; right is a folder")
    if len(set(map(str.lower, node.partition_by))) == len(columns):
        raise PlanningError("PARTITION_BY: all columns are named; the files would have none")
    return [names[each.lower()] for each in node.partition_by]


def _options(node: model.Write) -> list[str]:
    check_options(node.format, node.options)
    return [f"{name.upper()} {text(value)}" for name, value in node.options]


def commit(
    target: WriteTarget, key: AttemptKey, files: Sequence[StagedFile], cancel: CancelToken
) -> int:
    """Make the files visible, all at once, unless an earlier attempt has; gives their rows.

    Raises:
        StorageError: a file is not there any more, or cannot be made visible; names it.
        PlanningError: something else has come to stand there.
        QueryCanceled: before anything was visible.
    """
    rows = sum(file.rows for file in files)
    if stores.scheme_of(target.path) is not None:
        stores.check_writable(target.path)
        with _told(target):
            kept = [file.path for file in _worth_keeping(files)]
            return Publishing(target).commit(key, kept, rows, cancel.check)
    staged = Staging(target)
    if staged.is_done():
        return rows if target.single_file else marked_rows(staged.seen, target) or 0
    check_target(target)
    try:
        made = _assembled(staged, key, _worth_keeping(files), rows)
        cancel.check()
        _make_visible(staged, made)
        _sync(staged.seen.parent)
    except FileExistsError as error:
        if not staged.is_done():
            raise taken(staged.path) from error
    except OSError as error:
        raise StorageError(
            f"cannot write to {target.path}: {error.filename or ''}: {error.strerror}; the path "
            f"must be on one file system that all workers share"
        ) from error
    with suppress(OSError, FfqError):
        remove_abandoned(staged.root.parent.parent)
    return rows


def discard_attempt(target: WriteTarget, key: AttemptKey) -> None:
    """Remove what an attempt has staged. What is not there is no error.

    Raises:
        StorageError: the store does not answer.
    """
    if stores.scheme_of(target.path) is None:
        staging.discard_attempt(target, key)
        return
    with _told(target):
        Publishing(target).discard_attempt(key)


def settle(target: WriteTarget, *, succeeded: bool | None) -> None:
    """As `ffq.engine.staging.settle`, wherever the write was to."""
    if stores.scheme_of(target.path) is None:
        staging.settle(target, succeeded=succeeded)
        return
    with _told(target):
        Publishing(target).settle(succeeded=succeeded)


def _worth_keeping(files: Sequence[StagedFile]) -> list[StagedFile]:
    """Files without rows only tell the columns: one is enough, where there is no other.

    A partition's file has no count of its own, and always has rows.
    """
    ordered = sorted(files, key=lambda file: file.path)
    kept = [file for file in ordered if file.rows or file.path.count(os.sep) > 1]
    return kept or ordered[:1]


def _assembled(staged: Staging, key: AttemptKey, files: Sequence[StagedFile], rows: int) -> Path:
    """A folder of this attempt's own with all files, or the one file. Raises OSError."""
    if staged.target.single_file:
        return staged.root / files[0].path
    folder = staged.of_commit(key)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in files:
        attempt, _, inside = file.path.partition(os.sep)
        if not inside or ".." in Path(file.path).parts:
            raise InvalidRequest(f"{file.path!r} is no file of an attempt")
        into = folder / inside
        into.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(staged.root / attempt / inside, into)
    write_mark(folder, staged.target, rows)
    for each in {folder, *(Path(one) for one, _, _ in os.walk(folder))}:
        _sync(each)
    return folder


def _link_or_copy(source: Path, into: Path) -> None:
    """Links leave the files to other attempts of the commit too."""
    try:
        os.link(source, into)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, into)


def _make_visible(staged: Staging, made: Path) -> None:
    """Raises FileExistsError: something stands there."""
    seen, replaces = staged.seen, staged.target.mode is WriteMode.REPLACE
    if not staged.target.single_file:
        if replaces and seen.exists():
            seen.rename(staged.old)
        try:
            made.rename(seen)
        except OSError as error:
            if seen.exists():
                raise FileExistsError(error.errno, error.strerror, str(seen)) from error
            raise
    elif replaces and seen.exists():
        with suppress(FileExistsError):
            os.link(seen, staged.old)
        link = made.with_suffix(".link")
        with suppress(FileNotFoundError):
            link.unlink()
        os.link(made, link)
        link.replace(seen)
    else:
        os.link(made, seen)


def _sync(folder: Path) -> None:
    """So that names survive a loss of power; not every file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
