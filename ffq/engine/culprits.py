"""Errors over a file, by the table whose file it is: engines and file systems know paths only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ffq.engine.faults import NAMELESS_FAULT
from ffq.engine.fragment_run import FragmentSpec
from ffq.errors import (
    DataError,
    ExecutionError,
    FfqError,
    FileChanged,
    PlanningError,
    StorageError,
    UnsupportedPlan,
)
from ffq.plan.names import MAX_SHOWN
from ffq.plan.walk import stage_scans

_NAMED: Final = frozenset(
    {DataError, ExecutionError, FileChanged, PlanningError, StorageError, UnsupportedPlan}
)


def by_table(error: FfqError, spec: FragmentSpec) -> FfqError:
    """The error, naming the table too where it names one of the files that the fragment scans.

    One whose class the engine did not tell is of that file.
    """
    if type(error) not in _NAMED:
        return error
    path, table = max(
        _named_files(error.message, spec), key=lambda pair: len(pair[0]), default=("", "")
    )
    if not path:
        return _of_one_of(error, spec) if NAMELESS_FAULT in error.message else error
    kind = StorageError if type(error) is ExecutionError else type(error)
    if f"table {table!r}" in error.message and kind is type(error):
        return error
    return kind(f"table {table!r}: {error.message}")


def _of_one_of(error: FfqError, spec: FragmentSpec) -> FfqError:
    """Where the engine does not say which file is broken: the files that it may be."""
    for leaf, scan in enumerate(stage_scans(spec.fragment)):
        paths = list(dict.fromkeys(split.path for split in spec.scans.get(leaf, ())))
        if paths:
            shown = ", ".join(paths[:MAX_SHOWN])
            more = f" and {len(paths) - MAX_SHOWN} more" if len(paths) > MAX_SHOWN else ""
            return type(error)(f"table {scan.table!r}, one of {shown}{more}: {error.message}")
    return error


def _named_files(text: str, spec: FragmentSpec) -> Iterator[tuple[str, str]]:
    for leaf, scan in enumerate(stage_scans(spec.fragment)):
        for split in spec.scans.get(leaf, ()):
            if split.path in text:
                yield split.path, scan.table
