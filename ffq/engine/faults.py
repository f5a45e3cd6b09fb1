"""What went wrong while a fragment ran, as errors of our tree.

DuckDB turns an exception of a Python reader into one of its own; the first fault that our readers
noted is the true cause and wins.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.jsonlines import explained
from ffq.engine.origins import with_names
from ffq.errors import (
    DataError,
    DiskError,
    ExecutionError,
    FfqError,
    OutOfMemory,
    PlanningError,
    QueryCanceled,
    StorageError,
    UnsupportedPlan,
)
from ffq.plan.model import Node


@attrs.define
class Faults:
    """Notes the first error raised inside readers of one fragment.

    fragment: it, by which errors name columns.
    """

    first: FfqError | None = None
    fragment: Node | None = None
    _closed: bool = False

    def note(self, error: FfqError) -> FfqError:
        """Keep it unless an earlier one is known; returns the one to raise."""
        if self.first is None and not self._closed:
            self.first = error
        return self.first or error

    def close(self) -> None:
        """The fragment is over: what breaks while it is closed is not why it failed."""
        self._closed = True

    def translate(self, error: BaseException, cancel: CancelToken) -> FfqError:
        """The error to raise in place of `error`: cancellation, the noted cause, or its class."""
        if cancel.canceled:
            return QueryCanceled("the fragment was canceled")
        if self.first is not None:
            return self.first
        if isinstance(error, FfqError):
            return error
        return execution_error(error, self.fragment)


def one_line(error: BaseException, fragment: Node | None = None) -> str:
    """The first line of an error's text: DuckDB adds the SQL below it.

    fragment: that it ran, by which columns have names.
    """
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    if _TRACEBACK in lines[0]:  # of a store's client library
        kind, _, said = lines[-1].partition(": ")
        return f"IO Error: {said or kind}"
    if match := _CSV_LINE.search(lines[0]):
        return _csv_complaint(match, lines)
    # Advice on SQL helps nobody who wrote a plan.
    return with_names(lines[0].partition(". Use TRY(")[0], fragment)


_TRACEBACK: Final = "Traceback (most recent call last):"
_CSV_LINE: Final = re.compile(r"^(.*?)CSV Error on Line: (\d+)")


def _csv_complaint(match: re.Match[str], lines: list[str]) -> str:
    """What is wrong with a line of a CSV file, and with which: DuckDB says it in many lines."""
    told = (line for line in lines[1:] if line and not line.startswith("Original Line:"))
    why = next(told, "it cannot be read").partition(". Use TRY(")[0]
    file = next((line.strip() for line in lines if line.strip().startswith("file = ")), "")
    path = file.removeprefix("file = ") or "a CSV file"
    return f"{match[1]}{path}, line {match[2]}: {why}"


# Rows that fail late come out of an Arrow stream, whose errors are all OSErrors: DuckDB's class of
# error is then told only by how the text begins, as it does for its exceptions too.
_CLASSES: Final[dict[str, type[FfqError]]] = {
    "Conversion Error": DataError,
    "Out of Range Error": DataError,
    "Invalid Input Error": DataError,
    "Mismatch Type Error": DataError,
    "Out of Memory Error": OutOfMemory,
    "IO Error": StorageError,
    "HTTP Error": StorageError,
    "Not implemented Error": UnsupportedPlan,
    "Binder Error": PlanningError,
    "Catalog Error": PlanningError,
    "Parser Error": PlanningError,
}
NAMELESS_FAULT: Final = "TProtocolException"
"""What stands between the pages of a Parquet file is nothing of the kind. Of which file, the engine
does not say."""
# An input that is invalid may be a value, or a file: only the text tells them apart.
_OF_A_FILE: Final = (
    "Failed to read file",
    "No magic bytes found",
    "arquet file",
    NAMELESS_FAULT,
)
# A stream of ours broke without noting why: a bug, not the data.
_OF_A_STREAM: Final = ("reading the stream registered as", "Python exception")
# Scans refuse such a map by the name of its column.
_TWIN_KEYS: Final = "Arrow map contains duplicate key"
# DuckDB writes no files but those it spills to.
_OF_OWN_DISK: Final = (
    "No space left on device",
    "Disk quota exceeded",
    "Too many open files",
    "duckdb_temp",
    "ould not write",
    "ailed to create directory",
    "Read-only file system",
)


def execution_error(error: BaseException, fragment: Node | None = None) -> FfqError:
    """An error of running SQL or reading data, by whose fault it is (R17).

    DataError: no run of it can succeed. StorageError: a table's file could not be read here.
    DiskError, OutOfMemory: this process lacks room. What is not known is ExecutionError.
    """
    text = explained(one_line(error, fragment))
    if isinstance(error, MemoryError):
        return OutOfMemory(text)
    if isinstance(error, pa.ArrowException):
        return ExecutionError(f"Arrow: {text}")
    if isinstance(error, OSError) and error.errno is not None:
        # Tables are read by DuckDB: Python itself opens this process's own files only.
        return DiskError(text)
    if _TWIN_KEYS in text:
        return DataError("an operator made a map with a key twice, which this engine does not keep")
    if isinstance(error, duckdb.Error | OSError):
        return _class_of(text)(text)
    return ExecutionError(f"{type(error).__name__}: {text}")


def _class_of(text: str) -> type[FfqError]:
    kind = _CLASSES.get(text.partition(":")[0], ExecutionError)
    if kind is DataError and text.startswith("Invalid Input Error"):
        if any(mark in text for mark in _OF_A_STREAM):
            return ExecutionError
        if any(mark in text for mark in _OF_A_FILE):
            return StorageError
    if text.startswith("Invalid Error") and any(mark in text for mark in _OF_A_FILE):
        return StorageError
    if kind is StorageError and any(mark in text for mark in _OF_OWN_DISK):
        return DiskError
    return kind


def binding_error(node: str, error: duckdb.Error) -> PlanningError:
    """An expression that DuckDB does not accept for the columns it is given."""
    return PlanningError(f"{node}: {one_line(error)}")
