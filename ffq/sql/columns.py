"""The columns of tables as scans give them out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs
import duckdb

from ffq.catalog import Catalog
from ffq.engine.scans import scan_source
from ffq.engine.sql import Columns
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.messages import ScanSplit, TableFormat
from ffq.plan.model import ParquetScan

_KEPT: Final = 256

NamesAndTypes: TypeAlias = tuple[tuple[str, str], ...]
"""Columns in order: name, and type in the engine's words."""


class ColumnsOf:
    """Asks files for the columns of tables, once for as long as the files stay the same."""

    def __init__(self) -> None:
        self._reader = duckdb.connect(config={"memory_limit": "256MB", "threads": 1})
        self._known: OrderedDict[tuple[object, ...], NamesAndTypes] = OrderedDict()

    def close(self) -> None:
        self._reader.close()

    def __call__(self, catalog: Catalog, name: str) -> NamesAndTypes:
        """
        Raises:
            StorageError: a table without files, or with one that cannot be read; names it.
            PlanningError: files that have no columns in common.
        """
        bound = catalog.scan_shares(name, 2**62, 1)
        (splits,) = bound.shares
        # A format has the schema of its table, where that declares one.
        schema = catalog.table(name).schema if bound.format is None else None
        versions = ((one.path, one.file_bytes, one.modified_us, one.partition) for one in splits)
        key = (schema, bound.format, *versions)
        if key not in self._known:
            found = self._read(ParquetScan(name, schema, None, ()), splits, bound.format)
            if not found:
                raise PlanningError(f"table {name!r} has no columns")
            self._known[key] = tuple((one.name, one.type) for one in found)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _read(
        self, scan: ParquetScan, splits: Sequence[ScanSplit], format_: TableFormat | None
    ) -> Columns:
        try:
            return scan_source(scan, splits, self._reader, format_).columns
        except (PlanningError, UnsupportedPlan):
            # Of one column, which a query need not use: where it does, its scan says what is wrong.
            unused = attrs.evolve(scan, projection=())
            return scan_source(unused, splits, self._reader, format_).columns
