"""Batches as operators take them: Arrow's, or data frames of pandas or Polars."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import pyarrow as pa

from ffq.errors import OperatorError


class Unconvertible(Exception):
    """A frame that is no Arrow data; says why, in words that may follow what it is."""


@attrs.frozen
class BatchFormat:
    """How batches are handed to an operator, and what it gives becomes Arrow again.

    Attributes:
        name: as `batch_format=` has it.
        noun: of what it yields, in the plural.
        from_arrow: a record batch as the operator takes it.
        is_frame: whether a value is of its own kind.
        to_arrow: a frame as a table. Raises Unconvertible, or whatever the library does.
        casts: types are made by a library's rules: what it gives is cast to the schema where every
            value is kept.
    """

    name: str
    noun: str
    from_arrow: Callable[[pa.RecordBatch], Any]
    is_frame: Callable[[Any], bool]
    to_arrow: Callable[[Any], pa.Table]
    casts: bool


def pandas_table(frame: Any) -> pa.Table:
    """The columns of a pandas data frame.

    Raises:
        Unconvertible: an index that has a name.
        pa.ArrowException, TypeError, ValueError: what Arrow cannot hold.
    """
    named = [name for name in frame.index.names if name is not None]
    if named:
        raise Unconvertible(
            f"whose index holds {', '.join(map(repr, named))}, which would be lost; right "
            f"would be frame.reset_index()"
        )
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _pandas(operator: str) -> BatchFormat:
    pandas = _library("pandas", operator)

    def from_arrow(batch: pa.RecordBatch) -> Any:
        # Of pandas' own types few have a null: an integer beside one would become a float.
        return batch.to_pandas(types_mapper=pandas.ArrowDtype)

    return BatchFormat(
        "pandas",
        "pandas data frames",
        from_arrow,
        lambda value: isinstance(value, pandas.DataFrame),
        pandas_table,
        casts=True,
    )


def _polars(operator: str) -> BatchFormat:
    polars = _library("polars", operator)

    def to_arrow(frame: Any) -> pa.Table:
        return frame.to_arrow(compat_level=polars.CompatLevel.oldest())

    return BatchFormat(
        "polars",
        "Polars data frames",
        polars.from_arrow,
        lambda value: isinstance(value, polars.DataFrame),
        to_arrow,
        casts=True,
    )


def _arrow(operator: str) -> BatchFormat:
    del operator
    return BatchFormat(
        "arrow",
        "record batches",
        lambda batch: batch,
        lambda value: isinstance(value, pa.RecordBatch | pa.Table),
        lambda value: value,
        casts=False,
    )


FORMATS: Final[Mapping[str, Callable[[str], BatchFormat]]] = {
    "arrow": _arrow,
    "pandas": _pandas,
    "polars": _polars,
}
"""By name. The library is imported when the first operator runs that takes its frames."""


def _library(name: str, operator: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OperatorError(
            f"operator {operator!r} takes {name} data frames, and {name} cannot be imported here "
            f'({error}); right would be: pip install "ffq-runtime[{name}]"'
        ) from error
