"""What a table's columns are, before any of it is read, and Parquet files that differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table, TableDescription, describe_table
from ffq.engine import Engine, FragmentSpec
from ffq.errors import PlanningError, StorageError, UnsupportedPlan
from ffq.plan.model import ParquetScan
from ffq.plan.terms import DataType, Field, Schema
from ffq.sql.facts import Facts
from tests.engine.runner import run_fragment

UNITED = {"union_by_name": "true"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def write(folder: Path, name: str, **columns: Any) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_a_table_is_described_from_its_footers(tmp_path: Path) -> None:
    write(tmp_path, "k=1/a.parquet", n=pa.array([1, 2], pa.int32()), u=pa.array([b"1" * 16] * 2))
    write(tmp_path, "k=2/a.parquet", n=pa.array([1], pa.uint32()), u=pa.array([b"1" * 16]))
    found = describe_table(Table("t", (str(tmp_path),)))
    assert found == TableDescription(
        (("n", "BIGINT"), ("u", "BLOB"), ("k", "BIGINT")), 3, found.bytes
    )
    assert found.bytes > 0


def test_united_files_have_all_columns_in_every_task(engine: Engine, tmp_path: Path) -> None:
    one = write(tmp_path, "1.parquet", a=pa.array([1], pa.int32()), b=["x"])
    other = write(tmp_path, "2.parquet", c=[1.5], a=pa.array([2**40], pa.int64()))
    table = Table("t", (one, other), options=UNITED)
    columns = (("a", "BIGINT"), ("b", "VARCHAR"), ("c", "DOUBLE"))
    assert describe_table(table).columns == columns
    found = Catalog.of([table]).scan_shares("t", 1, 10)
    assert found.format is not None
    rows = []
    for share in found.shares:
        spec = FragmentSpec(ParquetScan("t", None, None, ()), {0: share}, formats={0: found.format})
        got = run_fragment(engine, spec)
        assert [str(kind) for kind in got.schema.types] == ["int64", "string", "double"]
        rows += got.to_pylist()
    assert rows == [{"a": 1, "b": "x", "c": None}, {"a": 2**40, "b": None, "c": 1.5}]


def test_files_that_differ_are_both_named(tmp_path: Path) -> None:
    one = write(tmp_path, "1.parquet", a=[1], b=["x"])
    other = write(tmp_path, "2.parquet", a=[1], c=["x"])
    with pytest.raises(PlanningError) as caught:
        describe_table(Table("t", (one, other)))
    for part in ("table 't'", "no column 'b'", one, other, "union_by_name"):
        assert part in caught.value.message


@pytest.mark.parametrize("options", [{}, UNITED])
def test_types_without_one_in_common_are_named_with_their_files(
    tmp_path: Path, options: dict[str, str]
) -> None:
    one = write(tmp_path, "1.parquet", a=[1])
    other = write(tmp_path, "2.parquet", a=["x"])
    with pytest.raises((PlanningError, StorageError)) as caught:
        describe_table(Table("t", (one, other), options=options))
    for part in ("table 't', column 'a'", "BIGINT", "VARCHAR", one, other):
        assert part in caught.value.message


def test_of_several_types_those_without_one_in_common_are_named(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "1.parquet", a=pa.array([1], pa.int64())),
        write(tmp_path, "2.parquet", a=pa.array([1], pa.int32())),
        write(tmp_path, "3.parquet", a=["x"]),
    ]
    with pytest.raises(StorageError) as caught:
        describe_table(Table("t", tuple(files), options=UNITED))
    first, second, third = files
    assert f"it is BIGINT in {first} and VARCHAR in {third}, which" in caught.value.message
    assert second not in caught.value.message


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (
            {"a": "Utf8"},
            r"column 'a': the files have BIGINT; the schema declares VARCHAR: .*1\.parq",
        ),
        ({"a": "Int64", "z": "Utf8"}, r"a file has no column 'z'; it has a, b: .*1\.parquet"),
    ],
)
def test_a_schema_that_the_files_have_not_is_an_error(
    tmp_path: Path, declared: dict[str, str], says: str
) -> None:
    """Where the table is described, and where a query over it is planned, whatever it uses."""
    file = write(tmp_path, "1.parquet", a=[1], b=["x"])
    fields = tuple(Field(name, DataType(kind)) for name, kind in declared.items())
    table = Table("t", (file,), Schema(fields))
    facts = Facts()
    for look in (describe_table, lambda table: facts.of(Catalog.of([table]), "t")):
        with pytest.raises(PlanningError, match=f"table 't'.*{says}"):
            look(table)
    facts.close()


def test_a_schema_says_which_columns_there_are(tmp_path: Path) -> None:
    file = write(tmp_path, "1.parquet", a=pa.array([1], pa.int32()), b=["x"])
    table = Table("t", (file,), Schema((Field("a", DataType("Int64")),)))
    assert describe_table(table).columns == (("a", "BIGINT"),)


def test_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "1.parquet", a=list(range(10_000)))
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(StorageError, match=f"table 't': {path} is not readable Parquet"):
        describe_table(Table("t", (path,)))


def test_a_column_without_a_name_beside_what_the_engine_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    columns = [pa.array([1]), pa.array([2])]
    pq.write_table(pa.Table.from_arrays(columns, names=["c1", ""]), path)
    with pytest.raises(UnsupportedPlan, match="a column without a name, .*calls 'c1'"):
        describe_table(Table("t", (str(path),)))
    pq.write_table(pa.Table.from_arrays(columns, names=["", "c1"]), path)
    assert len(describe_table(Table("t", (str(path),))).columns) == 2
