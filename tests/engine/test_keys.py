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
from ffq.engine import Engine, alike
from ffq.errors import DataError, PlanningError
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
        plans = [
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
        for plan in plans:
            with pytest.raises(PlanningError, match="right would be one type to begin") as refused:
                tables._runner.run(plan)
            assert "Error" not in refused.value.message, "none of the engine's own words"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0], pa.time64("us")), pa.array([0], pa.time64("ns"))),
        (listed(pa.time64("us"), 0), listed(pa.time64("ns"), 0)),
    ],
    ids=["times of day", "lists of them"],
)
def test_what_the_engine_makes_no_one_value_of_is_refused_in_our_words(
    tables: Tables, one: pa.Array, other: pa.Array
) -> None:
    tables.write("t", {"i": pa.array([0]), "x": one})
    tables.write("u", {"j": pa.array([0]), "y": other})
    both = p.scan("t").join(p.scan("u"), [("i", "j")], partitions=1)
    x, y = p.col("x"), p.col("y")
    for plan in (
        both.project(p.udf("coalesce", x, y).alias("z")),
        both.project(p.when(p.col("i") == 0, x).otherwise(y).alias("z")),
        p.scan("t").project("x").union_all(p.scan("u").project("y")),
    ):
        with pytest.raises(
            PlanningError, match="TIME.*TIME_NS.* have no type in common"
        ) as refused:
            tables._runner.run(plan.node)
        assert "CASE" not in refused.value.message


def test_a_list_of_nothing_but_nulls_is_like_any_list(tables: Tables) -> None:
    nothing = pa.array([[None], [], None, [None, None]], pa.list_(pa.null()))
    tables.write("t", {"i": pa.array(range(4)), "x": nothing})
    tables.write("u", {"j": pa.array(range(4)), "y": nothing.cast(pa.list_(pa.int32()))})
    for strategy in ("shuffle", "broadcast_right", "broadcast_left"):
        for sides in (("t", "x", "u", "y"), ("u", "y", "t", "x")):
            left, x, right, y = sides
            joined = p.scan(left).join(p.scan(right), [(x, y)], strategy=strategy, partitions=3)
            assert sorted(tables.column(joined, "i")) == [0, 1, 3], strategy
    both = p.scan("t").join(p.scan("u"), [("i", "j")], partitions=1)
    assert sorted(tables.column(both.filter(p.col("x") == p.col("y")), "i")) == [0, 1, 3]


def test_lists_of_one_length_and_of_others_are_made_lists_of_any() -> None:
    """DuckDB would take the one length, and fail on lists of the other."""
    for other in ("INTEGER[2]", "INTEGER[]"):
        with duckdb.connect() as duck:
            one_value = f"CASE WHEN TRUE THEN NULL::INTEGER[3] ELSE NULL::{other} END"
            ((_, chosen, *_),) = duck.sql(f"DESCRIBE SELECT {one_value}").fetchall()
        assert chosen == "INTEGER[3]"
        assert alike.made_one(["INTEGER[3]", other], chosen) == "INTEGER[]"
    inside = ["STRUCT(a INTEGER[3])", "STRUCT(a INTEGER[2])"]
    assert alike.made_one(inside, inside[0]) == "STRUCT(a INTEGER[])"


STRATEGIES: list[Any] = ["shuffle", "broadcast_right", "broadcast_left"]
TWINS = [(0.0, 1), (-0.0, 2)]


@pytest.mark.parametrize(
    ("kind", "twins", "fine"),
    [
        ("m", TWINS, [(1.0, 1), (2.0, 2)]),
        ("list<m>", [[], TWINS], [[(1.0, 1)], None]),
        ("struct<m>", {"a 'b'": TWINS}, {"a 'b'": [(1.0, 1)]}),
        ("map<m>", [("x", []), ("y", TWINS)], [("x", [(1.0, 1)]), ("y", [(1.0, 1)])]),
    ],
)
def test_a_map_with_a_key_twice_is_refused_at_the_scan_whatever_the_plan(
    tables: Tables, kind: str, twins: Any, fine: Any
) -> None:
    """The engine reads such a map from a file, and not after an exchange."""
    of = pa.map_(pa.float64(), pa.int8())
    arrow = {
        "m": of,
        "list<m>": pa.list_(of),
        "struct<m>": pa.struct([("a 'b'", of)]),
        "map<m>": pa.map_(pa.string(), of),
    }[kind]
    t, u = p.scan("t", ["i", "x"]), p.scan("u", ["j", "y"])
    plans = [
        t,
        t.gather(),
        t.aggregate(["x"], [p.count().alias("n")], partitions=2),
        *(t.join(u, [("x", "y")], strategy=how, partitions=2) for how in STRATEGIES),
    ]
    for value in (fine, twins):
        for name, key, column in (("t", "i", "x"), ("u", "j", "y")):
            tables.write(name, {key: [0, 1, 2], column: pa.array([value, None, fine], arrow)})
        if value is fine:
            assert [tables.rows(plan) for plan in plans] == [3, 3, 2, 4, 4, 4]
            continue
        for plan in plans:
            with pytest.raises(DataError, match="table '[tu]', column '[xy]': a map has a key twi"):
                tables.rows(plan)
    assert tables.column(p.scan("t", ["i"]).gather(), "i") == [0, 1, 2]


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
