"""Tables and their files: the catalog file, file listing, and shares of a scan."""

from ffq.catalog.catalog import BoundScan, Catalog, Table, check_table, describe_table
from ffq.catalog.describe import TableDescription
from ffq.catalog.scans import ScanSettings, plan_scans

__all__ = [
    "BoundScan",
    "Catalog",
    "ScanSettings",
    "Table",
    "TableDescription",
    "check_table",
    "describe_table",
    "plan_scans",
]
