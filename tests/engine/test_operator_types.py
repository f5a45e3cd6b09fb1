"""What types operators may give out: as the same types from files, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from ffq.engine import Engine
from ffq.engine.operators import OperatorRegistry, operator
from ffq.errors import DataError, UnsupportedPlan
from ffq.plan.model import Custom
from tests.engine.runner import leaf, run_over

Run = Callable[[pa.Array], pa.Table]


@pytest.fixture
def given_out() -> Iterator[Run]:
    """Runs an operator that gives out an array, as a column."""
    registry = OperatorRegistry()
    arrays: list[pa.Array] = []

    @operator("gives", registry=registry)
    def gives(
        batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.record_batch({"fine": pa.nulls(len(arrays[-1])), "h": arrays[-1]})

    engine = Engine(registry=registry)

    def run(array: pa.Array) -> pa.Table:
        arrays.append(array)
        return run_over(engine, Custom("gives", (), leaf()), pa.table({"a": [1]}))

    yield run
    engine.close()


HALF, NONE = pa.float16(), pa.list_(pa.int8(), 0)


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        (HALF, [1.5, None], pa.float32()),
        (pa.list_(HALF), [[1.5, None], []], pa.list_(pa.float32())),
        (pa.large_list(HALF), [[1.5, None], None], pa.list_(pa.float32())),
        (pa.list_(HALF, 2), [[1.5, None]], pa.list_(pa.float32(), 2)),
        (pa.struct([("a", HALF)]), [{"a": 1.5}, None], pa.struct([("a", pa.float32())])),
        (pa.map_(HALF, HALF), [[(1.5, 2.5)], []], pa.map_(pa.float32(), pa.float32())),
        (NONE, [[], None], pa.list_(pa.int8())),
        (pa.decimal256(38, 1), [Decimal("1.5"), None], pa.decimal128(38, 1)),
        (pa.list_(pa.decimal256(5, 1)), [[Decimal("1.5")]], pa.list_(pa.decimal128(5, 1))),
        (pa.list_(NONE), [[[]], [], None], pa.list_(pa.list_(pa.int8()))),
    ],
    ids=str,
)
def test_what_files_may_hold_operators_may_give_out(
    given_out: Run, kind: pa.DataType, values: list[Any], wanted: pa.DataType
) -> None:
    column = given_out(pa.array(values, kind))["h"]
    assert column.type.equals(wanted, check_metadata=False) or str(column.type) == str(wanted)
    assert column.to_pylist() == values


@pytest.mark.parametrize(
    "kind",
    [
        pa.run_end_encoded(pa.int32(), HALF),
        pa.dictionary(pa.int8(), HALF),
        pa.list_view(HALF),
        pa.struct([("a", pa.dictionary(pa.int8(), HALF))]),
    ],
    ids=str,
)
def test_a_type_that_the_engine_has_not_is_refused_with_operator_and_column(
    given_out: Run, kind: pa.DataType
) -> None:
    with pytest.raises(UnsupportedPlan) as refused:
        given_out(pa.nulls(1, kind))
    said = f"operator 'gives' gives out column 'h' of type {kind}, which this engine does not take"
    assert refused.value.message == said


def test_a_map_with_a_key_twice_is_refused_in_our_words(given_out: Run) -> None:
    twins = pa.array([[(0.0, 1), (-0.0, 2)]], pa.map_(pa.float64(), pa.int8()))
    with pytest.raises(DataError, match="^an operator made a map with a key twice"):
        given_out(twins)
