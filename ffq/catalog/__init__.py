"""Tables and their files: the catalog file, file listing, and shares of a scan.

Names are imported when they are first used: settings name what divides a scan, without DuckDB.
"""

from typing import TYPE_CHECKING

from ffq.catalog.settings import ScanSettings
from ffq.lazily import importing

if TYPE_CHECKING:
    from ffq.catalog.catalog import BoundScan, Catalog, Table, check_table, describe_table
    from ffq.catalog.describe import TableDescription
    from ffq.catalog.scans import columns_read, plan_scans

__getattr__ = importing(
    __name__,
    {
        "BoundScan": "ffq.catalog.catalog",
        "Catalog": "ffq.catalog.catalog",
        "Table": "ffq.catalog.catalog",
        "TableDescription": "ffq.catalog.describe",
        "columns_read": "ffq.catalog.scans",
        "check_table": "ffq.catalog.catalog",
        "describe_table": "ffq.catalog.catalog",
        "plan_scans": "ffq.catalog.scans",
    },
)

__all__ = [
    "BoundScan",
    "Catalog",
    "ScanSettings",
    "Table",
    "TableDescription",
    "check_table",
    "columns_read",
    "describe_table",
    "plan_scans",
]
