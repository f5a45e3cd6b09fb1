"""The scans of a query, bound to the coordinator's catalog."""

from __future__ import annotations

import attrs
from attrs import validators

from ffq.catalog.catalog import Catalog
from ffq.messages import StageScan
from ffq.plan.conditions import scan_conditions
from ffq.plan.stages import StageGraph


@attrs.frozen
class ScanSettings:
    """How finely a scan is divided.

    Attributes:
        target_bytes: size of a share, encoded bytes before compression.
        max_shares: most shares, and so tasks, of one scan.
    """

    target_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=validators.ge(1))
    max_shares: int = attrs.field(default=128, validator=validators.ge(1))


def plan_scans(
    graph: StageGraph, catalog: Catalog, settings: ScanSettings = ScanSettings()
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
