"""What planning knows of tables: their columns as the engine has them, their size, some rows."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import attrs
import duckdb
import pyarrow as pa

from ffq.catalog import Catalog
from ffq.catalog.ranges import GroupRange, group_ranges
from ffq.catalog.shares import stored_bytes
from ffq.catalog.versions import Version, version_of, whole_table
from ffq.engine.inline import InlineFile, unreadable
from ffq.engine.scans import Source, scan_source
from ffq.errors import FfqError, PlanningError, StorageError, UnsupportedPlan
from ffq.messages import ScanSplit, TableFormat
from ffq.plan.explain import Estimate
from ffq.plan.inline import InlineTable
from ffq.plan.model import ParquetScan
from ffq.plan.ranges import RangeColumn

_KEPT: Final = 256
"""Tables, in one version each."""
_VALUE_BYTES: Final = 8
_LARGEST_SAMPLE: Final = 20_000
_SMALLEST_SAMPLE: Final = 100
_SAMPLED: Final = 30
"""Of so many rows one is looked at, where that is not too many."""
_TINY_BYTES: Final = 256 * 1024
_TINY_ROWS: Final = 10_000
_TINY_FILES: Final = 4
_MOST_GROUPS: Final = 20_000
_MOST_NUMBERED: Final = 10_000

T = TypeVar("T")
NamesAndTypes: TypeAlias = tuple[tuple[str, str], ...]
"""Columns in order: name, and type in the engine's words."""


@attrs.frozen
class TableFacts:
    """Of a table as its files are now. `size`: its rows, where its footers tell; and its bytes."""

    columns: NamesAndTypes
    size: Estimate
    version: Version = attrs.field(repr=False)
    _scan: ParquetScan = attrs.field(repr=False)
    _splits: tuple[ScanSplit, ...] = attrs.field(repr=False)
    _format: TableFormat | None = attrs.field(repr=False)

    @property
    def files(self) -> int:
        """How many, or parts of such."""
        return len(self._splits)

    @property
    def tiny(self) -> bool:
        """Whether its footers say that each task may as well read it itself, in a few ms.

        Not where its files are in a store: many tasks would ask that for the same bytes.
        """
        if self.size.rows is None or self.size.files_bytes is None:
            return False
        few = self.size.rows <= _TINY_ROWS and self.size.files_bytes <= _TINY_BYTES
        near = not any("://" in split.path for split in self._splits)
        return few and near and self.files <= _TINY_FILES

    @property
    def numbered(self) -> bool:
        """Whether its rows are found again by their numbers in files: those of Parquet, where they
        are not so many that one task had better not be told them all."""
        is_parquet = self._format is None or self._format.name == "parquet"
        return is_parquet and self.files <= _MOST_NUMBERED

    @property
    def rows(self) -> int:
        """As many as there are, or about: then of values of a usual size."""
        if self.size.rows is not None:
            return self.size.rows
        return (self.size.files_bytes or 0) // (_VALUE_BYTES * len(self.columns))

    def stored_bytes(self, columns: Sequence[str] | None) -> int:
        """What columns of these names take in its files; None: all.

        Raises StorageError: a file that has gone meanwhile.
        """
        return stored_bytes(self._scan.table, self._splits, self._format, columns)

    def ranges(self, column: RangeColumn) -> tuple[GroupRange, ...]:
        """Between which values of a column each row group lies that has some. Of none, where they
        are so many that to look at them takes longer than it is worth.

        Raises StorageError: a file that has gone meanwhile.
        """
        if sum(each.row_group_end - each.row_group_start for each in self._splits) > _MOST_GROUPS:
            return ()
        return tuple(group_ranges(self._scan.table, self._splits, column, self._format))


class Facts:
    """Looks at files once for as long as they stay the same."""

    def __init__(self) -> None:
        self._reader = duckdb.connect(config={"memory_limit": "256MB", "threads": 1})
        self._columns: OrderedDict[Version, NamesAndTypes] = OrderedDict()
        self._samples: OrderedDict[Version, pa.Table] = OrderedDict()

    def close(self) -> None:
        self._reader.close()

    def of(self, catalog: Catalog, name: str) -> TableFacts:
        """
        Raises:
            StorageError: a table without files, or with one that cannot be read; names it.
            PlanningError: files that have no columns in common, or others than the catalog says.
            UnsupportedPlan: as `of_inline`.
        """
        bound = whole_table(catalog, name)
        (splits,) = bound.shares
        # A format has the schema of its table, where that declares one.
        schema = catalog.table(name).schema if bound.format is None else None
        scan = ParquetScan(name, schema, None, ())
        key = version_of(catalog, name, bound)
        size = Estimate(bound.rows, sum(split.bytes for split in splits))
        columns = self._columns_of(key, scan, splits, bound.format)
        return TableFacts(columns, size, key, scan, splits, bound.format)

    def of_inline(self, table: InlineTable, file: InlineFile) -> TableFacts:
        """Of a table whose rows are here; good for as long as its file is open.

        Raises:
            PlanningError: it cannot be read, or has no columns.
            UnsupportedPlan: it has columns whose names differ in case at most.
        """
        key = ("inline", hashlib.blake2b(table.parquet, digest_size=32).digest())
        scan, splits = ParquetScan(table.name, None, None, ()), (file.split,)
        try:
            columns = self._columns_of(key, scan, splits, None)
        except StorageError as error:
            raise unreadable(table, file, error) from error
        size = Estimate(file.footer.rows, len(table.parquet))
        return TableFacts(columns, size, key, scan, splits, None)

    def _columns_of(
        self,
        key: Version,
        scan: ParquetScan,
        splits: Sequence[ScanSplit],
        format_: TableFormat | None,
    ) -> NamesAndTypes:
        columns = self._columns.get(key)
        if columns is None:
            source = self._source(scan, splits, format_)
            if not source.columns:
                raise PlanningError(f"table {scan.table!r} has no columns")
            names = [one.name for one in source.columns]
            if twins := _twins(names):
                raise UnsupportedPlan(
                    f"SQL: table {scan.table!r} has the columns {', '.join(map(repr, twins))}, "
                    f"which SQL cannot tell apart: the case of a name does not count there; right "
                    f"would be names that differ"
                )
            columns = tuple(zip(names, source.own, strict=True))
        _keep(self._columns, key, columns)
        return columns

    def samples(self, tables: Mapping[str, TableFacts]) -> Mapping[str, pa.Table]:
        """Of each table its first rows, as many as its part of all rows is: for the order of joins.

        Of none, where there is nothing to join; and of none that cannot be read: whoever runs the
        query says why.
        """
        if len(tables) < 2:
            return {}
        most = max(1, *(table.rows for table in tables.values()))
        part = min(1 / _SAMPLED, _LARGEST_SAMPLE / most)
        found = {}
        for name, table in tables.items():
            rows = max(_SMALLEST_SAMPLE, round(table.rows * part))
            key = (rows, *table.version)
            sample = self._samples.get(key)
            if sample is None:
                try:
                    sample = self._first(table, rows)
                except (FfqError, duckdb.Error):
                    continue
            _keep(self._samples, key, sample)
            found[name] = sample
        return found

    def _first(self, table: TableFacts, rows: int) -> pa.Table:
        source = self._source(table._scan, table._splits, table._format)
        sample = self._reader.sql(f"{source.sql} LIMIT {rows}").to_arrow_table()
        return sample.rename_columns([name for name, _ in table.columns])

    def _source(
        self, scan: ParquetScan, splits: Sequence[ScanSplit], format_: TableFormat | None
    ) -> Source:
        try:
            return scan_source(scan, splits, self._reader, format_)
        except (PlanningError, UnsupportedPlan):
            if scan.schema is not None:
                raise
            # Of one column, which a query need not use: where it does, its scan says what is wrong.
            unused = attrs.evolve(scan, projection=())
            return scan_source(unused, splits, self._reader, format_)


def _twins(names: Sequence[str]) -> list[str]:
    """Those that are the same as another one, but for the case of their ASCII letters."""
    seen = Counter(name.encode().lower() for name in names)
    return [name for name in names if seen[name.encode().lower()] > 1]


def _keep(kept: OrderedDict[Version, T], key: Version, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
