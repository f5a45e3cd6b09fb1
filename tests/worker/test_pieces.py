"""A share in pieces: each row in one of them, whatever else the stage reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table, plan_scans
from ffq.messages import ScanInput, ScanSplit, TableFormat
from ffq.plan import model as m
from ffq.plan.bound import Call, Conversion, Match, Place, SqlType
from ffq.plan.stages import StagePlan, cut
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    Bound,
    BuildSide,
    Column,
    JoinStrategy,
    JoinType,
)
from ffq.worker.pieces import _PART_OF_MEMORY, pieces_of

GROUPS = 6
ROWS = 50
"""Of a row group."""
COUNT = ((AggregateExpr(AggregateFunction.COUNT, Column("v")), "n"),)
SCAN = m.ParquetScan("t", None, ("v",), ())
OTHER = m.ParquetScan("u", None, ("v",), ())
NOBODY_WAITS = m.SinglePartitioning()


def exchanged(below: m.Node) -> StagePlan:
    """The stage that gives out `below`."""
    return cut(m.ShuffleRead(m.ShuffleWrite(below, NOBODY_WAITS), NOBODY_WAITS)).stages[1]


def counted(below: m.Node) -> StagePlan:
    return exchanged(m.PartialHashAggregate((), COUNT, below))


@pytest.fixture
def tables(tmp_path: Path) -> Catalog:
    """`t` of two files, `u` of one; v differs in each row of a table."""
    for name, files in (("t", 2), ("u", 1)):
        (tmp_path / name).mkdir()
        for at in range(files):
            rows = range(at * GROUPS * ROWS, (at + 1) * GROUPS * ROWS)
            pq.write_table(
                pa.table({"k": [0] * len(rows), "v": list(rows)}),
                tmp_path / name / f"{at}.parquet",
                row_group_size=ROWS,
                compression="none",
                use_dictionary=False,
            )
    return Catalog.of([Table(name, (str(tmp_path / name),)) for name in ("t", "u")])


def inputs(stage: StagePlan, catalog: Catalog) -> dict[int, ScanInput]:
    """All of each table, as the one task of the stage has it."""
    found = {}
    for source in stage.scans:
        (splits,) = catalog.scan_shares(source.table, 1 << 40, 1).shares
        found[source.leaf] = ScanInput(source.leaf, source.table, splits)
    return found


def groups(splits: Sequence[ScanSplit]) -> list[tuple[str, int]]:
    return [
        (Path(split.path).name, at)
        for split in splits
        for at in range(split.row_group_start, split.row_group_end)
    ]


def memory_for(stored_groups: float) -> int:
    """So that a piece has so many row groups: of v, which is 8 bytes wide."""
    return round(stored_groups * ROWS * 8 * _PART_OF_MEMORY * 1.2)


def test_each_row_group_is_in_one_piece_and_pieces_fit(tables: Catalog) -> None:
    stage = counted(SCAN)
    pieces = list(pieces_of(stage, inputs(stage, tables), memory_for(4)))
    found = [groups(piece[0].splits) for piece in pieces]
    assert [len(each) for each in found] == [4, 4, 4]
    every = [(f"{file}.parquet", at) for file in (0, 1) for at in range(GROUPS)]
    assert [group for piece in found for group in piece] == every
    assert [len(piece[0].splits) for piece in pieces] == [1, 2, 1], "neighbours are one range"
    single = list(pieces_of(stage, inputs(stage, tables), 1))
    assert [len(groups(piece[0].splits)) for piece in single] == [1] * 2 * GROUPS


def test_what_memory_holds_is_one_piece_of_the_splits_as_they_came(tables: Catalog) -> None:
    stage = counted(SCAN)
    whole = inputs(stage, tables)
    assert list(pieces_of(stage, whole, 1 << 30)) == [whole]


def test_what_each_task_reads_whole_each_piece_has(tables: Catalog) -> None:
    on = (("v", "v"),)
    joined = m.HashJoin(
        SCAN, m.Broadcast(OTHER), on, JoinType.INNER, JoinStrategy.BROADCAST_RIGHT, BuildSide.RIGHT
    )
    stage = counted(joined)
    whole = inputs(stage, tables)
    pieces = list(pieces_of(stage, whole, memory_for(4)))
    assert len(pieces) == 3
    assert all(piece[1] == whole[1] for piece in pieces)


def test_what_follows_a_share_is_cut_beside_its_pieces(tables: Catalog) -> None:
    """Both have a part of the memory: u has the values of the first half of t."""
    a, b = (
        m.Project(((Bound(Conversion(Place(0), SqlType("BIGINT"))), "c0"),), scan)
        for scan in (SCAN, OTHER)
    )
    same = Call("=", (Place(0), Place(1)), SqlType("BOOLEAN"))
    stage = counted(m.RangeJoin(a, b, Match.INNER, same, (("c0", "c0"),), right_leads=False))
    pieces = list(pieces_of(stage, inputs(stage, tables), memory_for(6)))
    found = [[groups(piece[leaf].splits) for leaf in (0, 1)] for piece in pieces]
    assert [group for led, _ in found for group in led] == groups(inputs(stage, tables)[0].splits)
    assert [len(led) for led, _ in found] == [4, 4, 4]
    assert [[at for _, at in beside] for _, beside in found] == [[0, 1, 2, 3], [4, 5], []]
    assert all(piece[1].splits for piece in pieces), "its schema is shown"


def test_of_two_tables_that_are_shared_out_a_piece_has_rows_of_one(tables: Catalog) -> None:
    stage = counted(m.UnionAll(SCAN, OTHER))
    pieces = list(pieces_of(stage, inputs(stage, tables), memory_for(6)))
    found = [[len(groups(piece[leaf].splits)) for leaf in (0, 1)] for piece in pieces]
    assert found == [[6, 0], [6, 0], [0, 6]]
    assert all(piece[leaf].splits for piece in pieces for leaf in (0, 1)), "its schema is shown"
    (first, *_) = plan_scans(cut(SCAN), tables, slots=2)
    part = {0: ScanInput(0, "t", first.shares[0]), 1: ScanInput(1, "u", (_empty(tables),))}
    half = list(pieces_of(stage, part, memory_for(3)))
    assert [[len(groups(piece[leaf].splits)) for leaf in (0, 1)] for piece in half] == [[3, 0]] * 2


def _empty(tables: Catalog) -> ScanSplit:
    ((split,),) = tables.scan_shares("u", 1 << 40, 1).shares
    return split.without_rows()


@pytest.mark.parametrize(
    "stage",
    [
        exchanged(m.Filter(Column("v"), SCAN)),
        counted(m.Custom("op", (), SCAN)),
        cut(m.FinalHashAggregate((), COUNT, m.PartialHashAggregate((), COUNT, SCAN))).stages[0],
    ],
    ids=["rows stream", "an operator is called once", "a task must see all rows"],
)
def test_what_gains_nothing_or_may_not_be_cut_is_whole(tables: Catalog, stage: StagePlan) -> None:
    whole = inputs(stage, tables)
    assert list(pieces_of(stage, whole, 1)) == [whole]


def test_ranges_that_show_columns_are_in_each_piece(tables: Catalog) -> None:
    stage = counted(SCAN)
    (scan,) = inputs(stage, tables).values()
    shown = _empty(tables)
    pieces = pieces_of(stage, {0: ScanInput(0, "t", (shown, *scan.splits))}, memory_for(6))
    assert [piece[0].splits[0] for piece in pieces] == [shown, shown]


def test_files_that_are_not_cut_are_pieces_as_they_are(tables: Catalog) -> None:
    """Text, and files of which nobody knows what they were when they were planned on."""
    stage = counted(SCAN)
    (scan,) = inputs(stage, tables).values()
    text = ScanInput(0, "t", scan.splits, TableFormat("csv", (), ()))
    assert [piece[0].splits for piece in pieces_of(stage, {0: text}, 1)] == [
        (split,) for split in scan.splits
    ]
    unknown = tuple(ScanSplit(each.path, 0, GROUPS, each.bytes) for each in scan.splits)
    pieces = pieces_of(stage, {0: ScanInput(0, "t", unknown)}, 1)
    assert [piece[0].splits for piece in pieces] == [(split,) for split in unknown]


def test_a_file_that_cannot_be_read_is_left_to_who_says_what_is_wrong(tables: Catalog) -> None:
    stage = counted(SCAN)
    (scan,) = inputs(stage, tables).values()
    gone = tuple(
        ScanSplit(f"{each.path}.gone", 0, GROUPS, each.bytes, 1, 1) for each in scan.splits
    )
    pieces = pieces_of(stage, {0: ScanInput(0, "t", gone)}, 1)
    assert [piece[0].splits for piece in pieces] == [(split,) for split in gone]
