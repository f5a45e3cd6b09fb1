"""Groups and joins by keys that are no single words: they travel by hash and equal as in DuckDB."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ffq import plan as p
from ffq.engine import Engine
from ffq.errors import PlanningError
from ffq.plan import model
from tests.engine.test_values import Tables


@pytest.fixture
def tables(engine: Engine, tmp_path: Path) -> Tables:
    return Tables(engine, tmp_path)


KEYS = {
    "intervals": [
        "INTERVAL '1 month'",
        "INTERVAL '30 days'",
        "INTERVAL '720 hours'",
        "INTERVAL '1 day'",
        "NULL::INTERVAL",
        "NULL",
    ],
    "lists": ["[1, NULL]", "[1, NULL]", "[]::INT[]", "NULL::INT[]", "[1]", "NULL"],
    "lists of floats": ["[0.0::DOUBLE]", "[-0.0::DOUBLE]", "['nan'::DOUBLE]", "[-'nan'::DOUBLE]"],
    "arrays": ["[1, 2]::INT[2]", "[1, 2]::INT[2]", "[2, 1]::INT[2]", "NULL", "[NULL, 1]::INT[2]"],
    "structs": [
        "{'a': 1, 'b': NULL::TEXT}",
        "{'a': 1, 'b': NULL}",
        "{'a': 2, 'b': 'x'}",
        "NULL",
        "{'a': NULL, 'b': NULL}",
        "{'a': NULL, 'b': NULL}",
    ],
    "maps": ["MAP {'a': 1, 'b': 2}", "MAP {'b': 2, 'a': 1}", "MAP {}", "NULL", "MAP {'a': NULL}"],
    "lists of structs of lists": ["[{'a': [1, 2]}]", "[{'a': [1, 2]}]", "[{'a': NULL}]", "[NULL]"],
    "lists of times with a zone": ["['10:00:00+01'::TIMETZ]", "['09:00:00+00'::TIMETZ]", "[]"],
}


@pytest.mark.parametrize("kind", KEYS)
def test_any_key_groups_and_joins_as_in_duckdb(tables: Tables, kind: str) -> None:
    rows = ", ".join(f"({key}, {at})" for at, key in enumerate(KEYS[kind] * 2))
    parts = (f"x, i FROM (VALUES {rows}) AS t(x, i) WHERE i % 3 = {part}" for part in range(3))
    files = f"read_parquet({[str(path) for path in tables.write_by_duckdb('t', *parts)]})"
    scan = p.scan("t", ["x", "i"])
    with duckdb.connect() as duck:
        sizes = duck.sql(f"SELECT count(*) FROM {files} GROUP BY x").fetchall()
        same = duck.sql(
            f"SELECT a.i, b.i FROM {files} AS a JOIN {files} AS b ON a.x = b.x"
        ).fetchall()
    groups = scan.aggregate(["x"], [p.count().alias("n")], partitions=5)
    assert Counter(tables.column(groups, "n")) == Counter(size for (size,) in sizes)
    other = scan.project(p.col("x").alias("y"), p.col("i").alias("j"))
    for strategy in ("shuffle", "broadcast_right"):
        joined = scan.join(other, [("x", "y")], strategy=strategy, partitions=5)
        found = tables._runner.run(joined.node)
        pairs = zip(found["i"].to_pylist(), found["j"].to_pylist(), strict=True)
        assert Counter(pairs) == Counter(same)


DAY = dt.date(2020, 1, 1)
WIDENED: dict[str, tuple[list[pa.Array], pa.DataType, list[Any]]] = {
    "lists": (
        [pa.array([[1, None]], pa.list_(pa.int32())), pa.array([[2**40]], pa.list_(pa.int64()))],
        pa.list_(pa.field("l", pa.int64())),
        [[1, None], [2**40]],
    ),
    "signs": (
        [pa.array([[1], []], pa.list_(pa.int8())), pa.array([[2**32 - 1]], pa.list_(pa.uint32()))],
        pa.list_(pa.field("l", pa.int64())),
        [[1], [], [2**32 - 1]],
    ),
    "nulls alone": (
        [pa.array([[None]], pa.list_(pa.null())), pa.array([[7]], pa.list_(pa.int16()))],
        pa.list_(pa.field("l", pa.int16())),
        [[None], [7]],
    ),
    "structs": (
        [
            pa.array([{"a": 1, "b": 0.5}], pa.struct([("a", pa.int32()), ("b", pa.float32())])),
            pa.array([{"b": 0.1, "a": 2}], pa.struct([("b", pa.float64()), ("a", pa.int64())])),
        ],
        pa.struct([("b", pa.float64()), ("a", pa.int64())]),
        [{"b": 0.5, "a": 1}, {"b": 0.1, "a": 2}],
    ),
    "dates and texts": (
        [
            pa.array([[dt.date(2020, 1, 1)]]),
            pa.array([["2020-01-01 10:00"]]),
        ],
        pa.list_(pa.field("l", pa.string())),
        [["2020-01-01"], ["2020-01-01 10:00"]],
    ),
}


@pytest.mark.parametrize("kind", WIDENED)
def test_files_may_differ_in_what_is_inside(tables: Tables, kind: str) -> None:
    files, wanted, values = WIDENED[kind]
    for order in (files, files[::-1]):
        tables.write("t", *({"x": file} for file in order))
        found = tables._runner.run(p.scan("t").node)
        assert found.schema.field("x").type == wanted
        assert sorted(map(str, found["x"].to_pylist())) == sorted(map(str, values))
        groups = p.scan("t").aggregate(["x"], [p.count().alias("n")], partitions=3)
        assert len(tables.column(groups, "n")) == len(values)


def test_files_whose_structs_have_other_fields_are_refused(tables: Tables) -> None:
    tables.write("t", {"x": pa.array([{"a": 1}])}, {"x": pa.array([{"b": 1}])})
    with pytest.raises(PlanningError, match="column 'x': the files have .*they do not agree"):
        tables._runner.run(p.scan("t").node)


@pytest.mark.parametrize("strategy", ["shuffle", "broadcast_right"])
def test_keys_of_other_widths_inside_are_joined(tables: Tables, strategy: Any) -> None:
    tables.write("t", {"x": pa.array([[1], [2], None, [None]], pa.list_(pa.int8()))})
    tables.write("u", {"y": pa.array([[1], [3], None, [None]], pa.list_(pa.int64()))})
    joined = p.scan("t").join(p.scan("u"), [("x", "y")], strategy=strategy, partitions=3)
    assert tables._runner.run(joined.node)["x"].to_pylist() in ([[1], [None]], [[None], [1]])


def listed(kind: pa.DataType, *values: Any) -> pa.Array:
    return pa.array([[value] for value in values], pa.list_(kind))


UNLIKE = {
    "decimals": (
        listed(pa.decimal128(38, 0), Decimal(1), Decimal(2)),
        listed(pa.decimal128(38, 37), Decimal("1.5"), Decimal("2.5")),
    ),
    "times": (listed(pa.timestamp("us"), 0, 10**18), listed(pa.timestamp("ns"), 0, 5)),
    "texts and binaries": (listed(pa.string(), "\\x41"), listed(pa.binary(), b"A")),
    "times and a list of them": (
        pa.array([0], pa.timestamp("us")),
        listed(pa.timestamp("us"), 0),
    ),
    "dates and a list of times": (pa.array([DAY]), listed(pa.timestamp("us"), 0)),
    "texts and a list of times": (pa.array(["[1970-01-01]"]), listed(pa.timestamp("us"), 0)),
    "numbers and a list of decimals": (pa.array([1]), listed(pa.decimal128(9, 2), Decimal(1))),
    "texts and dates": (listed(pa.string(), "2020-01-01 10:00"), listed(pa.date32(), DAY)),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_what_has_no_type_in_common_inside_is_refused(tables: Tables, kind: str) -> None:
    """DuckDB would round decimals, read escapes and dates in texts, and fail on some times."""
    one, other = UNLIKE[kind]
    for a, b in ((one, other), (other, one)):
        tables.write("t", {"i": pa.array(range(len(a))), "x": a})
        tables.write("u", {"j": pa.array(range(len(b))), "y": b})
        t, u, x, y = p.scan("t"), p.scan("u"), p.col("x"), p.col("y")
        both = t.join(u, [("i", "j")], partitions=1)
        refused = [
            t.join(u, [("x", "y")], strategy="shuffle", partitions=3).node,
            t.join(u, [("x", "y")], strategy="broadcast_right").node,
            model.InSubqueryFilter(t.node, x.expr, u.project("y").node, False),
            both.filter(x == y).node,
            both.filter(x < y).node,
            both.project(p.udf("nullif", x, y).alias("z")).node,
            both.project(p.udf("coalesce", x, y).alias("z")).node,
            both.project(p.when(p.col("i") == 0, x).otherwise(y).alias("z")).node,
            t.project("x").union_all(u.project("y")).node,
        ]
        for plan in refused:
            with pytest.raises(PlanningError, match="cast one of them|cast some of them|explicit"):
                tables._runner.run(plan)


def test_numbers_inside_are_compared_exactly(tables: Tables) -> None:
    tables.write("t", {"i": pa.array([0, 1]), "x": listed(pa.float32(), 2.0**24, 3)})
    tables.write("u", {"j": pa.array([0, 1]), "y": listed(pa.int32(), 2**24 + 1, 3)})
    both = p.scan("t").join(p.scan("u"), [("i", "j")], partitions=1)
    assert tables.column(both.filter(p.col("x") == p.col("y")), "i") == [1]
    assert tables.column(both.filter(p.col("x") < p.col("y")), "i") == [0]
    among = p.scan("u").project("y").node
    assert tables.column(
        model.InSubqueryFilter(p.scan("t").node, p.col("x").expr, among, False), "i"
    ) == [1]


@pytest.mark.parametrize("strategy", ["shuffle", "broadcast_right"])
def test_lists_of_times_of_other_units_are_joined(tables: Tables, strategy: Any) -> None:
    tables.write("t", {"x": listed(pa.timestamp("us"), 0, 1)})
    tables.write("u", {"y": listed(pa.timestamp("ms"), 0, 5)})
    joined = p.scan("t").join(p.scan("u"), [("x", "y")], strategy=strategy, partitions=3)
    assert tables._runner.run(joined.node).num_rows == 1
