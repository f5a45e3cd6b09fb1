"""Real Parquet files in their many writings, whole and by row groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import Engine, FragmentSpec
from ffq.errors import FfqError, PlanningError, StorageError, UnsupportedPlan
from ffq.messages import ScanSplit
from ffq.plan.model import (
    AggregateExpr,
    AggregateFunction,
    BinaryOp,
    BinaryOperator,
    Column,
    DataType,
    Expr,
    Field,
    HashPartitioning,
    ParquetScan,
    PartialHashAggregate,
    Schema,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
)
from tests.engine.runner import LocalRunner, integer, run_fragment, text, whole_files


def scan(
    engine: Engine,
    splits: Sequence[ScanSplit],
    projection: tuple[str, ...] | None = None,
    filters: tuple[Expr, ...] = (),
    schema: Schema | None = None,
) -> pa.Table:
    node = ParquetScan("t", schema, projection, filters)
    return run_fragment(engine, FragmentSpec(node, {0: splits}))


def greater(column: str, value: int) -> Expr:
    return BinaryOp(Column(column), BinaryOperator.GT, integer(value))


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    """100 rows in row groups of 30, 30, 30 and 10."""
    path = tmp_path / "hundred.parquet"
    rows = {"id": list(range(100)), "name": [f"n{at}" for at in range(100)]}
    pq.write_table(pa.table(rows), path, row_group_size=30)
    return path


@pytest.mark.parametrize(
    ("first", "last", "ids"),
    [
        (0, 4, range(100)),
        (0, 1, range(30)),
        (1, 3, range(30, 90)),
        (3, 4, range(90, 100)),
        (2, 2, range(0)),
        (0, 0, range(0)),
        (0, 99, range(100)),
        (7, 9, range(0)),
    ],
)
def test_row_groups_of_a_file(
    engine: Engine, hundred: Path, first: int, last: int, ids: range
) -> None:
    table = scan(engine, [ScanSplit(str(hundred), first, last)])
    assert sorted(table["id"].to_pylist()) == list(ids)
    assert table.schema.names == ["id", "name"]


def test_several_splits_of_several_files(engine: Engine, hundred: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": [1000], "name": ["x"]}), other)
    path = str(hundred)
    splits = [ScanSplit(path, 3, 4), ScanSplit(str(other), 0, 1), ScanSplit(path, 0, 1)]
    table = scan(engine, splits)
    assert sorted(table["id"].to_pylist()) == [*range(30), *range(90, 100), 1000]


def test_filters_see_columns_that_are_not_given_out(engine: Engine, hundred: Path) -> None:
    filters = (greater("t.id", 40), BinaryOp(Column("name"), BinaryOperator.LT, text("n5")))
    table = scan(engine, [ScanSplit(str(hundred), 1, 3)], ("name",), filters)
    assert table.schema.names == ["name"]
    assert sorted(table["name"].to_pylist()) == [f"n{at}" for at in range(41, 50)]


def test_projection_orders_and_repeats(engine: Engine, hundred: Path) -> None:
    table = scan(engine, whole_files([hundred]), ("name", "id", "name"))
    assert table.schema.names == ["name", "id", "name"]


def test_no_columns_still_count(engine: Engine, hundred: Path) -> None:
    node = ParquetScan("t", None, (), (greater("id", 9),))
    assert run_fragment(engine, FragmentSpec(node, {0: whole_files([hundred])})).num_rows == 90
    count = PartialHashAggregate(
        (), ((AggregateExpr(AggregateFunction.COUNT, integer(1)), "n"),), node
    )
    table = run_fragment(engine, FragmentSpec(count, {0: whole_files([hundred])}))
    assert table.to_pydict() == {"n": [90]}


def test_types_of_the_many_writings(engine: Engine, tmp_path: Path) -> None:
    table = pa.table(
        {
            "view": pa.array(["a", None], pa.string_view()),
            "large": pa.array(["a", None], pa.large_string()),
            "dictionary": pa.array(["a", None]).dictionary_encode(),
            "money": pa.array([Decimal("1.10"), None], pa.decimal128(15, 2)),
            "huge": pa.array([Decimal("1.10"), None], pa.decimal128(38, 10)),
            "day": pa.array([dt.date(2020, 1, 1), None]),
            "day_text": pa.array(["2020-01-01", None]),
            "small": pa.array([1, None], pa.int8()),
            "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
            "moment": pa.array([dt.datetime(2020, 1, 1), None], pa.timestamp("ns")),
            "bytes": pa.array([b"\x00\xff", None], pa.binary_view()),
            "list": pa.array([[1, 2], None]),
        }
    )
    path = tmp_path / "types.parquet"
    pq.write_table(table, path)
    result = scan(engine, whole_files([path]))
    assert result.to_pydict() == table.to_pydict()
    assert [str(kind) for kind in result.schema.types] == [
        "string",
        "string",
        "string",
        "decimal128(15, 2)",
        "decimal128(38, 10)",
        "date32[day]",
        "string",
        "int8",
        "uint64",
        "timestamp[ns]",
        "binary",
        "list<l: int64>",
    ]


def test_columns_in_another_order_between_files(engine: Engine, tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.parquet" for at in range(3)]
    pq.write_table(pa.table({"a": [1], "b": [10]}), paths[0])
    pq.write_table(pa.table({"b": [20], "a": [2]}), paths[1])
    pq.write_table(pa.table({"b": [30, 31], "a": [3, 4]}), paths[2], row_group_size=1)
    table = scan(engine, whole_files(paths))
    assert table.schema.names == ["a", "b"]
    assert sorted(table.to_pydict()["a"]) == [1, 2, 3, 4]
    assert {row["a"]: row["b"] for row in table.to_pylist()} == {1: 10, 2: 20, 3: 30, 4: 31}
    part = scan(engine, [ScanSplit(str(paths[2]), 1, 2), ScanSplit(str(paths[0]), 0, 1)])
    assert {row["a"]: row["b"] for row in part.to_pylist()} == {1: 10, 4: 31}


def test_columns_that_only_some_files_have(engine: Engine, tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.parquet" for at in range(2)]
    pq.write_table(pa.table({"a": [1]}), paths[0])
    pq.write_table(pa.table({"more": [0], "a": [2]}), paths[1])
    for order in (paths, paths[::-1]):
        with pytest.raises(PlanningError, match="a file has no column 'more'; it has a"):
            scan(engine, whole_files(order))
        assert scan(engine, whole_files(order), ("a",)).schema.names == ["a"]


def test_files_of_narrower_types_are_widened(engine: Engine, tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.parquet" for at in range(2)]
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "d": ["2020-01-01"]}), paths[0])
    days = pa.array([dt.date(2020, 1, 2)])
    pq.write_table(pa.table({"a": pa.array([2], pa.int64()), "d": days}), paths[1])
    for order in (paths, paths[::-1]):
        table = scan(engine, whole_files(order))
        assert table.schema.field("a").type == pa.int64()
        assert sorted(map(str, table["d"].to_pylist())) == ["2020-01-01", "2020-01-02"]


def test_tasks_that_read_files_of_other_widths_shuffle_together(
    engine: Engine, tmp_path: Path
) -> None:
    narrow, wide = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"k": pa.array([1, 2], pa.int32()), "v": [1, 2]}), narrow)
    pq.write_table(pa.table({"v": [3, 4], "k": pa.array([1, 2**40], pa.int64())}), wide)
    by_key = HashPartitioning(("k",), 4)
    plan = ShuffleRead(ShuffleWrite(ParquetScan("t", None, None, ()), by_key), by_key)
    # The root of one task sees all partitions.
    gather = SinglePartitioning()
    plan = ShuffleRead(ShuffleWrite(plan, gather), gather)
    runner = LocalRunner(engine, tmp_path / "shuffle", {"t": [narrow, wide]}, scan_tasks=2)
    result = runner.run(plan).select(["k", "v"])
    assert result.schema.field("k").type == pa.int64()
    rows = sorted(zip(result["k"].to_pylist(), result["v"].to_pylist(), strict=True))
    assert rows == [(1, 1), (1, 3), (2, 2), (2**40, 4)]


def test_files_that_do_not_agree_on_a_type(engine: Engine, tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.parquet" for at in range(2)]
    pq.write_table(pa.table({"a": [1], "b": [1]}), paths[0])
    pq.write_table(pa.table({"a": [1.5], "b": [1]}), paths[1])
    with pytest.raises(PlanningError, match="column 'a': the files have BIGINT, DOUBLE; they do"):
        scan(engine, whole_files(paths))
    assert scan(engine, whole_files(paths), ("b",)).num_rows == 2


def declared(**columns: DataType) -> Schema:
    return Schema(tuple(Field(name, kind) for name, kind in columns.items()))


def test_a_declared_schema_orders_and_types_the_columns(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"x": [0], "day": ["2020-01-01"], "n": pa.array([1], pa.int32())}), path
    )
    schema = declared(n=DataType("Int64"), day=DataType("Date32"))
    table = scan(engine, whole_files([path]), schema=schema)
    assert table.schema.names == ["n", "day"]
    assert table.to_pylist() == [{"n": 1, "day": dt.date(2020, 1, 1)}]
    assert table.schema.field("n").type == pa.int64()


def test_a_declared_type_that_would_lose_values_is_refused(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"price": [1.5], "n": [1]}), path)
    schema = declared(price=DataType("Int64"), n=DataType("Int64"))
    with pytest.raises(PlanningError, match="the files have DOUBLE; the plan declares BIGINT"):
        scan(engine, whole_files([path]), schema=schema)
    assert scan(engine, whole_files([path]), ("n",), schema=schema)["n"].to_pylist() == [1]


def test_empty_row_groups_and_files_without_any(engine: Engine, tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("s", pa.string_view())])
    holed, empty = tmp_path / "holed.parquet", tmp_path / "empty.parquet"
    with pq.ParquetWriter(holed, schema) as writer:
        for values in ([1], [], [2, 3], []):
            rows = [values, [str(value) for value in values]]
            writer.write_table(pa.table(rows, schema=schema))
    with pq.ParquetWriter(empty, schema):
        pass
    assert pq.read_metadata(empty).num_row_groups == 0
    splits = [*whole_files([holed]), ScanSplit(str(empty), 0, 0)]
    assert sorted(scan(engine, splits)["a"].to_pylist()) == [1, 2, 3]
    groups = pq.read_metadata(holed).num_row_groups
    parts = [
        value
        for at in range(groups)
        for value in scan(engine, [ScanSplit(str(holed), at, at + 1)])["a"].to_pylist()
    ]
    assert parts == [1, 2, 3]
    only = scan(engine, [ScanSplit(str(empty), 0, 0)])
    assert (only.num_rows, only.schema.names) == (0, ["a", "s"])


def test_column_names_that_sql_would_trip_over(engine: Engine, tmp_path: Path) -> None:
    names = ['a"b', "select", "Straße", "x; DROP TABLE y", "A", "a", "file_name"]
    path = tmp_path / "it's; a file.parquet"
    pq.write_table(pa.table({name: [at] for at, name in enumerate(names)}), path)
    assert scan(engine, whole_files([path])).to_pylist() == [
        {name: at for at, name in enumerate(names)}
    ]
    assert scan(engine, whole_files([path]), ("a", "A")).to_pylist() == [{"a": 5, "A": 4}]


def test_partition_folders_are_no_columns(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "year=2020"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1]}), folder / "x.parquet")
    assert scan(engine, whole_files([folder / "x.parquet"])).schema.names == ["a"]


def corrupt(path: Path) -> None:
    """Break the data pages; the footer stays."""
    pq.write_table(pa.table({"a": [f"value {at}" for at in range(10_000)]}), path)
    data = bytearray(path.read_bytes())
    data[100:4000] = b"\xff" * 3900
    path.write_bytes(bytes(data))


def test_files_that_cannot_be_read(engine: Engine, tmp_path: Path) -> None:
    missing, other, broken = (tmp_path / name for name in ("none", "text", "broken"))
    other.write_text("this is no Parquet file, whatever it is called")
    corrupt(broken)
    for path in (missing, other, tmp_path):
        with pytest.raises(StorageError, match=f"cannot read '{path}' as Parquet"):
            scan(engine, [ScanSplit(str(path), 0, 1)])
    with pytest.raises(StorageError):
        scan(engine, whole_files([broken]))


@pytest.mark.parametrize("split", ["a*.parquet", "a?.parquet", "[a].parquet"])
def test_patterns_are_not_expanded(engine: Engine, tmp_path: Path, split: str) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "aa.parquet")
    with pytest.raises(UnsupportedPlan, match="pattern character"):
        scan(engine, [ScanSplit(str(tmp_path / split), 0, 1)])


def test_columns_that_do_not_exist(engine: Engine, hundred: Path) -> None:
    splits = whole_files([hundred])
    cases: list[tuple[tuple[str, ...] | None, tuple[Expr, ...]]] = [
        (("id", "nope"), ()),
        (None, (greater("nope", 1),)),
        (("id",), (greater("nope", 1),)),
    ]
    for projection, filters in cases:
        with pytest.raises(PlanningError, match=r"no column 'nope'.* has id, name"):
            scan(engine, splits, projection, filters)
    with pytest.raises(PlanningError, match="a file has no column 'nope'; it has id, name"):
        scan(engine, splits, schema=declared(nope=DataType("Int64")))


def test_a_scan_without_any_split(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="table 't': no file of it was given"):
        scan(engine, [])


def test_errors_are_one_line(engine: Engine, hundred: Path) -> None:
    with pytest.raises(FfqError) as raised:
        scan(
            engine,
            whole_files([hundred]),
            filters=(BinaryOp(Column("name"), BinaryOperator.PLUS, Column("id")),),
        )
    assert "\n" not in raised.value.message
