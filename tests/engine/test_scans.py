"""Real Parquet files in their many writings, whole and by row groups."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.scans import scan_source
from ffq.errors import (
    DataError,
    FfqError,
    FileChanged,
    PlanningError,
    StorageError,
    UnsupportedPlan,
)
from ffq.messages import PartitionValue, ScanSplit, file_version
from ffq.plan.model import (
    HashPartitioning,
    ParquetScan,
    PartialHashAggregate,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
)
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    BinaryOp,
    BinaryOperator,
    Column,
    ColumnPath,
    DataType,
    Expr,
    Field,
    Literal,
    LiteralType,
    Schema,
)
from tests.engine.runner import LocalRunner, TableSink, integer, run_fragment, text, whole_files


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


def test_ranges_of_a_file_are_one_read(hundred: Path) -> None:
    """Whatever lies between them: a read of each file costs, and its row groups are left out."""
    path = str(hundred)
    node = ParquetScan("t", None, None, ())
    with duckdb.connect() as connection:
        groups = [ScanSplit(path, at, at + 1) for at in (0, 2, 3)]
        found = scan_source(node, groups, connection)
        assert found.sql.count("read_parquet") == 1
        ids = [row[0] for row in connection.sql(found.sql).fetchall()]
    assert sorted(ids) == [*range(30), *range(60, 100)]


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
    pq.write_table(pa.table({"a": ["x"], "b": [1]}), paths[1])
    with pytest.raises(PlanningError, match="column 'a': the files have BIGINT, VARCHAR; they do"):
        scan(engine, whole_files(paths))
    assert scan(engine, whole_files(paths), ("b",)).num_rows == 2


def test_whole_numbers_beside_doubles_are_doubles_or_refused(
    engine: Engine, tmp_path: Path
) -> None:
    """As DuckDB has it; but of 2^53 + 1 it makes another number."""
    paths = [tmp_path / f"{at}.parquet" for at in range(2)]
    numbers = [1, -(2**53), 2**60, None]
    pq.write_table(pa.table({"a": pa.array(numbers, pa.int64())}), paths[0])
    pq.write_table(pa.table({"a": [1.5, float("nan")]}), paths[1])
    found = scan(engine, whole_files(paths))["a"]
    assert found.type == pa.float64()
    assert set(map(str, found.to_pylist())) == {
        *map(str, [1.0, -(2.0**53), 2.0**60, None, 1.5]),
        "nan",
    }
    pq.write_table(pa.table({"a": pa.array([2**53 + 1], pa.int64())}), paths[0])
    with pytest.raises(DataError, match="'t', column 'a': it is BIGINT .* hold 9007199254740993"):
        scan(engine, whole_files(paths))


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
    with pytest.raises(PlanningError, match="the files have DOUBLE; the schema declares BIGINT"):
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


# --- what a file may be, and what its rows mean -----------------------------------------------

NAN = float("nan")
FLOATS = [1.0, NAN, None, 2.0, 7.0, NAN, 8.0, -0.0]


@pytest.fixture
def floats(tmp_path: Path) -> Path:
    path = tmp_path / "floats.parquet"
    rows = {"i": range(8), "v": FLOATS, "s": [{"v": value} for value in FLOATS]}
    pq.write_table(pa.table(rows), path, row_group_size=4)
    return path


@pytest.mark.parametrize("column", [Column("v"), ColumnPath("s.v")])
@pytest.mark.parametrize(
    ("op", "bound", "rows"),
    [
        (BinaryOperator.GT, 5.0, {1, 4, 5, 6}),
        (BinaryOperator.GT, 8.0, {1, 5}),
        (BinaryOperator.LT_EQ, 1.0, {0, 7}),
        (BinaryOperator.NOT_EQ, 1.0, {1, 3, 4, 5, 6, 7}),
        (BinaryOperator.EQ, NAN, {1, 5}),
        (BinaryOperator.LT, NAN, {0, 3, 4, 6, 7}),
        (BinaryOperator.EQ, 0.0, {7}),
    ],
)
def test_nan_is_on_top_and_equals_itself_whatever_statistics_say(
    engine: Engine, floats: Path, column: Expr, op: BinaryOperator, bound: float, rows: set[int]
) -> None:
    predicate = BinaryOp(column, op, Literal(LiteralType.FLOAT64, bound))
    groups = [ScanSplit(str(floats), at, at + 1) for at in range(2)]
    for splits in (whole_files([floats]), groups):
        assert set(scan(engine, splits, ("i",), (predicate,))["i"].to_pylist()) == rows


@pytest.mark.parametrize("function", [AggregateFunction.MIN, AggregateFunction.MAX])
def test_the_extremes_of_floats_do_not_come_from_statistics(
    engine: Engine, floats: Path, function: AggregateFunction
) -> None:
    node = PartialHashAggregate(
        (), ((AggregateExpr(function, Column("v")), "x"),), ParquetScan("t", None, ("v",), ())
    )
    (found,) = run_fragment(engine, FragmentSpec(node, {0: whole_files([floats])}))["x"].to_pylist()
    assert str(found) == ("0.0" if function is AggregateFunction.MIN else "nan")


def version_of(path: Path) -> ScanSplit:
    (split,) = whole_files([path])
    size, modified_us = file_version(path.stat())
    return attrs.evolve(split, file_bytes=size, modified_us=modified_us)


def test_another_file_than_was_planned_on_is_an_error_that_names_it(
    engine: Engine, hundred: Path
) -> None:
    split = version_of(hundred)
    assert scan(engine, [split]).num_rows == 100
    before = hundred.stat()
    os.utime(hundred, ns=(before.st_atime_ns, before.st_mtime_ns + 5_000_000))
    with pytest.raises(FileChanged, match=r"hundred\.parquet' is another one than the query was"):
        scan(engine, [split])
    hundred.write_bytes(hundred.read_bytes() + b" ")
    os.utime(hundred, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FileChanged):  # which is why it is no Parquet any more
        scan(engine, [split])


def test_what_a_changed_file_does_to_a_scan_is_told_as_the_change(
    engine: Engine, hundred: Path
) -> None:
    """It was what it was to be when its scan was planned, and is not when it is read."""
    split = version_of(hundred)
    spec = FragmentSpec(ParquetScan("t", None, None, ()), {0: [split]})

    def open_and_damage(schema: pa.Schema) -> TableSink:
        hundred.write_bytes(b"no Parquet")
        raise StorageError("the sink's own")

    with pytest.raises(FileChanged, match=r"hundred\.parquet' is another one"):
        engine.run(spec, open_and_damage, CancelToken())


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_is_written_anew_under_its_scan_is_an_error(
    engine: Engine, hundred: Path, gone: bool
) -> None:
    split = version_of(hundred)
    spec = FragmentSpec(ParquetScan("t", None, None, ()), {0: [split]})
    sink = TableSink()

    def open_and_replace(schema: pa.Schema) -> TableSink:
        hundred.unlink()
        if not gone:
            pq.write_table(pa.table({"id": [1], "name": ["a"]}), hundred)
        return sink.open(schema)

    if gone:  # what was open has been read to its end
        engine.run(spec, open_and_replace, CancelToken())
        assert sink.table().num_rows == 100
    else:
        with pytest.raises(FileChanged):
            engine.run(spec, open_and_replace, CancelToken())


def test_columns_of_one_name_are_each_given_out(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    columns = [pa.array([1, 2]), pa.array([30, 40]), pa.array([5, 6])]
    pq.write_table(pa.Table.from_arrays(columns, names=["x", "x", "x_1"]), path)
    found = scan(engine, whole_files([path]))
    assert found.schema.names == ["x", "x", "x_1"]
    assert [column.to_pylist() for column in found.columns] == [[1, 2], [30, 40], [5, 6]]
    assert scan(engine, whole_files([path]), ("x_1",))["x_1"].to_pylist() == [5, 6]
    with pytest.raises(PlanningError, match="column 'x' is ambiguous"):
        scan(engine, whole_files([path]), ("x",))


@pytest.mark.parametrize("name", ["file_row_number", "FILE_ROW_NUMBER", "filename", "rowid"])
def test_a_column_may_be_called_what_the_engine_calls_its_own(
    engine: Engine, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "odd.parquet"
    day = [dt.datetime(2024, 1, at + 1) for at in range(9)]
    rows = {name: range(9), "v": range(9), "day": pa.array(day, pa.timestamp("ms"))}
    pq.write_table(pa.table(rows), path, row_group_size=3)
    parts = [scan(engine, [ScanSplit(str(path), at, at + 1)]) for at in range(3)]
    whole = scan(engine, whole_files([path])).sort_by("v")
    assert pa.concat_tables(parts).sort_by("v").to_pylist() == whole.to_pylist()
    assert whole[name].to_pylist() == list(range(9))
    assert scan(engine, [ScanSplit(str(path), 1, 1)]).num_rows == 0


@pytest.mark.parametrize(
    ("column", "declared_kind"),
    [
        (pa.array([5, 7], pa.duration("s")), "Int64"),
        (pa.array([5, 7], pa.duration("ns")), "Int64"),
        (pa.array([1.5, 2.5], pa.float16()), None),
        (pa.array([Decimal("1.5"), Decimal("2.5")], pa.decimal256(30, 2)), None),
        (pa.array([dt.time(1), dt.time(2)], pa.time32("ms")), None),
        (pa.array([b"a" * 16, b"b" * 16], pa.uuid()), None),
    ],
    ids=lambda each: str(getattr(each, "type", each)),
)
def test_row_groups_have_the_types_of_the_whole_file_whatever_its_columns_are_called(
    engine: Engine, tmp_path: Path, column: pa.Array, declared_kind: str | None
) -> None:
    path = tmp_path / "odd.parquet"
    rows = {"file_row_number": [8, 9], "x": column}
    pq.write_table(pa.table(rows), path, row_group_size=1)
    schema = declared(x=DataType(declared_kind)) if declared_kind else None
    whole = scan(engine, whole_files([path]), ("x",), schema=schema)
    groups = [
        scan(engine, [ScanSplit(str(path), at, at + 1)], ("x",), schema=schema) for at in (0, 1)
    ]
    assert sorted(pa.concat_tables(groups)["x"].to_pylist()) == sorted(whole["x"].to_pylist())
    unused = scan(engine, [ScanSplit(str(path), 1, 2)], ("file_row_number",))
    assert unused["file_row_number"].to_pylist() == [9]


@pytest.mark.parametrize("name", ["file_row_number", "y"])
def test_text_that_is_no_utf8_is_an_error_in_any_row_group(
    engine: Engine, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "odd.parquet"
    broken = pa.array([b"a", b"a\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({name: [1, 2], "x": broken}), path, row_group_size=1)
    for splits in (whole_files([path]), [ScanSplit(str(path), 1, 2)]):
        with pytest.raises(StorageError, match=r"odd\.parquet.* is not valid UTF8"):
            scan(engine, splits, ("x",))
    assert sorted(scan(engine, whole_files([path]), (name,))[name].to_pylist()) == [1, 2]


def test_folders_add_columns_after_those_of_the_file(engine: Engine, hundred: Path) -> None:
    def split(year: str | None, day: str) -> ScanSplit:
        values = (
            PartitionValue("year", "Int64", year),
            PartitionValue("id", "Utf8", "the file's own column wins"),
            PartitionValue("day", "Date32", day),
        )
        return ScanSplit(str(hundred), 0, 1, partition=values)

    splits = [split("2024", "2024-02-29"), split(None, "2023-01-01")]
    found = scan(engine, splits)
    assert found.schema.names == ["id", "name", "year", "day"]
    assert set(zip(found["year"].to_pylist(), found["day"].to_pylist(), strict=True)) == {
        (2024, dt.date(2024, 2, 29)),
        (None, dt.date(2023, 1, 1)),
    }
    assert set(found["id"].to_pylist()) == set(range(30))
    assert scan(engine, splits, ("id",), (greater("year", 2000),)).num_rows == 30


@pytest.mark.parametrize(
    "kind",
    [
        pa.duration("s"),
        pa.decimal256(50, 2),
        pa.list_(pa.duration("ms")),
        pa.struct([("a", pa.list_(pa.decimal256(39, 0)))]),
    ],
)
def test_a_type_that_would_be_changed_is_refused_by_name(
    engine: Engine, tmp_path: Path, kind: pa.DataType
) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"x": pa.nulls(1, kind), "y": [1]}), path)
    with pytest.raises(
        UnsupportedPlan, match=r"table 't', column 'x': .* Arrow type .*: a (dur|dec)"
    ):
        scan(engine, whole_files([path]))
    assert scan(engine, whole_files([path]), ("y",))["y"].to_pylist() == [1]


def test_a_duration_that_is_declared_a_number_is_read_as_one(
    engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"x": pa.array([90], pa.duration("s"))}), path)
    schema = Schema((Field("x", DataType("Int64"), True),))
    assert scan(engine, whole_files([path]), schema=schema)["x"].to_pylist() == [90]


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (pa.int32(), pa.uint32(), "int64"),
        (pa.int8(), pa.uint8(), "int16"),
        (pa.decimal128(9, 2), pa.decimal128(9, 4), "decimal128(11, 4)"),
        (pa.decimal128(9, 2), pa.int32(), "decimal128(12, 2)"),
        (pa.null(), pa.int32(), "int32"),
        (pa.null(), pa.string(), "string"),
        (pa.int32(), pa.float64(), "double"),
        (pa.float32(), pa.float64(), "double"),
        (pa.int64(), pa.uint64(), "decimal128(20, 0)"),
        (pa.int64(), pa.float64(), "double"),
        (pa.int64(), pa.float32(), None),
        (pa.decimal128(38, 0), pa.decimal128(38, 2), None),
        (pa.int32(), pa.string(), None),
    ],
)
def test_files_of_two_types_take_the_narrowest_that_holds_both(
    engine: Engine, tmp_path: Path, one: pa.DataType, other: pa.DataType, common: str | None
) -> None:
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for path, kind in zip(paths, (one, other), strict=True):
        pq.write_table(pa.table({"x": pa.nulls(1, kind)}), path)
    for order in (paths, paths[::-1]):
        if common is None:
            with pytest.raises(PlanningError, match="column 'x': the files have"):
                scan(engine, whole_files(order))
        else:
            assert str(scan(engine, whole_files(order)).schema.field("x").type) == common
