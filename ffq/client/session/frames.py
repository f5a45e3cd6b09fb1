"""Arrow tables as data frames of libraries that may not be there."""

from __future__ import annotations

import importlib
from typing import Any

import pyarrow as pa

from ffq.errors import StartupError


def to_pandas(table: pa.Table) -> Any:
    """A pandas.DataFrame. Raises StartupError: pandas is not installed."""
    _library("pandas")
    return table.to_pandas()


def to_polars(table: pa.Table) -> Any:
    """A polars.DataFrame. Raises StartupError: Polars is not installed."""
    return _library("polars").from_arrow(table)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StartupError(
            f'{name} is not installed: pip install "ffq-runtime[{name}]", or take the rows as '
            "Arrow with collect()"
        ) from error
