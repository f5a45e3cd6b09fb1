"""The scans of a query, bound to the coordinator's catalog."""

from __future__ import annotations

import attrs

from ffq.catalog.catalog import Catalog
from ffq.catalog.ranges import shares_beside
from ffq.catalog.settings import DEFAULT_SCANS, ScanSettings
from ffq.messages import ScanInput, StageScan
from ffq.plan.conditions import scan_conditions
from ffq.plan.model import ParquetScan
from ffq.plan.ranges import Following
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
    whole has one share; one that follows another as many as that one; others one for each slot,
    and more where these were too large.

    Args:
        slots: tasks that can run at a time.

    Raises:
        StorageError: a known table's file is missing or is not Parquet.
    """
    scans: list[StageScan] = []
    for stage in graph.stages:
        conditions = scan_conditions(stage.fragment)
        nodes = stage_scans(stage.fragment)
        orders = {each.follows.leads: each.follows.by for each in stage.scans if each.follows}
        bound: dict[int, StageScan] = {}
        for scan, node, condition in zip(stage.scans, nodes, conditions, strict=True):
            if scan.table in catalog:
                found = catalog.scan_shares(
                    scan.table,
                    settings.target_bytes,
                    settings.max_shares if scan.split else 1,
                    condition,
                    columns=columns_read(node),
                    slots=slots,
                    order=orders.get(scan.leaf),
                )
                bound[scan.leaf] = StageScan(
                    stage.stage_id, scan.leaf, scan.table, found.shares, found.format
                )
        for source in stage.scans:
            follows = source.follows
            if follows is not None and {source.leaf, follows.leads} <= bound.keys():
                bound[source.leaf] = _beside(bound[source.leaf], follows, bound[follows.leads])
        scans += bound.values()
    return tuple(scans)


def _beside(scan: StageScan, follows: Following, leader: StageScan) -> StageScan:
    """A scan that is read whole, with a share beside each of another one's before that."""
    (splits,) = scan.shares
    whole = ScanInput(scan.leaf, scan.table, splits, scan.format)
    led = [ScanInput(leader.leaf, leader.table, share, leader.format) for share in leader.shares]
    return attrs.evolve(scan, shares=(*shares_beside(whole, led, follows), splits))


def columns_read(scan: ParquetScan) -> tuple[str, ...] | None:
    """Names of a scan's columns, for what they take in files; None: all that there are."""
    if scan.projection is None or scan.filters:
        return None
    return tuple(each if isinstance(each, str) else each.name for each in scan.projection)
