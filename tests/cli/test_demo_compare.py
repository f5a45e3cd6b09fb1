"""The demo's judge: when two results count as equal."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa
import pytest

from ffq.cli.demo.compare import difference

NAN = float("nan")


def table(*rows: tuple[object, ...]) -> pa.Table:
    return pa.table(
        {f"c{index}": list(column) for index, column in enumerate(zip(*rows, strict=True))}
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (table(("a", 1), ("b", 2)), table(("b", 2), ("a", 1))),
        (
            table(
                ("a", 0.1 + 0.2),
            ),
            table(
                ("a", 0.3),
            ),
        ),
        (table((None, NAN), ("x", None)), table(("x", None), (None, NAN))),
        (
            pa.table({"d": pa.array([Decimal("1.50")], pa.decimal128(38, 2))}),
            pa.table({"d": pa.array([Decimal("1.5")], pa.decimal128(10, 1))}),
        ),
        (table((1.0, "b"), (1.0 + 1e-12, "a")), table((1.0 + 1e-12, "b"), (1.0, "a"))),
    ],
)
def test_equal_results(answer: pa.Table, expected: pa.Table) -> None:
    assert difference(answer, expected) is None


@pytest.mark.parametrize(
    ("answer", "expected", "says"),
    [
        (table(("a", 1)), table(("a", 2)), r"row \(a, 1\) instead of \(a, 2\)"),
        (table(("a",), ("a",), ("b",)), table(("a",), ("b",), ("b",)), "row"),
        (table(("a",)), table(("a",), ("a",)), "1 rows instead of 2"),
        (table((1.0,)), table((1.0 + 1e-6,)), "row"),
        (table((None, 1.0)), table((None, None)), "row"),
        (table((NAN,)), table((1.0,)), "row"),
        (
            pa.table({"d": pa.array([Decimal("10000000000000.01")], pa.decimal128(38, 2))}),
            pa.table({"d": pa.array([Decimal("10000000000000.02")], pa.decimal128(38, 2))}),
            "row",
        ),
        (pa.table({"a": [1]}), pa.table({"b": [1]}), "columns"),
    ],
)
def test_different_results(answer: pa.Table, expected: pa.Table, says: str) -> None:
    found = difference(answer, expected)
    assert found is not None
    assert re.search(says, found)
