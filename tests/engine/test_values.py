"""No value is changed in silence: compared, made one type, cast, or read from files."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq import plan as p
from ffq.catalog.files import list_files
from ffq.catalog.footers import read_footer
from ffq.engine import Engine
from ffq.engine.types import holds_variants
from ffq.errors import DataError, FfqError, PlanningError, StorageError, UnsupportedPlan
from ffq.plan import model
from ffq.plan.builder import Relation
from ffq.plan.casts import with_literal_casts
from ffq.plan.terms import BinaryOperator, DataType, Field, Schema
from tests.engine.runner import LocalRunner

WIDE, FINE = pa.decimal128(38, 2), pa.decimal128(10, 5)
LARGE = 2**24 + 1
"""The first whole number that a Float32 does not hold."""
NOON = dt.datetime(2024, 1, 1, 12)


class Tables:
    """Tables by name, each of one file or more; what a relation over them gives."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._runner = LocalRunner(engine, folder / "shuffle", {}, scan_tasks=1)
        self._folder = folder

    def write(self, name: str, *files: dict[str, Any]) -> None:
        paths = []
        for number, columns in enumerate(files):
            paths.append(self._folder / f"{name}{number}.parquet")
            pq.write_table(pa.table(columns), paths[-1])
        self._runner.tables[name] = paths

    def write_by_duckdb(self, name: str, *files: str) -> list[Path]:
        """Each file: what is selected of it."""
        paths = [self._folder / f"{name}{number}.parquet" for number in range(len(files))]
        with duckdb.connect() as duck:
            for path, columns in zip(paths, files, strict=True):
                duck.execute(f"COPY (SELECT {columns}) TO '{path}' (FORMAT parquet)")
        self._runner.tables[name] = paths
        return paths

    def column(self, relation: Relation | model.Node, name: str) -> list[Any]:
        node = relation.node if isinstance(relation, Relation) else relation
        return sorted(self._runner.run(node)[name].to_pylist(), key=str)

    def rows(self, relation: Relation) -> int:
        """How many: Python has no nanoseconds to show."""
        return int(self._runner.run(relation.node).num_rows)


@pytest.fixture
def tables(engine: Engine, tmp_path: Path) -> Tables:
    return Tables(engine, tmp_path)


def matching(predicate: p.Expression) -> Relation:
    return p.scan("t").filter(predicate)


def in_subquery(negated: bool = False) -> model.Node:
    return model.InSubqueryFilter(p.scan("a").node, p.col("x").expr, p.scan("b").node, negated)


# --- compared --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["inner", "left", "anti", "semi"])
@pytest.mark.parametrize(
    ("strategy", "partitions"), [("shuffle", 8), ("shuffle", 1), ("broadcast_right", 1)]
)
def test_a_text_equals_the_binary_of_its_bytes_whatever_the_strategy(
    tables: Tables, how: Any, strategy: Any, partitions: int
) -> None:
    r"""DuckDB would take the text \x41 for the byte of A."""
    tables.write("a", {"x": ["\\x41", "A", "é"]})
    tables.write("b", {"y": pa.array([b"A", "é".encode()], pa.binary())})
    joined = p.scan("a", ["x"]).join(
        p.scan("b", ["y"]), [("x", "y")], how, strategy=strategy, partitions=partitions
    )
    rows = {"inner": ["A", "é"], "semi": ["A", "é"], "anti": ["\\x41"], "left": ["A", "\\x41", "é"]}
    assert tables.column(joined, "x") == rows[how]


def test_a_text_literal_beside_binary_means_its_bytes(tables: Tables) -> None:
    tables.write("t", {"x": pa.array([b"A", b"\\x41", "é".encode()], pa.binary())})
    assert tables.column(matching(p.col("x") == "\\x41"), "x") == [b"\\x41"]
    assert tables.column(matching(p.col("x") == "é"), "x") == ["é".encode()]


def test_a_whole_number_beside_a_float32_is_not_rounded(tables: Tables) -> None:
    tables.write("t", {"x": pa.array([LARGE - 1], pa.float32()), "n": pa.array([LARGE])})
    for predicate in (p.col("x") == LARGE, p.col("x") == p.col("n"), p.col("x") >= p.col("n")):
        assert tables.column(matching(predicate), "x") == []
    assert tables.column(matching(p.col("x") == LARGE - 1), "x") == [LARGE - 1]
    tables.write("a", {"x": pa.array([LARGE, LARGE - 1], pa.int32())})
    tables.write("b", {"y": pa.array([LARGE - 1], pa.float32())})
    joined = p.scan("a").join(p.scan("b"), [("x", "y")], strategy="broadcast_right")
    assert tables.column(joined, "x") == [LARGE - 1]
    assert tables.column(in_subquery(), "x") == [LARGE - 1]


@pytest.mark.parametrize("number", [LARGE - 1, LARGE, -LARGE, 2**53 + 1, 7])
def test_the_casts_that_other_engines_want_change_no_answer(tables: Tables, number: int) -> None:
    """Neither values nor types."""
    columns = {
        "f": pa.array([LARGE - 1, 1 - LARGE, 7.5, None], pa.float32()),
        "h": pa.array([2048, 7, 7.5, None], pa.float16()),
        "d": pa.array([float(LARGE), 2.0**53, 1.5, None]),
    }
    fields = [("f", "Float32"), ("h", "Float16"), ("d", "Float64")]
    schema = Schema(tuple(Field(name, DataType(kind), True) for name, kind in fields))
    tables.write("t", columns)
    f, h, d = p.col("f"), p.col("h"), p.col("d")
    made: list[p.Expression] = []
    chosen = p.when(f > 0, f).when(f < 0, None).otherwise(number)
    for one in (f, h, d, f + d, d + f, h + f, f + number, h - 1, chosen):
        made += [one == number, one < number, one >= number, one + number, number - one]
        made += [one * 3, one.divide(number), (one + number) == number]
    plan = p.scan("t").project(*(each.alias(f"x{at}") for at, each in enumerate(made))).node
    cast = with_literal_casts(plan, lambda _: schema)
    assert cast is not plan
    assert tables._runner.run(cast).equals(tables._runner.run(plan))


def test_arithmetic_of_a_float32_and_a_whole_number_or_decimal_is_that_of_a_float64(
    tables: Tables,
) -> None:
    """Of a literal only where the Float32 would round it: `f * 2` is a Float32."""
    tables.write(
        "t",
        {
            "f": pa.array([1], pa.float32()),
            "n": pa.array([LARGE], pa.int32()),
            "m": pa.array([Decimal(LARGE)]),
        },
    )
    f = p.col("f")
    for sum_ in (f + p.col("n"), p.col("n") + f, f + p.col("m"), f + LARGE, LARGE + f):
        assert tables.column(p.scan("t").project(sum_.alias("x")), "x") == [LARGE + 1]
        assert tables.column(p.scan("t").project((sum_ - 2).alias("x")), "x") == [LARGE - 1]
    kept = p.scan("t").project((f * 2).alias("x")).node
    assert tables._runner.run(kept).schema.field("x").type == pa.float32()


FAR = dt.datetime(3000, 1, 1)
"""Beyond what nanoseconds reach."""


@attrs.frozen
class Mixed:
    """Values in rising order, of two types that no third holds. None: the other type has it not."""

    one: pa.Array
    other: pa.Array


MIXED = {
    "integers and decimals": Mixed(
        pa.array([-(2**63), -1, None, 5, None, 2**62, None]),
        pa.array([None, -1, Decimal("0.5"), 5, Decimal("5.1"), None, None], pa.decimal128(38, 20)),
    ),
    "unsigned and fractions": Mixed(
        pa.array([None, None, 0, None, 2**64 - 1, None], pa.uint64()),
        pa.array([Decimal("-0.5"), None, 0, Decimal("1e-38"), None, None], pa.decimal128(38, 38)),
    ),
    "decimals": Mixed(
        pa.array([Decimal(-(10**27)), None, 1, None, 10**27], pa.decimal128(38, 10)),
        pa.array([None, Decimal("-1.5"), 1, Decimal("1.01"), None], pa.decimal128(38, 30)),
    ),
    "times": Mixed(
        pa.array([dt.datetime(1000, 1, 1), None, dt.datetime(1970, 1, 1), None, NOON, FAR, None]),
        pa.array([None, -1, 0, 1, 1704110400 * 10**9, None, None], pa.timestamp("ns")),
    ),
    "dates and times": Mixed(
        pa.array([None, dt.date(1970, 1, 1), None, FAR.date(), None]),
        pa.array([-1, 0, 1, None, None], pa.timestamp("ns")),
    ),
    "times with a zone": Mixed(
        pa.array([None, dt.datetime(1970, 1, 1), None, FAR], pa.timestamp("us", "UTC")),
        pa.array([-1, 0, 1, None], pa.timestamp("ns", "UTC")),
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_values_without_a_type_in_common_are_compared_exactly(tables: Tables, name: str) -> None:
    mixed = MIXED[name]
    for one, other in itertools.permutations((mixed.one, mixed.other)):
        left = [at for at, value in enumerate(one.is_valid().to_pylist()) if value]
        right = [at for at, value in enumerate(other.is_valid().to_pylist()) if value]
        tables.write("a", {"x": one, "i": pa.array(range(len(one)))})
        tables.write("b", {"y": other, "j": pa.array(range(len(other)))})
        both = sorted(set(left) & set(right))
        joins = {"inner": both, "semi": both, "anti": sorted(set(range(len(one))) - set(both))}
        for strategy in ("shuffle", "broadcast_right"):
            for how, rows in joins.items():
                joined = p.scan("a").join(
                    p.scan("b"),
                    [("x", "y")],
                    how,  # type: ignore[arg-type]
                    strategy=strategy,
                    partitions=3,
                )
                assert tables.column(joined, "i") == rows
        among = p.scan("b").filter(p.col("y").is_not_null()).project("y").node
        for negated, rows in ((False, both), (True, [at for at in left if at not in right])):
            query = model.InSubqueryFilter(p.scan("a").node, p.col("x").expr, among, negated)
            assert tables.column(query, "i") == rows
        crossed = (
            p.scan("a")
            .project("x", "i", p.lit(1).alias("k"))
            .join(p.scan("b").project("y", "j", p.lit(1).alias("l")), [("k", "l")], partitions=1)
        )
        pairs = set(itertools.product(left, right))
        for sign in ("__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__"):
            found = crossed.filter(getattr(p.col("x"), sign)(p.col("y")))
            table = tables._runner.run(found.node)
            rows_found = set(zip(table["i"].to_pylist(), table["j"].to_pylist(), strict=True))
            assert rows_found == {(i, j) for i, j in pairs if getattr(i, sign)(j)}
        differs = crossed.filter(p.udf("nullif", p.col("x"), p.col("y")).is_not_null())
        assert tables._runner.run(differs.node).num_rows == len(
            [1 for i in left for j in range(len(other)) if i != j or j not in right]
        )


def test_a_literal_that_its_column_cannot_hold_is_compared_exactly(tables: Tables) -> None:
    tables.write("t", {"x": pa.array([Decimal("1.5"), Decimal("-1.5")], pa.decimal128(38, 20))})
    assert len(tables.column(matching(p.col("x") < 10**18), "x")) == 2
    assert tables.column(matching(p.col("x") == 10**18), "x") == []
    tables.write("t", {"x": pa.array([0], pa.timestamp("ns"))})
    assert len(tables.column(matching(p.col("x") < FAR.date()), "x")) == 1
    assert len(tables.column(matching(p.col("x") >= dt.date(1970, 1, 1)), "x")) == 1
    assert tables.column(matching(p.col("x") > dt.date(1970, 1, 1)), "x") == []


def test_times_without_a_type_in_common_do_not_become_one(tables: Tables) -> None:
    """DuckDB would fail on those beyond the year 2262, and only where it met one."""
    for coarse in (pa.array([NOON]), pa.array([NOON.date()])):
        tables.write("a", {"x": coarse})
        tables.write("b", {"x": pa.array([5], pa.timestamp("ns"))})
        tables.write("t", {"x": pa.nulls(1, coarse.type), "y": pa.array([5], pa.timestamp("ns"))})
        x, y = p.col("x"), p.col("y")
        queries = [p.scan(one).union_all(p.scan(other)) for one, other in ("ab", "ba")]
        for value in (p.udf("coalesce", x, y), p.when(x.is_null(), y).otherwise(x)):
            queries.append(p.scan("t").project(value.alias("x")))
        for query in queries:
            with pytest.raises(
                PlanningError, match="no type in common that holds the times of all"
            ):
                tables.column(query, "x")
    first = p.scan("t").project(p.udf("coalesce", p.col("y"), dt.date(1970, 1, 1)).alias("x"))
    assert tables.rows(first) == 1


@pytest.mark.parametrize(
    ("column", "literal"),
    [
        (pa.array([2]), "1.5"),
        (pa.array([Decimal("1.50")], WIDE), "1.501"),
        (pa.array([NOON]), "2024-01-01 12:00:00.0000004"),
        (pa.array([NOON]), "2024-01-01 12:00:00+02"),
        (pa.array([NOON]), "2024-01-01T12:00:00Z"),
        (pa.array([NOON], pa.timestamp("us", "UTC")), "2024-01-01 12:00:00.0000004"),
        (pa.array([NOON], pa.timestamp("ns", "UTC")), "2024-01-01 12:00:00.0000000004"),
        (pa.array([NOON], pa.timestamp("ns")), "2024-01-01 12:00:00+02"),
    ],
)
def test_a_text_literal_that_its_column_cannot_hold_is_an_error_of_the_plan(
    tables: Tables, column: pa.Array, literal: str
) -> None:
    tables.write("t", {"x": column})
    with pytest.raises(PlanningError, match="is compared with a .*, which cannot hold it"):
        tables.column(matching(p.col("x") == literal), "x")


@pytest.mark.parametrize(
    ("column", "literal"),
    [
        (pa.array([2]), "2.0"),
        (pa.array([Decimal("1.50")], WIDE), "1.5000"),
        (pa.array([1.5]), "1.5"),
        (pa.array([NOON]), "2024-01-01 12:00"),
        (pa.array([NOON]), "2024-01-01T12:00:00.000000000"),
        (pa.array([NOON], pa.timestamp("us", "UTC")), "2024-01-01 14:00:00+02"),
        (pa.array([NOON], pa.timestamp("ns", "UTC")), "2024-01-01 14:00:00+02"),
        (pa.array([1_500], pa.timestamp("ns", "UTC")), "1970-01-01 00:00:00.000001500+00"),
        (pa.array([1_501], pa.timestamp("ns", "UTC")), "1970-01-01T00:00:00.000001501Z"),
        (pa.array([1_501], pa.timestamp("ns", "Europe/Paris")), "1970-01-01 00:00:00.000001501"),
    ],
)
def test_a_text_literal_that_its_column_holds_means_that(
    tables: Tables, column: pa.Array, literal: str
) -> None:
    tables.write("t", {"x": column})
    assert tables.rows(matching(p.col("x") == literal)) == 1


def test_a_number_and_a_text_are_compared_when_one_is_cast(tables: Tables) -> None:
    tables.write("t", {"x": [2], "s": ["2.4"]})
    tables.write("a", {"x": [2]})
    tables.write("b", {"s": ["2.4"]})
    scalar = model.ScalarSubqueryFilter(
        p.scan("a").node, p.col("x").expr, BinaryOperator.EQ, p.scan("b").node
    )
    for query in (matching(p.col("x") == p.col("s")), in_subquery(), scalar):
        with pytest.raises(PlanningError, match="cannot be compared: cast one of them"):
            tables.column(query, "x")
    assert tables.column(matching(p.col("x") < p.col("s").cast("Float64")), "x") == [2]


# --- made one type ---------------------------------------------------------------------------


def test_decimals_without_a_type_in_common_are_refused(tables: Tables) -> None:
    """DuckDB would cut the finer one's digits off."""
    left = pa.array([Decimal("0.10"), Decimal("0.11")], WIDE)
    tables.write("a", {"x": left, "one": [1, 1]})
    tables.write("b", {"y": pa.array([Decimal("0.10001")], FINE)})
    tables.write("t", {"x": left, "y": pa.array([Decimal("0.10001")] * 2, FINE), "i": [1, 2]})
    chosen = p.when(p.col("i") == 1, p.col("x")).otherwise(p.col("y"))
    queries: list[Relation | model.Node] = [
        p.scan("a", ["x"]).union_all(p.scan("b", ["y"])),
        p.scan("t").project(p.udf("coalesce", p.col("x"), p.col("y")).alias("x")),
        p.scan("t").project(chosen.alias("x")),
    ]
    for query in queries:
        with pytest.raises(PlanningError, match="no type in common of at most 38 digits: cast"):
            tables.column(query, "x")
    narrow = p.col("x").cast(DataType("Decimal128", (20, 2)))
    united = p.scan("a").project(narrow.alias("x")).union_all(p.scan("b", ["y"]))
    assert tables.column(united, "x") == [Decimal(each) for each in ("0.10000", "0.10001", "0.11")]


@pytest.mark.parametrize(
    "exact",
    [
        *(pa.array([LARGE], kind) for kind in (pa.int32(), pa.int64(), pa.uint64())),
        pa.array([Decimal("16777217.5")]),
    ],
    ids=lambda exact: str(exact.type),
)
def test_whole_numbers_and_decimals_keep_their_digits_beside_a_float32(
    tables: Tables, exact: pa.Array
) -> None:
    (number,) = exact.cast(pa.float64()).to_pylist()
    tables.write("a", {"x": exact})
    tables.write("b", {"x": pa.array([0.5], pa.float32())})
    for one, other in itertools.permutations("ab"):
        assert tables.column(p.scan(one).union_all(p.scan(other)), "x") == [0.5, number]
    tables.write("a", {"x": pa.array([[each] for each in exact.to_pylist()], pa.list_(exact.type))})
    tables.write("b", {"x": pa.array([[0.5]], pa.list_(pa.float32()))})
    for one, other in itertools.permutations("ab"):
        assert tables.column(p.scan(one).union_all(p.scan(other)), "x") == [[0.5], [number]]
    tables.write("t", {"f": pa.nulls(1, pa.float32()), "n": exact})
    f, n = p.col("f"), p.col("n")
    for value in (p.udf("coalesce", f, n), p.when(f.is_null(), n).otherwise(f)):
        assert tables.column(p.scan("t").project(value.alias("x")), "x") == [number]


def test_nullif_compares_as_a_comparison_does(tables: Tables) -> None:
    columns = {
        "i": pa.array([LARGE, 7], pa.int32()),
        "f": pa.array([LARGE - 1, 7], pa.float32()),
        "m": pa.array([Decimal("0.1"), Decimal("7.0")]),
        "s": ["\\x41", "é"],
        "b": pa.array([b"A", "é".encode()], pa.binary()),
    }
    tables.write("t", columns)
    wanted = {
        ("i", "f"): [LARGE, None],
        ("f", "i"): [LARGE - 1, None],
        ("f", "m"): [LARGE - 1, None],
        ("s", "b"): ["\\x41", None],
        ("b", "s"): [b"A", None],
    }
    for (one, other), values in wanted.items():
        once = p.udf("nullif", p.col(one), p.col(other))
        for value in (once, p.udf("nullif", once, p.col(other))):
            found = tables._runner.run(p.scan("t").project(value.alias("x")).node)["x"]
            assert found.to_pylist() == values
            assert found.type == pa.table(columns)[one].type
    literals = {"\\x41": ["\\x41", "\\x41"], "é": ["é", None]}
    for text, values in literals.items():
        value = p.udf("nullif", text, p.col("b")).alias("x")
        assert tables._runner.run(p.scan("t").project(value).node)["x"].to_pylist() == values
    with pytest.raises(PlanningError, match="cannot be compared: cast one of them"):
        tables.column(p.scan("t").project(p.udf("nullif", p.col("s"), p.col("i")).alias("x")), "x")


def test_nullif_in_nullif_does_not_write_its_value_twice(tables: Tables) -> None:
    tables.write("t", {"s": ["a"], "b": pa.array([b"b"], pa.binary())})
    value = p.col("s")
    for _ in range(40):
        value = p.udf("nullif", value, p.col("b"))
    assert tables.column(p.scan("t").project(value.alias("x")), "x") == ["a"]


def test_a_text_literal_that_becomes_one_with_values_means_what_it_means_beside_them(
    tables: Tables,
) -> None:
    tables.write("t", {"b": pa.array([None], pa.binary()), "i": pa.array([None], pa.int32())})
    b, i = p.col("b"), p.col("i")
    for value in (p.udf("coalesce", b, "\\x41"), p.when(b.is_null(), "\\x41").otherwise(b)):
        assert tables.column(p.scan("t").project(value.alias("x")), "x") == [b"\\x41"]
    for value in (p.udf("coalesce", i, "1.5"), p.when(i.is_null(), "1.5").otherwise(i)):
        with pytest.raises(PlanningError, match="which cannot hold it"):
            tables.column(p.scan("t").project(value.alias("x")), "x")


def whole(kind: pa.DataType, number: int) -> list[pa.Array]:
    """A number of that type, also at other depths."""
    struct = pa.struct([("A b", kind), ("n", pa.list_(pa.struct([("x", kind)])))])
    return [
        pa.array([number], kind),
        pa.array([[number]], pa.list_(kind)),
        pa.array([{"A b": number, "n": [{"x": number}]}], struct),
        pa.array([[(number, number)]], pa.map_(kind, kind)),
    ]


@pytest.mark.parametrize("depth", range(4))
def test_unsigned_and_signed_integers_become_a_decimal_at_once(tables: Tables, depth: int) -> None:
    """As files that differ so do; not a type that another takes the place of at an exchange."""
    unsigned, signed = whole(pa.uint64(), 2**64 - 1)[depth], whole(pa.int64(), -1)[depth]
    tables.write("a", {"x": unsigned})
    tables.write("b", {"x": signed})
    tables.write("t", {"x": unsigned, "y": signed})
    x, y = p.col("x"), p.col("y")
    made_one = [p.udf("coalesce", x, y), p.when(y.is_null(), y).otherwise(x)]
    queries = [p.scan(one).union_all(p.scan(other)) for one, other in ("ab", "ba")]
    queries += [p.scan("t").project(each.alias("x")) for each in made_one]
    for query in queries:
        for written in (query, query.gather()):
            found = tables._runner.run(written.node)["x"]
            assert "decimal128(20, 0)" in str(found.type)
            assert "int" not in str(found.type)
            assert "38" not in str(found.type)
            assert str(2**64 - 1) in str(found.to_pylist())


def test_a_division_has_one_answer_before_and_after_an_exchange(tables: Tables) -> None:
    tables.write("a", {"x": pa.array([5], pa.uint64())})
    tables.write("b", {"x": pa.array([-7], pa.int64())})
    united = p.scan("a").union_all(p.scan("b"))
    for below in (united, united.gather()):
        halves = below.project(p.col("x").divide(2).alias("x"))
        assert tables.column(halves, "x") == [-3.5, 2.5]


def test_a_whole_literal_among_values_takes_their_type_where_that_holds_it(tables: Tables) -> None:
    columns = {
        "u": pa.array([None, 2**64 - 1], pa.uint64()),
        "m": pa.array([None, Decimal("0.5")], pa.decimal128(38, 30)),
    }
    tables.write("t", columns)

    def filled(name: str, number: int) -> pa.ChunkedArray:
        value = p.udf("coalesce", p.col(name), number)
        return tables._runner.run(p.scan("t").project(value.alias("x")).node)["x"]

    assert filled("u", 0).type == pa.uint64()
    assert filled("u", 0).to_pylist() == [0, 2**64 - 1]
    assert filled("u", -1).type == pa.decimal128(20, 0)
    assert filled("u", -1).to_pylist() == [-1, 2**64 - 1]
    assert filled("m", 7).to_pylist() == [7, Decimal("0.5")]


@pytest.mark.parametrize(
    ("kinds", "common"),
    [
        ((pa.float32(), pa.int32(), pa.float64()), "double"),
        ((pa.float32(), pa.int32()), "double"),
        ((pa.int64(), pa.uint64(), pa.decimal128(4, 2)), "decimal128(22, 2)"),
        ((pa.date32(), pa.string(), pa.null()), "string"),
        ((pa.float32(), pa.int64()), None),
        ((pa.date32(), pa.timestamp("us")), None),
    ],
)
def test_the_order_of_files_decides_nothing(
    tables: Tables, kinds: tuple[pa.DataType, ...], common: str | None
) -> None:
    for order in itertools.permutations(kinds):
        tables.write("t", *({"x": pa.nulls(1, kind)} for kind in order))
        query = p.scan("t")
        if common is None:
            with pytest.raises(PlanningError, match="the files have"):
                tables.column(query, "x")
        else:
            assert str(tables._runner.run(query.node).schema.field("x").type) == common


def test_dates_among_texts_are_texts(tables: Tables) -> None:
    files: list[dict[str, Any]] = [
        {"x": ["2024-01-01 23:00:00", "2024-1-2"]},
        {"x": [dt.date(2024, 1, 1)]},
    ]
    for order in itertools.permutations(files):
        tables.write("t", *order)
        assert tables.column(p.scan("t"), "x") == ["2024-01-01", "2024-01-01 23:00:00", "2024-1-2"]


# --- cast ------------------------------------------------------------------------------------


def test_a_text_becomes_the_integer_that_it_says_or_is_an_error(tables: Tables) -> None:
    tables.write("t", {"x": ["7", " -8 ", "9.0", None]})
    whole = p.scan("t").project(p.col("x").cast("Int64").alias("n"))
    assert tables.column(whole, "n") == [-8, 7, 9, None]
    for bad in ("1.5", "1.05", "15e-1"):
        tables.write("t", {"x": ["1", bad]})
        with pytest.raises(DataError, match=f"convert the text {bad}: it is no whole number"):
            tables.column(whole, "n")


def test_a_cast_between_text_and_binary_keeps_the_bytes(tables: Tables) -> None:
    tables.write("t", {"s": ["\\x41", "é"], "b": pa.array([b"\\x41", b"\xc3\xa9"], pa.binary())})
    to_binary = p.scan("t").project(p.col("s").cast("Binary").alias("x"))
    assert tables.column(to_binary, "x") == [b"\\x41", b"\xc3\xa9"]
    to_text = p.scan("t").project(p.col("b").cast("Utf8").alias("x"))
    assert tables.column(to_text, "x") == ["\\x41", "é"]
    tables.write("t", {"s": [""], "b": pa.array([b"\xff"], pa.binary())})
    with pytest.raises(DataError, match="invalid UTF8"):
        tables.column(to_text, "x")


# --- read from files -------------------------------------------------------------------------


def declared(name: str) -> Relation:
    return p.scan("t", ["x"], schema=Schema((Field("x", DataType(name), True),)))


@pytest.mark.parametrize(
    ("files", "kind", "error"),
    [
        ([pa.array(["2024-01-01 23:00:00"])], "Date32", "Could not parse string"),
        ([pa.array(["2024-01-02", "x"])], "Date32", "Could not parse string"),
        ([pa.nulls(1, pa.decimal256(60, 2))], "Float64", "of more than 38 digits"),
        (
            [pa.array([1], pa.duration("ms")), pa.array([1000], pa.duration("us"))],
            "Int64",
            "loses its unit",
        ),
    ],
)
def test_a_declared_type_changes_no_value_either(
    tables: Tables, files: list[pa.Array], kind: str, error: str
) -> None:
    tables.write("t", *({"x": column} for column in files))
    with pytest.raises(FfqError, match=error):
        tables.column(declared(kind), "x")


def test_old_timestamps_are_told_from_those_of_nanoseconds_in_any_order(
    engine: Engine, tmp_path: Path
) -> None:
    """INT96, of which DuckDB keeps the microseconds; Arrow's type is the same for both."""
    table = pa.table({"x": pa.array([1_000_000_999], pa.timestamp("ns"))})
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    pq.write_table(table, old, use_deprecated_int96_timestamps=True)
    pq.write_table(table, new)
    layouts = [read_footer("t", str(path))[1].layout for path in (old, new)]
    assert layouts[0] != layouts[1]  # so that every task sees one file of each kind
    for files in ([old, new], [new, old]):
        runner = LocalRunner(engine, tmp_path / "shuffle", {"t": files}, scan_tasks=1)
        with pytest.raises(PlanningError, match="TIMESTAMP, TIMESTAMP_NS; they do not agree"):
            runner.run(p.scan("t").node)
    alone = LocalRunner(engine, tmp_path / "shuffle", {"t": [old]}, scan_tasks=1)
    assert alone.run(p.scan("t").node)["x"].type == pa.timestamp("us")


UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.mark.parametrize(
    ("value", "column", "literal", "kind", "equal"),
    [
        (f"UUID '{UUID}'", "x", UUID, "string", True),
        (f"UUID '{UUID}'", "x", UUID.upper(), "string", False),
        (f"UUID '{UUID}'", "x", UUID.replace("-", ""), "string", False),
        (f"UUID '{UUID}'", "x", "zzz", "string", False),
        (f"{{'u': UUID '{UUID}'}}", "x.u", UUID.upper(), "struct<u: string>", False),
        (f"{{'a b': {{'u': UUID '{UUID}'}}}}", "x.a b.u", "zzz", None, False),
        ("""'{"a": 1}'::JSON""", "x", '{"a": 1}', "string", True),
        ("""'{"a": 1}'::JSON""", "x", "no JSON", "string", False),
        ("TIMETZ '10:00:00+01'", "x", "09:00:00", "time64[us]", True),
        ("'POINT (1 2)'::GEOMETRY", "x", "POINT (1 2)", "binary", False),
    ],
)
def test_a_column_means_the_same_at_its_scan_and_after_an_exchange(
    tables: Tables, value: str, column: str, literal: str, kind: str | None, equal: bool
) -> None:
    tables.write_by_duckdb("t", f"{value} AS x, 1 AS k")
    predicate = p.col(column) == literal
    same_text = p.col(column).cast("Utf8") == literal
    for rows in (p.scan("t"), p.scan("t").gather(), p.scan("t").repartition(["k"], partitions=3)):
        assert tables.column(rows.filter(predicate), "k") == [1] * equal
        if kind != "binary":
            assert tables.column(rows.filter(same_text), "k") == [1] * equal
        if kind is not None:
            assert str(tables._runner.run(rows.node).schema.field("x").type) == kind


@pytest.mark.parametrize("inner", ["UUID '{}'", "[UUID '{}']", "MAP {{'a': UUID '{}'}}"])
def test_uuids_are_text_at_any_depth(tables: Tables, inner: str) -> None:
    tables.write_by_duckdb("t", f"{inner.format(UUID)} AS x")
    tables.write_by_duckdb("u", f"{inner.format(UUID).replace('UUID', '')} AS x")
    both = p.scan("t").union_all(p.scan("u"))
    first, second = tables.column(both, "x")
    assert first == second
    assert UUID in str(first)


@pytest.mark.parametrize("strategy", ["shuffle", "broadcast_left", "broadcast_right"])
@pytest.mark.parametrize("other", ["UUID", "VARCHAR"])
def test_uuids_join_as_text_whatever_the_strategy(
    tables: Tables, strategy: Any, other: str
) -> None:
    tables.write_by_duckdb("a", f"UUID '{UUID}' AS x")
    tables.write_by_duckdb("b", f"CAST('{UUID}' AS {other}) AS y")
    for left in (p.scan("a", ["x"]), p.scan("a", ["x"]).gather()):
        joined = left.join(p.scan("b", ["y"]), [("x", "y")], strategy=strategy, partitions=3)
        assert tables.column(joined, "x") == [UUID]
    tables.write_by_duckdb("b", f"CAST('{UUID}' AS {other}) AS x")
    assert tables.column(in_subquery(), "x") == [UUID]


def test_files_of_json_or_uuids_and_of_text_are_of_text_in_any_order(tables: Tables) -> None:
    for value in ("'{}'::JSON", f"UUID '{UUID}'"):
        for files in ((f"{value} AS x", "'a' AS x"), ("'a' AS x", f"{value} AS x")):
            tables.write_by_duckdb("t", *files)
            assert "a" in tables.column(p.scan("t"), "x")
            assert "a" in tables.column(declared("Utf8"), "x")


@pytest.mark.parametrize(
    ("value", "binary", "wanted"),
    [
        (f"UUID '{UUID}'", pa.nulls(1, pa.binary(16)), "BLOB, VARCHAR"),
        (
            f"{{'u': UUID '{UUID}'}}",
            pa.nulls(1, pa.struct([("u", pa.binary(16))])),
            r"STRUCT\(u BLOB\), STRUCT\(u VARCHAR\)",
        ),
        ("INTERVAL '1 day'", pa.nulls(1, pa.binary(12)), "BLOB, INTERVAL"),
    ],
)
def test_what_arrow_takes_for_binary_is_told_from_it_in_any_order(
    tables: Tables, tmp_path: Path, value: str, binary: pa.Array, wanted: str
) -> None:
    (one,) = tables.write_by_duckdb("t", f"{value} AS x")
    other = tmp_path / "binary.parquet"
    pq.write_table(pa.table({"x": binary}), other)
    layouts = [read_footer("t", str(path))[1].layout for path in (one, other)]
    assert layouts[0] != layouts[1]  # so that every task sees one file of each kind
    for files in ([one, other], [other, one]):
        tables._runner.tables["t"] = files
        with pytest.raises(PlanningError, match=f"{wanted}; they do not agree"):
            tables.column(p.scan("t"), "x")


def test_variants_are_refused_by_name(tables: Tables) -> None:
    """Arrow has their bytes, which after an exchange would be all that is known of them."""
    assert holds_variants('STRUCT("a b" MAP(VARCHAR, VARIANT[]))')  # DuckDB writes no such file
    assert not holds_variants("STRUCT(variant INTEGER)")
    tables.write_by_duckdb("t", "1::VARIANT AS x, 1 AS k")
    with pytest.raises(UnsupportedPlan, match="table 't', column 'x': .* type VARIANT; right"):
        tables.column(p.scan("t"), "k")
    assert tables.column(p.scan("t", ["k"]), "k") == [1]


def test_timestamps_of_a_millisecond_may_be_declared_what_they_are(tables: Tables) -> None:
    moments = [dt.datetime(1969, 12, 31, 23, 59, 59, 999_000), NOON]
    kind = DataType("Timestamp", ("Millisecond", None))
    schema = Schema((Field("x", kind, True), Field("k", DataType("Int64"), True)))
    query = p.scan("t", ["x", "k"], schema=schema)
    tables.write(
        "t",
        {"x": pa.array(moments, pa.timestamp("ms")), "k": [1, 2]},
        {"x": pa.nulls(0), "k": pa.nulls(0)},
    )
    for rows in (query, query.gather(), query.repartition(["k"], partitions=3)):
        assert tables.column(rows, "x") == moments
        assert tables._runner.run(rows.node).schema.field("x").type == pa.timestamp("ms")
        assert tables.column(rows.filter(p.col("x") == str(NOON)), "k") == [2]
    tables.write("t", {"x": pa.array(moments, pa.timestamp("us")), "k": [1, 2]})
    with pytest.raises(
        PlanningError, match="files have TIMESTAMP; the schema declares TIMESTAMP_MS"
    ):
        tables.column(query, "x")
    assert tables.column(p.scan("t", ["k"], schema=schema), "k") == [1, 2]


def test_a_text_that_is_a_date_is_one_where_it_is_declared(tables: Tables) -> None:
    tables.write("t", {"x": ["2024-01-02", None]})
    assert tables.column(declared("Date32"), "x") == [dt.date(2024, 1, 2), None]


@pytest.mark.parametrize("names", [("a", "A", "A_1"), ("Ä", "ä")])
def test_fields_of_a_struct_that_differ_in_case_alone_are_refused(
    tables: Tables, names: tuple[str, ...]
) -> None:
    """DuckDB would rename one of them, and `s.A_1` be the wrong one."""
    tables.write(
        "t", {"s": [dict.fromkeys(names, 1)], "list": [[dict.fromkeys(names, 1)]], "n": [1]}
    )
    for column in ("s", "list"):
        with pytest.raises(UnsupportedPlan, match=f"'{column}': .* differ at most in case"):
            tables.column(p.scan("t", [column]), column)
    assert tables.column(p.scan("t", ["n"]), "n") == [1]


def test_a_folder_that_a_link_leads_to_is_read(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "other").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other" / "1.parquet")
    (tmp_path / "t" / "k=2").symlink_to(tmp_path / "other")
    ((file,), _) = list_files("t", [str(tmp_path / "t")])
    assert file.path == str(tmp_path / "t" / "k=2" / "1.parquet")
    (tmp_path / "t" / "round").symlink_to(tmp_path / "t")
    with pytest.raises(StorageError, match="round leads to a folder that it is in"):
        list_files("t", [str(tmp_path / "t")])


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "2.parquet")
    with pytest.raises(StorageError, match=r"2\.parquet is no regular file"):
        list_files("t", [str(tmp_path)])
