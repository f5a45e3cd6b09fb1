"""The scans of a query, bound to the coordinator's catalog."""

from __future__ import annotations

from ffq.catalog.catalog import Catalog
from ffq.catalog.settings import DEFAULT_SCANS, ScanSettings
from ffq.messages import StageScan
from ffq.plan.conditions import scan_conditions
from ffq.plan.model import ParquetScan
from ffq.plan.stages import StageGraph
from ffq.plan.walk import stage_scans


def plan_scans(
    graph: StageGraph,
    catalog: Catalog,
    settings: ScanSettings = DEFAULT_SCANS,
    slots: int = 1,
) -> tuple[StageScan, ...]:
    """Every ParquetScan leaf whose table the catalog knows, in order of stage and leaf.

    A table it does not know is left to the workers' catalogs (R1). A leaf that every task reads
    whole has one share; others one for each slot, and more where these were too large.

    Args:
        slots: tasks that can run at a time.

    Raises:
        StorageError: a known table's file is missing or is not Parquet.
    """
    scans = []
    for stage in graph.stages:
        conditions = scan_conditions(stage.fragment)
        nodes = stage_scans(stage.fragment)
        for scan, node, condition in zip(stage.scans, nodes, conditions, strict=True):
            if scan.table in catalog:
                found = catalog.scan_shares(
                    scan.table,
                    settings.target_bytes,
                    settings.max_shares if scan.split else 1,
                    condition,
                    columns=columns_read(node),
                    slots=slots,
                )
                scans.append(
                    StageScan(stage.stage_id, scan.leaf, scan.table, found.shares, found.format)
                )
    return tuple(scans)


def columns_read(scan: ParquetScan) -> tuple[str, ...] | None:
    """Names of a scan's columns, for what they take in files; None: all that there are."""
    if scan.projection is None or scan.filters:
        return None
    return tuple(each if isinstance(each, str) else each.name for each in scan.projection)
