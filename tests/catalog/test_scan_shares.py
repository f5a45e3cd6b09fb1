"""Files of a table, and row groups divided into shares: nothing lost, nothing read twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.catalog import Catalog, ScanSettings, Table, plan_scans, shares
from ffq.errors import StorageError
from ffq.messages import ScanSplit
from ffq.plan.model import (
    Broadcast,
    BuildSide,
    HashJoin,
    JoinStrategy,
    JoinType,
    ParquetScan,
)
from ffq.plan.stages import cut


def write(path: Path, rows: int, rows_per_group: int = 10) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = pa.array(range(rows), pa.int64())
    pq.write_table(pa.table({"n": values}), path, row_group_size=rows_per_group)
    return str(path)


def catalog_of(*locations: str) -> Catalog:
    return Catalog.of([Table("t", locations)])


def groups_of(splits: Sequence[ScanSplit]) -> list[tuple[str, int]]:
    return [
        (split.path, group)
        for split in splits
        for group in range(split.row_group_start, split.row_group_end)
    ]


def test_a_folder_is_its_parquet_files_at_any_depth_sorted(tmp_path: Path) -> None:
    expected = [write(tmp_path / name, 1) for name in ("a.parquet", "b/c.parquet", "d.parquet")]
    for hidden in ("_SUCCESS.parquet", ".x.parquet", "_tmp/e.parquet", "b/.f/g.parquet"):
        write(tmp_path / hidden, 1)
    (tmp_path / "notes.txt").write_text("no table")
    assert catalog_of(str(tmp_path)).files("t") == tuple(expected)


def test_globs_sort_and_overlapping_locations_give_each_file_once(tmp_path: Path) -> None:
    one, two = write(tmp_path / "p-1.parquet", 1), write(tmp_path / "p-2.parquet", 1)
    write(tmp_path / "_p-3.parquet", 1)
    catalog = catalog_of(two, str(tmp_path / "*.parquet"))
    assert catalog.files("t") == (two, one)


def test_a_file_named_outright_is_taken_whatever_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "_odd[1].data", 1)
    assert catalog_of(path).files("t") == (path,)


def test_missing_locations_are_storage_errors_naming_table_and_place(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for location, complaint in (
        ("nowhere.parquet", "no such file or folder"),
        ("empty", "no \\*.parquet file in"),
        ("*.parquet", "no file matches"),
        ("nul\0", "no such file or folder"),
    ):
        with pytest.raises(StorageError, match=f"table 't': {complaint}"):
            catalog_of(str(tmp_path / location)).files("t")


def test_shares_hold_every_row_group_once_and_merge_neighbours(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", 95)
    second = write(tmp_path / "b.parquet", 35)
    catalog = catalog_of(str(tmp_path))
    (whole,) = catalog.scan_shares("t", 2**60, 8)
    assert [(s.path, s.row_group_start, s.row_group_end) for s in whole] == [
        (first, 0, 10),
        (second, 0, 4),
    ]
    per_group = catalog.scan_shares("t", 1, 1000)
    assert len(per_group) == 14
    assert [group for share in per_group for group in groups_of(share)] == groups_of(whole)
    assert sum(s.bytes for share in per_group for s in share) == sum(s.bytes for s in whole)
    assert len(catalog.scan_shares("t", 1, 5)) == 5


def test_an_empty_table_is_one_empty_range(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", 0)
    write(tmp_path / "b.parquet", 0)
    assert catalog_of(str(tmp_path)).scan_shares("t", 1, 8) == ((ScanSplit(first, 0, 0, 0),),)


def test_empty_row_groups_are_left_out_and_end_a_range(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    full, empty = pa.table({"n": [1]}), pa.table({"n": pa.array([], pa.int64())})
    with pq.ParquetWriter(path, full.schema) as writer:
        for table in (full, empty, full):
            writer.write_table(table)
    assert pq.read_metadata(path).num_row_groups == 3
    ((one, two),) = catalog_of(str(path)).scan_shares("t", 2**60, 8)
    assert groups_of([one, two]) == [(str(path), 0), (str(path), 2)]


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    for content in (b"", b"PAR1", b"not a table at all, but long enough to hold a footer"):
        path = tmp_path / "t.parquet"
        path.write_bytes(content)
        with pytest.raises(StorageError) as caught:
            catalog_of(str(path)).scan_shares("t", 1, 1)
        assert f"table 't': {path} is not readable Parquet" in caught.value.message
        assert "\n" not in caught.value.message


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", 10)
    catalog = catalog_of(path)
    assert len(catalog.scan_shares("t", 1, 100)) == 1
    write(tmp_path / "t.parquet", 30)
    assert len(catalog.scan_shares("t", 1, 100)) == 3


def test_a_large_row_group_has_a_share_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [shares._RowGroup("f", index, size) for index, size in enumerate([1, 9, 1])]
    monkeypatch.setattr(shares, "_row_groups", lambda _table, _path: groups)
    made = shares.make_shares("t", ["f"], 4, 3)
    assert [[split.bytes for split in share] for share in made] == [[1], [9], [1]]


@given(
    sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=40),
    target=st.integers(1, 5000),
    most=st.integers(1, 20),
)
def test_shares_keep_order_bounds_and_balance(sizes: list[int], target: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        groups = [shares._RowGroup("f", index, size) for index, size in enumerate(sizes)]
        patch.setattr(shares, "_row_groups", lambda _table, _path: groups)
        made = shares.make_shares("t", ["f"], target, most)
    assert 1 <= len(made) <= most
    assert [g for share in made for g in groups_of(share)] == [("f", i) for i in range(len(sizes))]
    wanted = min(-(-sum(sizes) // target), most, len(sizes))
    fair = sum(sizes) / wanted
    for share in made:
        assert sum(split.bytes for split in share) <= fair + max(sizes)


def test_plan_scans_divides_split_leaves_and_leaves_unknown_tables_to_workers(
    tmp_path: Path,
) -> None:
    write(tmp_path / "big.parquet", 40)
    write(tmp_path / "small.parquet", 20)
    catalog = Catalog.of(
        [Table(name, (str(tmp_path / f"{name}.parquet"),)) for name in ("big", "small")]
    )

    def joined(right: str) -> HashJoin:
        return HashJoin(
            left=ParquetScan("big", None, None, ()),
            right=Broadcast(ParquetScan(right, None, None, ())),
            on=(("n", "n"),),
            join_type=JoinType.INNER,
            strategy_hint=JoinStrategy.AUTO,
            build_side=BuildSide.RIGHT,
        )

    settings = ScanSettings(target_bytes=1, max_shares=3)
    big, small = plan_scans(cut(joined("small")), catalog, settings)
    assert (big.stage_id, big.leaf, big.table, len(big.shares)) == (0, 0, "big", 3)
    assert (small.leaf, small.table, len(small.shares)) == (1, "small", 1)
    assert [scan.table for scan in plan_scans(cut(joined("nobody")), catalog, settings)] == ["big"]
