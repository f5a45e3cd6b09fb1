"""What a plan's vector search needs to know of a table: pure values, made by who reads files."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, TypeAlias

import attrs


class Metric(enum.Enum):
    """COSINE and DOT: the largest score is first. L2: the score is a distance, smallest first."""

    COSINE = "cosine"
    L2 = "l2"
    DOT = "dot"


METRICS: Final = {
    "cosine": Metric.COSINE,
    "l2": Metric.L2,
    "euclid": Metric.L2,
    "euclidean": Metric.L2,
    "dot": Metric.DOT,
    "ip": Metric.DOT,
    "dot_product": Metric.DOT,
    "inner_product": Metric.DOT,
}
"""Metrics by how they may be spelled, in lower case."""


class ColumnKind(enum.Enum):
    """What a column holds, as far as a filter and a payload go by it. FLOATS: lists of floats."""

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date or timestamp"
    FLOATS = "list of floats"
    OTHER = "other"


@attrs.frozen
class TableColumn:
    """type: as its files call it, for errors. length: of FLOATS of a fixed one, else None."""

    name: str
    kind: ColumnKind
    type: str
    length: int | None = None


@attrs.frozen
class VectorTable:
    """A table of files with a vector in each row.

    Attributes:
        id: a column of integers.
        vector: a column of lists of floats.
        others: the other columns: a row's payload.
        metric: for nodes that name none.
    """

    name: str
    id: TableColumn
    vector: TableColumn
    others: tuple[TableColumn, ...]
    metric: Metric


VectorTables: TypeAlias = Callable[[str], VectorTable]
"""A table by name; raises PlanningError where it is none that can be searched."""
