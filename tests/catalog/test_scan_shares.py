"""Files of a table, and row groups divided into shares: nothing lost, nothing read twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.catalog import Catalog, ScanSettings, Table, plan_scans, shares
from ffq.catalog.partitions import TableFile
from ffq.catalog.shares import Division, stored_bytes
from ffq.errors import StorageError
from ffq.messages import ScanSplit
from ffq.plan.model import Broadcast, HashJoin, ParquetScan
from ffq.plan.stages import cut
from ffq.plan.terms import BuildSide, JoinStrategy, JoinType

Shares = tuple[tuple[ScanSplit, ...], ...]


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


@pytest.mark.parametrize("location", ["", "**/*.parquet", "*/*.parquet"])
def test_a_folder_that_gives_a_column_is_not_hidden_and_others_are(
    tmp_path: Path, location: str
) -> None:
    shown = [write(tmp_path / f"_day={day}" / "part.parquet", 1) for day in (1, 2)]
    for hidden in ("_tmp/a.parquet", ".day=1/a.parquet", "_day=1/_part.parquet"):
        write(tmp_path / hidden, 1)
    assert catalog_of(str(tmp_path / location)).files("t") == tuple(shown)


def test_what_a_glob_names_outright_is_not_hidden(tmp_path: Path) -> None:
    named = write(tmp_path / "a" / "_raw" / "part.parquet", 1)
    write(tmp_path / "a" / "_raw" / "_part.parquet", 1)
    write(tmp_path / "a" / "_raw" / "_tmp" / "part.parquet", 1)
    assert catalog_of(str(tmp_path / "*" / "_raw" / "**" / "*.parquet")).files("t") == (named,)
    assert catalog_of(str(tmp_path / "*" / "_raw" / "_part.parquet")).files("t") == (
        str(tmp_path / "a" / "_raw" / "_part.parquet"),
    )


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
    (whole,) = catalog.scan_shares("t", 2**60, 8).shares
    assert [(s.path, s.row_group_start, s.row_group_end) for s in whole] == [
        (first, 0, 10),
        (second, 0, 4),
    ]
    per_group = catalog.scan_shares("t", 1, 1000).shares
    assert len(per_group) == 14
    assert [group for share in per_group for group in groups_of(share)] == groups_of(whole)
    assert sum(s.bytes for share in per_group for s in share) == sum(s.bytes for s in whole)
    assert len(catalog.scan_shares("t", 1, 5).shares) == 5


def test_every_split_says_which_file_it_was_planned_on(tmp_path: Path) -> None:
    """Workers refuse another file there. Also those without rows, which tell a type alone."""
    write(tmp_path / "a.parquet", 35)
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), tmp_path / "b.parquet")
    write(tmp_path / "c.parquet", 0)
    planned = plan_scans(
        cut(ParquetScan("t", None, None, ())), catalog_of(str(tmp_path)), ScanSettings(1)
    )
    splits = [split for scan in planned for share in scan.shares for split in share]
    assert len(splits) > 4
    assert any(split.empty for split in splits)
    for split in splits:
        status = os.stat(split.path)
        assert (split.file_bytes, split.modified_us) == (status.st_size, status.st_mtime_ns // 1000)


def test_an_empty_table_is_one_empty_range(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", 0)
    write(tmp_path / "b.parquet", 0)
    ((empty,),) = catalog_of(str(tmp_path)).scan_shares("t", 1, 8).shares
    assert empty.empty
    assert (empty.path, empty.file_bytes) == (first, Path(first).stat().st_size)


def test_empty_row_groups_are_left_out_and_end_a_range(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    full, empty = pa.table({"n": [1]}), pa.table({"n": pa.array([], pa.int64())})
    with pq.ParquetWriter(path, full.schema) as writer:
        for table in (full, empty, full):
            writer.write_table(table)
    assert pq.read_metadata(path).num_row_groups == 3
    ((one, two),) = catalog_of(str(path)).scan_shares("t", 2**60, 8).shares
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
    assert len(catalog.scan_shares("t", 1, 100).shares) == 1
    write(tmp_path / "t.parquet", 30)
    assert len(catalog.scan_shares("t", 1, 100).shares) == 3


def of_sizes(
    patch: pytest.MonkeyPatch, sizes: Sequence[int], target: int, most: int, slots: int = 1
) -> Shares:
    """Shares of one file whose row groups have these sizes."""
    file = shares._File(ScanSplit("f", 0, 0), tuple(sizes), (), None)
    patch.setattr(shares, "_look_at", lambda _table, _path, _partition: file)
    patch.setattr(shares, "stored_sizes", lambda _table, _split, _columns: tuple(sizes))
    return shares.make_shares("t", [TableFile("f")], Division(target, most, slots)).shares


def test_a_scan_has_a_share_for_each_slot_and_more_only_where_these_were_too_large(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.parquet", 200)
    graph = cut(ParquetScan("t", None, None, ()))

    def shares_of(target: int, slots: int) -> int:
        settings = ScanSettings(target_bytes=target)
        (scan,) = plan_scans(graph, catalog_of(str(tmp_path)), settings, slots)
        assert groups_of([split for share in scan.shares for split in share]) == [
            (str(tmp_path / "a.parquet"), group) for group in range(20)
        ]
        return len(scan.shares)

    assert [shares_of(2**60, slots) for slots in (1, 2, 3, 20, 21)] == [1, 2, 3, 20, 20]
    stored = stored_bytes(
        "t", catalog_of(str(tmp_path)).scan_shares("t", 2**60, 1).shares[0], None, None
    )
    assert [shares_of(stored // 5 + 1, slots) for slots in (1, 2, 3)] == [5, 6, 6], "in rounds"
    assert shares_of(1, 2) == 20


def test_shares_are_equal_in_what_the_columns_that_are_read_take(tmp_path: Path) -> None:
    """The other column, of which the first row groups have much, decides nothing."""
    path = tmp_path / "t.parquet"
    noise = random.Random(1)
    texts = [noise.randbytes(2_000).hex() if row < 40 else "" for row in range(80)]
    numbers = [noise.getrandbits(60) for _ in range(80)]
    table = pa.table({"t": texts, "s": [{"n": each} for each in numbers]})
    pq.write_table(table, path, row_group_size=10)

    def groups(*columns: str) -> list[int]:
        scan = ParquetScan("t", None, columns or None, ())
        (bound,) = plan_scans(cut(scan), catalog_of(str(path)), slots=2)
        return [len(groups_of(share)) for share in bound.shares]

    assert groups("s") == [4, 4]
    assert groups("t") == groups() == [2, 6]
    assert groups("nowhere") == [4, 4], "rows that are only counted"
    found = pq.read_metadata(path)
    sizes = [
        sum(found.row_group(at).column(leaf).total_compressed_size for at in range(8))
        for leaf in range(2)
    ]
    ((split,),) = catalog_of(str(path)).scan_shares("t", 2**60, 1).shares
    assert stored_bytes("t", [split], None, ["t"]) == sizes[0]
    assert stored_bytes("t", [split], None, ["s"]) == sizes[1]
    assert stored_bytes("t", [split], None, None) == sum(sizes)
    part = attrs.evolve(split, row_group_start=2)
    assert 0 < stored_bytes("t", [part], None, ["s"]) < sizes[1]


def test_a_large_row_group_has_a_share_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = of_sizes(monkeypatch, [1, 9, 1], 4, 3)
    assert [[split.bytes for split in share] for share in made] == [[1], [9], [1]]


@given(
    sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=40),
    target=st.integers(1, 5000),
    most=st.integers(1, 20),
    slots=st.integers(1, 12),
)
def test_shares_keep_order_bounds_and_balance(
    sizes: list[int], target: int, most: int, slots: int
) -> None:
    """Nothing is lost or read twice, whatever the slots: concatenated, shares are the groups."""
    with pytest.MonkeyPatch.context() as patch:
        made = of_sizes(patch, sizes, target, most, slots)
        assert made == of_sizes(patch, sizes, target, most, slots)
    assert 1 <= len(made) <= most
    assert [g for share in made for g in groups_of(share)] == [("f", i) for i in range(len(sizes))]
    rounds = next(n for n in range(1, 50_000) if sum(sizes) <= n * slots * target)
    wanted = min(rounds * slots, most, len(sizes))
    assert len(made) <= wanted
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


def test_files_that_differ_are_shown_to_every_task(tmp_path: Path) -> None:
    """Each share begins with empty ranges of files that show every name and type there is."""
    paths = []
    for at, column in enumerate(
        (pa.array([1], pa.int32()), pa.array([2], pa.int64()), pa.array([3], pa.int32()))
    ):
        paths.append(str(tmp_path / f"{at}.parquet"))
        pq.write_table(pa.table({"n": column}), paths[-1])
    for target, count in ((1, 3), (2**60, 1)):
        made = catalog_of(str(tmp_path)).scan_shares("t", target, 8).shares
        assert len(made) == count
        for share in made:
            assert [(split.path, split.empty) for split in share[:2]] == [
                (paths[0], True),
                (paths[1], True),
            ]
        assert [path for share in made for path, _ in groups_of(share)] == paths


def partitioned(tmp_path: Path, *folders: str, column: str = "n") -> None:
    for at, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(pa.table({column: [at]}), tmp_path / folder / "f.parquet")


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        (["2023", "-4"], "Int64", ["2023", "-4"]),
        (["2023", "007"], "Utf8", ["2023", "007"]),
        (["2023-01-31", "__HIVE_DEFAULT_PARTITION__"], "Date32", ["2023-01-31", None]),
        (["2023-02-31", "2023-01-01"], "Utf8", ["2023-02-31", "2023-01-01"]),
        (["a%2Fb", ""], "Utf8", ["a/b", ""]),
        (["%FF", "%FE", "%C3%A9"], "Utf8", ["%FF", "%FE", "é"]),
        (["__HIVE_DEFAULT_PARTITION__"], "Utf8", [None]),
        (["99999999999999999999"], "Utf8", ["99999999999999999999"]),
    ],
)
@pytest.mark.parametrize("where", ["", "*", "**/*.parquet", "files"])
def test_folders_of_a_path_are_columns_of_one_type(
    tmp_path: Path, where: str, values: list[str], kind: str, read: list[str | None]
) -> None:
    partitioned(tmp_path, *(f"y={value}/plain" for value in values))
    files = sorted(str(path) for path in tmp_path.rglob("*.parquet"))
    locations = files if where == "files" else [str(tmp_path / where)]
    if where == "*":
        locations = [str(tmp_path / "*" / "plain" / "f.parquet")]
    made = catalog_of(*locations).scan_shares("t", 1, 8).shares
    found = [split.partition for share in made for split in share]
    assert {(each.name, each.data_type) for values in found for each in values} == {("y", kind)}
    assert sorted(map(str, (values[0].value for values in found))) == sorted(map(str, read))


def test_what_a_location_itself_says_adds_no_column(tmp_path: Path) -> None:
    partitioned(tmp_path, "run=5/y=1")
    (share,) = catalog_of(str(tmp_path / "run=5")).scan_shares("t", 1, 8).shares
    assert [each.name for each in share[0].partition] == ["y"]


@pytest.mark.parametrize("folders", [("y=1", "z=1"), ("y=1", "."), ("y=1/y=2",)])
def test_folders_that_do_not_agree_are_an_error_that_names_the_file(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    for folder in folders:
        write(tmp_path / folder / "f.parquet", 1)
    with pytest.raises(StorageError, match="table 't': the (path|folders of) '.*f.parquet'"):
        catalog_of(str(tmp_path)).scan_shares("t", 1, 8)


def test_a_scan_of_parquet_is_divided_without_duckdb(tmp_path: Path) -> None:
    """A coordinator that has it in memory for nothing is 40 MiB larger."""
    write(tmp_path / "a.parquet", 40)
    code = (
        "import sys; from ffq.catalog import Catalog, Table; "
        "found = Catalog.of([Table('t', (sys.argv[1],))]).scan_shares('t', 1, 4); "
        "print(len(found.shares), 'duckdb' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "False"]
