"""Batch formats: what operators are given and give as data frames keeps its values and types."""

from __future__ import annotations

import datetime
import importlib
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ffq.engine import Engine, OperatorRegistry, operator
from ffq.errors import OperatorError, StartupError
from ffq.plan.model import Custom
from tests.engine.runner import leaf, run_over

VALUES = pa.table(
    {
        "i": pa.array([2**53 + 1, None], pa.int64()),
        "u": pa.array([2**64 - 1, None], pa.uint64()),
        "f": pa.array([float("nan"), None], pa.float64()),
        "s": pa.array(["é", None]),
        "b": pa.array([b"\x00\xff", None]),
        "t": pa.array([True, None]),
        "d": pa.array([Decimal("1.10"), None], pa.decimal128(38, 2)),
        "day": pa.array([datetime.date(1, 1, 1), None]),
        "at": pa.array([datetime.datetime(2020, 1, 1, 1, 2, 3, 4), None], pa.timestamp("us")),
        "l": pa.array([[1, None], None], pa.list_(pa.int64())),
        "r": pa.array([{"x": 1.5, "y": "a"}, None]),
        "none": pa.nulls(2, pa.int32()),
    }
)
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.RecordBatch}
Run = Callable[..., pa.Table]


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a function, from frame to frame, over a table, as operator of a batch format."""
    registry = OperatorRegistry()
    engine = Engine(registry=registry)

    def run(
        batch_format: str, function: Callable[[Any], Any], table: pa.Table, **declared: Any
    ) -> Any:
        @operator("o", batch_format=batch_format, registry=registry, **declared)
        def mapped(batches: Iterator[Any]) -> Iterator[Any]:
            return map(function, batches)

        return run_over(engine, Custom("o", (), leaf()), table)

    yield run
    engine.close()


def shown(table: pa.Table) -> list[str]:
    """NaN equals NaN so."""
    return [str(row) for row in table.to_pylist()]


@pytest.mark.parametrize("batch_format", FRAMES)
@pytest.mark.parametrize("rows", [2, 0])
def test_values_nulls_and_types_stay_what_they_are(run: Run, batch_format: str, rows: int) -> None:
    def same(frame: Any) -> Any:
        assert isinstance(frame, FRAMES[batch_format])
        assert len(frame) == rows if batch_format != "arrow" else frame.num_rows == rows
        return frame

    table = run(batch_format, same, VALUES.slice(0, rows))
    assert table.schema == VALUES.schema
    assert shown(table) == shown(VALUES.slice(0, rows))


@pytest.mark.parametrize("batch_format", ["pandas", "polars"])
def test_a_class_is_called_frame_by_frame(batch_format: str) -> None:
    registry = OperatorRegistry()

    @operator("o", batch_format=batch_format, output_schema={"i": "BIGINT"}, registry=registry)
    class One:
        def __call__(self, frame: Any) -> Any:
            return frame[["i"]]

    engine = Engine(registry=registry)
    table = run_over(engine, Custom("o", (), leaf()), VALUES)
    engine.close()
    assert table.to_pydict() == {"i": [2**53 + 1, None]}


def _pandas_own(frame: Any) -> Any:
    """Types that pandas makes by itself."""
    return pd.DataFrame(
        {
            "whole": [1.0, None],
            "text": ["a", None],
            "kind": pd.Categorical(["u", "v"]),
            "gone": [None, None],
            "day": pd.to_datetime(["2020-01-01", None]),
        }
    )


def test_pandas_own_types_become_the_declared_ones_where_every_value_is_kept(run: Run) -> None:
    declared = {
        "day": "DATE",
        "whole": "BIGINT",
        "text": "VARCHAR",
        "kind": "VARCHAR",
        "gone": "DOUBLE",
    }
    table = run("pandas", _pandas_own, VALUES, output_schema=declared)
    assert table.to_pydict() == {
        "day": [datetime.date(2020, 1, 1), None],
        "whole": [1, None],
        "text": ["a", None],
        "kind": ["u", "v"],
        "gone": [None, None],
    }


@pytest.mark.parametrize("batch_format", ["pandas", "polars"])
@pytest.mark.parametrize(
    ("values", "declared", "message"),
    [
        (
            [1.5, 2.0],
            "BIGINT",
            "operator 'o' .* yielded a data frame whose column 'a' is of type double; right would "
            "be int64, as it declares, which does not hold its values: .*1.5",
        ),
        ([1, 2], "VARCHAR", "column 'a' is of type int64; right would be string, as it declares$"),
        (["1", "2"], "BIGINT", "column 'a' is of type .*string; right would be int64, as it decl"),
        ([True, False], "BIGINT", "column 'a' is of type bool; right would be int64"),
        ([300, 2], "TINYINT", "right would be int8, as it declares, which does not hold its val"),
    ],
)
def test_what_the_declared_type_does_not_hold_is_refused_with_both_types(
    run: Run, batch_format: str, values: list[Any], declared: str, message: str
) -> None:
    frame = FRAMES[batch_format]({"a": values})
    with pytest.raises(OperatorError, match=message):
        run(batch_format, lambda _: frame, VALUES, output_schema={"a": declared})


def test_later_frames_are_held_to_the_types_of_the_first(run: Run) -> None:
    frames = iter([{"a": [1, 2]}, {"a": [None]}, {"a": [2.0]}, {"a": ["x"]}])

    def each(_: Any) -> Any:
        return pd.DataFrame(next(frames))

    many = pa.table({"a": pa.array(range(64 * 1024 * 3), pa.int64())})
    with pytest.raises(OperatorError, match="'a' is of type .*string; right would be int64, as in"):
        run("pandas", each, pa.concat_tables([many, many.slice(0, 10)]))


def test_a_named_index_of_pandas_is_not_lost_in_silence(run: Run) -> None:
    with pytest.raises(OperatorError, match=r"data frame whose index holds 'i', which would be lo"):
        run("pandas", lambda frame: frame.groupby("i").count(), VALUES)
    filtered = run("pandas", lambda frame: frame[frame["i"].isna()], VALUES)
    assert filtered.column_names == VALUES.column_names


def test_what_arrow_does_not_have_is_refused(run: Run) -> None:
    with pytest.raises(OperatorError, match="yielded a data frame that is no Arrow data: Arrow"):
        run("pandas", lambda _: pd.DataFrame({"a": [1, "x"]}), VALUES)
    with pytest.raises(OperatorError, match="yielded a data frame that is no Arrow data: .*uplic"):
        run("pandas", lambda _: pd.DataFrame([[1, 2]], columns=["a", "a"]), VALUES)


@pytest.mark.parametrize(
    ("batch_format", "given", "message"),
    [
        ("pandas", pl.DataFrame({"a": [1]}), "yielded a DataFrame; right would be pandas data fra"),
        ("polars", pd.DataFrame({"a": [1]}), "yielded a DataFrame; right would be Polars data fra"),
        ("arrow", pd.DataFrame({"a": [1]}), "yielded a DataFrame; right would be record batches"),
        ("polars", pl.DataFrame({"a": [1]}).lazy(), "yielded a LazyFrame; right would be Polars d"),
        ("pandas", pd.Series([1]), "yielded a Series; right would be pandas data frames"),
    ],
)
def test_frames_of_another_format_are_refused(
    run: Run, batch_format: str, given: Any, message: str
) -> None:
    with pytest.raises(OperatorError, match=message):
        run(batch_format, lambda _: given, VALUES)


@pytest.mark.parametrize("batch_format", FRAMES)
def test_arrow_tables_and_batches_are_taken_from_all(run: Run, batch_format: str) -> None:
    table = pa.table({"a": [1, 2]})
    assert run(batch_format, lambda _: table, VALUES).to_pydict() == {"a": [1, 2]}
    assert run(batch_format, lambda _: table.slice(0, 0), VALUES).schema == table.schema
    assert run(batch_format, lambda _: table.to_batches()[0], VALUES).to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize("batch_format", ["pandas", "polars"])
def test_a_library_that_is_missing_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, batch_format: str
) -> None:
    monkeypatch.setitem(sys.modules, batch_format, None)
    with pytest.raises(OperatorError, match=rf"'o' takes {batch_format} .*ffq-runtime\["):
        run(batch_format, lambda frame: frame, VALUES)


def test_importing_operators_imports_neither() -> None:
    module = importlib.import_module("ffq.engine.frames")
    assert not {"pandas", "polars"} & vars(module).keys()


def test_an_operator_that_changes_its_frame_changes_no_other_reader(run: Run) -> None:
    def zeroed(frame: Any) -> Any:
        frame["i"] = 0
        frame.loc[:, "s"] = "changed"
        return frame

    before = VALUES.to_pylist()
    assert run("pandas", zeroed, VALUES)["i"].to_pylist() == [0, 0]
    assert str(VALUES.to_pylist()) == str(before)


def test_a_format_that_there_is_not() -> None:
    with pytest.raises(StartupError, match="batch_format is 'numpy'; right would be one of 'arr"):
        operator("o", batch_format="numpy", registry=OperatorRegistry())
