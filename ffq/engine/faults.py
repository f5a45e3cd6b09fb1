"""What went wrong while a fragment ran, as errors of our tree.

DuckDB turns an exception of a Python reader into one of its own; the first fault that our readers
noted is the true cause and wins.
"""

from __future__ import annotations

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.errors import ExecutionError, FfqError, PlanningError, QueryCanceled, StorageError


@attrs.define
class Faults:
    """Notes the first error raised inside readers of one fragment."""

    first: FfqError | None = None

    def note(self, error: FfqError) -> FfqError:
        """Keep it unless an earlier one is known; returns the one to raise."""
        if self.first is None:
            self.first = error
        return self.first

    def translate(self, error: BaseException, cancel: CancelToken) -> FfqError:
        """The error to raise in place of `error`: cancellation, the noted cause, or its class."""
        if cancel.canceled:
            return QueryCanceled("the fragment was canceled")
        if self.first is not None:
            return self.first
        if isinstance(error, FfqError):
            return error
        return execution_error(error)


def one_line(error: BaseException) -> str:
    """The first line of an error's text: DuckDB adds the SQL below it."""
    lines = str(error).strip().splitlines()
    # DuckDB's advice on its own SQL helps nobody who wrote a plan.
    return lines[0].partition(". Use TRY(")[0] if lines else type(error).__name__


def execution_error(error: BaseException) -> FfqError:
    """An error of running SQL or reading data."""
    text = one_line(error)
    # Rows that fail late come out of an Arrow stream, whose errors are all OSErrors: DuckDB's
    # class of error is then told only by how the text begins.
    streamed = isinstance(error, OSError) and error.errno is None
    if isinstance(error, OSError) and not streamed:
        return StorageError(text)
    unreadable = text.startswith("IO Error") or "Failed to read file" in text
    if isinstance(error, duckdb.IOException) or unreadable:
        return StorageError(text)
    if isinstance(error, pa.ArrowException):
        return ExecutionError(f"Arrow: {text}")
    if isinstance(error, duckdb.Error) or streamed:
        return ExecutionError(text)
    return ExecutionError(f"{type(error).__name__}: {text}")


def binding_error(node: str, error: duckdb.Error) -> PlanningError:
    """An expression that DuckDB does not accept for the columns it is given."""
    return PlanningError(f"{node}: {one_line(error)}")
