"""Tables and their Parquet files: the catalog file, file listing, and shares of a scan."""

from ffq.catalog.catalog import Catalog, Table
from ffq.catalog.scans import ScanSettings, plan_scans

__all__ = ["Catalog", "ScanSettings", "Table", "plan_scans"]
