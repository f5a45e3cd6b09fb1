"""Every type a result can have, as text, as JSON and in Parquet; nothing is changed in silence."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.cli.output.csv import write_csv
from ffq.cli.output.jsonrows import write_json
from ffq.cli.output.parquet import write_parquet
from ffq.display.cells import distinct_names, json_column, text_column
from ffq.display.results import result_grid
from ffq.display.times import interval_text
from ffq.errors import InvalidRequest

NAN, INF = float("nan"), float("inf")
INTERVAL = pa.month_day_nano_interval()
ONE = pa.MonthDayNano([14, -2, 3_500_000_000])


def parquet_bytes(table: pa.Table) -> bytes:
    out = io.BytesIO()
    write_parquet(table.to_reader(), out)
    return out.getvalue()


def whole(
    values: list[int | None], kind: pa.DataType, width: pa.DataType | None = None
) -> pa.Array:
    """Numbers as dates or times of that type, also where Python has none."""
    return pa.array(values, width or pa.int64()).cast(kind)


STRUCT = pa.StructArray.from_arrays(
    [pa.array([1, 2, 3]), pa.array([NAN, 0.5, None]), pa.array(["a", "b", "c"])],
    names=["x", "y", "x"],
    mask=pa.array([False, True, False]),
)
MAP = pa.array([[(1, "a"), (2, None)], None, []], pa.map_(pa.int64(), pa.string()))
DENSE = pa.UnionArray.from_dense(
    pa.array([0, 1, 0, 1], pa.int8()),
    pa.array([0, 0, 1, 1], pa.int32()),
    [pa.array([7, None]), pa.array(["x", "y"])],
)
SPARSE = pa.UnionArray.from_sparse(
    pa.array([0, 1, 0], pa.int8()), [pa.array([1, 2, 3]), pa.array(["x", "y", "z"])]
)
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3]), pa.array([1, 2]))
NESTED_CODES = pa.DictionaryArray.from_arrays(
    pa.array([0, 1, None]), pa.array([{"a": 1}, {"a": 2}])
)
UUIDS = pa.array([uuid.UUID(int=5).bytes, None], pa.uuid())

CASES: list[tuple[pa.Array, list[Any]]] = [
    (pa.nulls(2), [None, None]),
    (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
    (pa.array([1.5, NAN], pa.float16()), [1.5, "nan"]),
    (pa.array([0.1, -INF, -0.0], pa.float32()), [0.1, "-inf", -0.0]),
    (pa.array([Decimal("100")], pa.decimal128(10, -2)), ["100"]),
    (pa.array([Decimal("-1.5")], pa.decimal256(76, 5)), ["-1.50000"]),
    (whole([1, -2], pa.duration("ns")), [1, -2]),
    (
        whole([-1, 253_402_300_800_000_000, None], pa.timestamp("us")),
        ["1969-12-31T23:59:59.999999", "10000-01-01T00:00:00.000000", None],
    ),
    (whole([2**63 - 1, -(2**63) + 1], pa.timestamp("us")), ["infinity", "-infinity"]),
    (
        whole([2**63 - 2, -(2**63)], pa.timestamp("us")),
        ["294247-01-10T04:00:54.775806", "-290308-12-21T19:59:05.224192"],
    ),
    (
        whole([2**63 - 1, 1], pa.timestamp("ns")),
        ["2262-04-11T23:47:16.854775807", "1970-01-01T00:00:00.000000001"],
    ),
    (
        whole([-1, 2**60], pa.timestamp("us", "Europe/Berlin")),
        ["1969-12-31T23:59:59.999999Z", "38504-08-17T21:30:06.846976Z"],
    ),
    (
        whole([2_932_897, -719_529, 2**31 - 1, -(2**31) + 1], pa.date32(), pa.int32()),
        ["10000-01-01", "-0001-12-31", "infinity", "-infinity"],
    ),
    (whole([2**31 - 2, -(2**31)], pa.date32(), pa.int32()), ["5881580-07-10", "-5877641-06-23"]),
    (
        whole([1, 86_400 * 10**9, None], pa.time64("ns")),
        ["00:00:00.000000001", "24:00:00.000000000", None],
    ),
    (pa.array([ONE, None], INTERVAL), ["P1Y2M-2DT3.5S", None]),
    (pa.array([[ONE, None], None, []], pa.list_(INTERVAL)), [["P1Y2M-2DT3.5S", None], None, []]),
    (pa.array([[1.0, NAN], None, []]), [[1.0, "nan"], None, []]),
    (
        pa.array([[1.0, NAN], None, [INF]], pa.list_view(pa.float64())),
        [[1.0, "nan"], None, ["inf"]],
    ),
    (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)), [[1, 2], None, [3, 4]]),
    (pa.array([[b"1"]], pa.large_list_view(pa.binary_view())), [["31"]]),
    (
        pa.array([[1]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ns"))),
        [["1970-01-01T00:00:00.000000001"]],
    ),
    (STRUCT, [{"x": 1, "y": "nan", "x_1": "a"}, None, {"x": 3, "y": None, "x_1": "c"}]),
    (pa.array([{}, None], pa.struct([])), [{}, None]),
    (MAP, [[[1, "a"], [2, None]], None, []]),
    (DENSE, [7, "x", None, "y"]),
    (SPARSE, [1, "y", 3]),
    (RUNS, [1, 1, 2]),
    (NESTED_CODES, [{"a": 1}, {"a": 2}, None]),
    (UUIDS, [str(uuid.UUID(int=5)), None]),
    (pa.ListArray.from_arrays([0, 2], UUIDS), [[str(uuid.UUID(int=5)), None]]),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}'])), ['{"a":1}']),
    (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([2, 0, None], pa.int8())),
        [True, False, None],
    ),
    (pa.array(["é\x1b\n", None], pa.string_view()), ["é\x1b\n", None]),
]
KINDS = [str(column.type) for column, _ in CASES]


@pytest.mark.parametrize(("column", "values"), CASES, ids=KINDS)
def test_values_as_json(column: pa.Array, values: list[Any]) -> None:
    assert json_column(column) == values
    assert json_column(column.slice(1)) == values[1:]
    out = io.StringIO()
    write_json(pa.table({"c": column}).to_reader(), out)
    assert json.loads(out.getvalue(), parse_constant=pytest.fail) == [
        {"c": each} for each in values
    ]


@pytest.mark.parametrize(("column", "values"), CASES, ids=KINDS)
def test_values_as_text_are_those_of_json(column: pa.Array, values: list[Any]) -> None:
    texts = text_column(column)
    assert text_column(column.slice(1)) == texts[1:]
    for text, value in zip(texts, values, strict=True):
        if value is None:
            assert text is None
        elif isinstance(value, list | dict):
            assert text is not None
            assert json.loads(text, parse_constant=pytest.fail) == value
        elif isinstance(value, float):
            assert text is not None
            assert float(text) == value
        else:
            assert text == (str(value).lower() if isinstance(value, bool) else str(value))
    out = io.StringIO()
    write_csv(pa.table({"c": column}).to_reader(), out)
    assert out.getvalue()
    result_grid(pa.table({"c": column}))


UNSTORABLE = {str(column.type) for column in (DENSE, SPARSE)} | {"struct<>"}


@pytest.mark.parametrize("column", [column for column, _ in CASES], ids=KINDS)
@pytest.mark.parametrize("part", [0, 1])
def test_values_in_parquet_are_the_same_or_refused_by_name(column: pa.Array, part: int) -> None:
    column = column.slice(part)
    table = pa.table({"the column": column})
    if str(column.type) in UNSTORABLE:
        with pytest.raises(InvalidRequest) as refused:
            parquet_bytes(table)
        assert "'the column'" in refused.value.message
        assert str(column.type) in refused.value.message
        assert "--format arrow" in refused.value.message
        return
    stored = pq.read_table(pa.BufferReader(parquet_bytes(table)))
    assert json_column(stored["the column"].combine_chunks()) == json_column(column)


@pytest.mark.parametrize(
    "column",
    [
        pa.StructArray.from_arrays(
            [pa.array([[ONE], None, []], pa.list_(INTERVAL)), pa.array([1, 2, 3])],
            names=["i", "n"],
            mask=pa.array([False, False, True]),
        ),
        pa.array([[("a", ONE)], None, [("b", None)]], pa.map_(pa.string(), INTERVAL)),
        pa.array([[ONE], None, [None]], pa.list_(INTERVAL, 1)),
        pa.array([[ONE], None, [None]], pa.large_list(INTERVAL)),
    ],
    ids=lambda column: str(column.type),
)
def test_an_interval_inside_is_text_in_parquet(
    column: pa.Array, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in (column, column.slice(1), column.slice(0, 2)):
        stored = pq.read_table(pa.BufferReader(parquet_bytes(pa.table({"c": part}))))
        assert json_column(stored["c"].combine_chunks()) == json_column(part)
    assert "column 'c'" in capsys.readouterr().err


def test_days_that_parquet_has_no_room_for_are_refused_and_not_wrapped() -> None:
    far = whole([86_400_000 * 2**32], pa.date64())
    with pytest.raises(InvalidRequest, match=r"column 'day' of type date64\[ms\]"):
        parquet_bytes(pa.table({"day": far}))
    near = whole([86_400_000 * 3], pa.date64())
    stored = pq.read_table(pa.BufferReader(parquet_bytes(pa.table({"day": near}))))
    assert text_column(stored["day"].combine_chunks()) == ["1970-01-04"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((0, 0, 0), "PT0S"),
        ((0, 1, 0), "P1D"),
        ((-13, 0, -3_661_500_000_000), "P-1Y-1MT-1H-1M-1.5S"),
        ((0, 0, 90 * 10**9), "PT1M30S"),
        ((12, 0, 1), "P1YT0.000000001S"),
    ],
)
def test_intervals_are_iso_8601(parts: tuple[int, int, int], text: str) -> None:
    assert interval_text(*parts) == text


def test_no_column_is_lost_where_two_have_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert distinct_names(["x", "x", "x_1", "y", "x"]) == ["x", "x_2", "x_1", "y", "x_3"]
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    out = io.StringIO()
    write_json(table.to_reader(), out)
    assert json.loads(out.getvalue()) == [{"x": 1, "x_1": 2}]
    out = io.StringIO()
    write_csv(table.to_reader(), out)
    assert out.getvalue() == "x,x\n1,2\n"
    stored = pq.read_table(pa.BufferReader(parquet_bytes(table)))
    assert stored.to_pydict() == {"x": [1], "x_1": [2]}
    assert "'x_1'" in capsys.readouterr().err


def test_rows_without_columns_are_counted_where_that_can_be() -> None:
    rows = pa.Table.from_batches(
        [pa.RecordBatch.from_struct_array(pa.array([{}] * 3, pa.struct([])))]
    )
    out = io.StringIO()
    write_json(rows.to_reader(), out)
    assert json.loads(out.getvalue()) == [{}, {}, {}]
    with pytest.raises(InvalidRequest, match="3 rows without columns"):
        parquet_bytes(rows)
    empty = pa.table({})
    out = io.StringIO()
    write_json(empty.to_reader(), out)
    assert json.loads(out.getvalue()) == []
    assert pq.read_table(pa.BufferReader(parquet_bytes(empty))).num_columns == 0


def test_text_that_is_no_utf8_is_shown_with_its_odd_bytes_replaced() -> None:
    buffers = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    assert text_column(pa.Array.from_buffers(pa.string(), 1, buffers)) == ["a\ufffd"]


@pytest.mark.parametrize("write", [write_csv, write_json], ids=["csv", "json"])
def test_batches_of_a_long_column_are_written_once_each(
    write: Callable[[pa.RecordBatchReader, io.StringIO], None],
) -> None:
    """Slices of nested columns: more rows than a batch has."""
    rows = 20_000
    lists = pa.array([[each, None] for each in range(rows)])
    codes = pa.array([each % 2 for each in range(rows)], pa.int8())
    union = pa.UnionArray.from_sparse(
        codes, [pa.array(range(rows)), pa.array([str(each) for each in range(rows)])]
    )
    pairs = pa.array([[("k", each)] for each in range(rows)], pa.map_(pa.string(), pa.int64()))
    out = io.StringIO()
    write(pa.table({"l": lists, "u": union, "m": pairs}).to_reader(), out)
    lines = out.getvalue().splitlines()[1 : rows + 1]
    for row in (0, 8_191, 8_192, 19_999):
        assert lines[row].count(str(row)) == 3
