"""The columns of tables as scans give them out."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

import duckdb

from ffq.catalog import Catalog
from ffq.engine.scans import scan_source
from ffq.engine.sql import Columns
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.messages import ScanSplit
from ffq.plan.model import ParquetScan
from ffq.plan.terms import Schema

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
        schema = catalog.table(name).schema
        ((*splits,),) = catalog.scan_shares(name, 2**62, 1)
        versions = ((one.path, one.file_bytes, one.modified_us, one.partition) for one in splits)
        key = (schema, *versions)
        if key not in self._known:
            found = self._read(name, schema, splits)
            if not found:
                raise PlanningError(f"table {name!r} has no columns")
            self._known[key] = tuple((one.name, one.type) for one in found)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _read(self, name: str, schema: Schema | None, splits: list[ScanSplit]) -> Columns:
        try:
            return scan_source(ParquetScan(name, schema, None, ()), splits, self._reader).columns
        except (PlanningError, UnsupportedPlan):
            # Of one column, which a query need not use: where it does, its scan says what is wrong.
            return scan_source(ParquetScan(name, schema, (), ()), splits, self._reader).columns
