"""The scans of a query, bound to the coordinator's catalog."""

from __future__ import annotations

from ffq.catalog.catalog import Catalog
from ffq.catalog.settings import DEFAULT_SCANS, ScanSettings
from ffq.messages import StageScan
from ffq.plan.conditions import scan_conditions
from ffq.plan.stages import StageGraph


def plan_scans(
    graph: StageGraph, catalog: Catalog, settings: ScanSettings = DEFAULT_SCANS
) -> tuple[StageScan, ...]:
    """Every ParquetScan leaf whose table the catalog knows, in order of stage and leaf.

    A table it does not know is left to the workers' catalogs (R1). A leaf that every task reads
    whole has one share.

    Raises:
        StorageError: a known table's file is missing or is not Parquet.
    """
    scans = []
    for stage in graph.stages:
        conditions = scan_conditions(stage.fragment)
        for scan, condition in zip(stage.scans, conditions, strict=True):
            if scan.table in catalog:
                most = settings.max_shares if scan.split else 1
                found = catalog.scan_shares(scan.table, settings.target_bytes, most, condition)
                scans.append(
                    StageScan(stage.stage_id, scan.leaf, scan.table, found.shares, found.format)
                )
    return tuple(scans)
