"""Row groups and files that a scan leaves out: those in which its condition is true of no row."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffq.catalog import Catalog, ScanSettings, Table, plan_scans, statistics
from ffq.catalog.statistics import Known, may_hold
from ffq.engine import Engine, FragmentSpec
from ffq.messages import ScanSplit
from ffq.plan.bound import BoundExpr, Call, Conjunction, Constant, Form, Place, Special, SqlType
from ffq.plan.conditions import Compares, scan_conditions
from ffq.plan.model import Filter, Limit, Node, ParquetScan, Project
from ffq.plan.stages import cut
from ffq.plan.terms import (
    And,
    BinaryOp,
    BinaryOperator,
    Bound,
    Column,
    Expr,
    IsNotNull,
    IsNull,
    Literal,
    LiteralType,
    Or,
)
from tests.engine.runner import run_fragment

NAN = float("nan")
GROUP = 3
PARTS = ("1", "2", "__HIVE_DEFAULT_PARTITION__")
DAY = dt.date(2024, 2, 28)
FLOATS = [1.0, 2.0, 3.0, NAN, 1.0, None, NAN, NAN, NAN, -0.0, 0.0, None, None, None, None]
FLOATS += [5.0, 6.0, math.inf, 0.0, 7.0, -math.inf, 0.1, 0.2, 0.3]
INTEGERS = [1, 2, 3, None, 5, 6, 2**62, -(2**62), 0, None, None, None, 9, 9, 9, 2**53 + 1, 4, 4]
INTEGERS += [7, 8, None, -1, -2, -3]
TEXTS = ["a", "b", "c", "x" * 90, "x" * 91, "y", None, None, None, "", "a\U0010ffff", "ab"]
TEXTS += ["é", "z", "zz", "\U0001f600", "\uffff", "m", "n", "o", "p", "A", "B", "C"]
ROWS = len(FLOATS)


def columns() -> dict[str, pa.Array]:
    at = range(ROWS)
    micros = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=7 * each) for each in at]
    return {
        "i": pa.array(INTEGERS, pa.int64()),
        "u": pa.array([each % 5 + (2**63 if each > 11 else 0) for each in at], pa.uint64()),
        "f": pa.array(FLOATS, pa.float64()),
        "g": pa.array(FLOATS, pa.float32()),
        "s": pa.array(TEXTS, pa.string()),
        "d": pa.array([DAY + dt.timedelta(days=each // 4) for each in at], pa.date32()),
        "n": pa.array([Decimal(each) / 4 - 2 for each in at], pa.decimal128(12, 2)),
        "t": pa.array(micros, pa.timestamp("us")),
        "ms": pa.array(micros, pa.timestamp("ms")),
        "z": pa.array(micros, pa.timestamp("us", "UTC")),
        "row": pa.array(at, pa.int64()),
    }


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Three folders of one table, each of eight row groups of three rows."""
    folder = tmp_path_factory.mktemp("pruned")
    table = pa.table(columns())
    for at, (part, day) in enumerate([("1", "2024-01-01"), ("2", "2024-03-01")]):
        below = folder / f"p={part}" / f"day={day}"
        below.mkdir(parents=True)
        moved = table.set_column(10, "row", pa.array([each + at * ROWS for each in range(ROWS)]))
        pq.write_table(moved, below / "f.parquet", row_group_size=GROUP)
    below = folder / "p=__HIVE_DEFAULT_PARTITION__" / "day=2024-02-01"
    below.mkdir(parents=True)
    moved = table.set_column(10, "row", pa.array([each + 2 * ROWS for each in range(ROWS)]))
    pq.write_table(moved, below / "f.parquet", row_group_size=GROUP, write_statistics=False)
    return Catalog.of([Table("t", (str(folder),))])


def splits_of(catalog: Catalog, plan: Node) -> list[ScanSplit]:
    (scan,) = plan_scans(cut(plan), catalog, ScanSettings(1))
    return [split for share in scan.shares for split in share]


def check(catalog: Catalog, engine: Engine, pruned: Node) -> int:
    """Each row that the plan gives out is in a row group that its scan was given; how many it was.

    The plan's first column is `row`, which says file and row group.
    """
    (everything,) = catalog.scan_shares("t", 2**60, 1).shares
    found = run_fragment(engine, FragmentSpec(pruned, {0: everything}))[0].to_pylist()
    paths = [split.path for split in everything]
    given_out = {
        (paths.index(split.path), group)
        for split in splits_of(catalog, pruned)
        for group in range(split.row_group_start, split.row_group_end)
    }
    order = [paths.index(next(p for p in paths if f"p={part}" in p)) for part in PARTS]
    needed = {(order[row // ROWS], row % ROWS // GROUP) for row in found}
    assert needed <= given_out
    return len(given_out)


# --- the plans that peers send ---------------------------------------------------------------

OPS = [
    BinaryOperator.EQ,
    BinaryOperator.LT,
    BinaryOperator.LT_EQ,
    BinaryOperator.GT,
    BinaryOperator.GT_EQ,
    BinaryOperator.NOT_EQ,
]
WHOLE = [1, 5, 0, 9, -3, 2**53, 2**53 + 1, 2**62, -(2**62), 2**63 - 1, 10]
REAL = [0.0, -0.0, 1.0, 5.5, 0.1, NAN, math.inf, -math.inf, 7.0]
WORDS = ["", "a", "b", "x" * 90, "x" * 64, "x" * 92, "y", "é", "\U0001f600", "ab", "zzz", "\uffff"]
DAYS = ["2024-02-28", "2024-02-29", "2024-03-05", "1999-01-01", "2024-03-01", "2030-01-01"]


def literals(kind: LiteralType, values: Sequence[object]) -> st.SearchStrategy[Literal]:
    return st.sampled_from([Literal(kind, value) for value in values])  # type: ignore[arg-type]


def compared(names: Sequence[str], values: st.SearchStrategy[Literal]) -> st.SearchStrategy[Expr]:
    column = st.builds(Column, st.sampled_from(names))
    return st.one_of(
        st.builds(BinaryOp, column, st.sampled_from(OPS), values),
        st.builds(BinaryOp, values, st.sampled_from(OPS), column),
        st.builds(IsNull, column),
        st.builds(IsNotNull, column),
    )


TESTS = st.one_of(
    compared(["i", "n", "p", "u", "f", "g"], literals(LiteralType.INT64, WHOLE)),
    compared(["f", "g"], literals(LiteralType.FLOAT64, REAL)),
    compared(["s"], literals(LiteralType.UTF8, WORDS)),
    compared(["d", "day"], literals(LiteralType.UTF8, DAYS)),
)
PREDICATES = st.recursive(
    TESTS, lambda inner: st.builds(And, inner, inner) | st.builds(Or, inner, inner), max_leaves=4
)


@given(filters=st.lists(PREDICATES, min_size=1, max_size=2), above=PREDICATES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pruned_scan_gives_the_rows_of_one_that_reads_all(
    catalog: Catalog, engine: Engine, filters: list[Expr], above: Expr
) -> None:
    names = ("row", "i", "n", "p", "u", "f", "g", "s", "d", "day")
    check(catalog, engine, Filter(above, ParquetScan("t", None, names, tuple(filters))))


# --- the plans that SQL becomes --------------------------------------------------------------

BOOLEAN = SqlType("BOOLEAN")
NAMES = ("row", "i", "f", "g", "s", "d", "n", "t", "ms", "z", "p", "day")
KINDS = {
    "i": "BIGINT",
    "p": "BIGINT",
    "f": "DOUBLE",
    "g": "FLOAT",
    "s": "VARCHAR",
    "d": "DATE",
    "day": "DATE",
    "t": "TIMESTAMP",
    "ms": "TIMESTAMP",
    "z": "TIMESTAMP WITH TIME ZONE",
}
START = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()) * 10**6
FIRST = (DAY - dt.date(1970, 1, 1)).days
TIMES = [START, START + 3600 * 10**6, START + 7 * 3600 * 10**6, START + 10**12, START - 1]
VALUES: dict[str, list[Any]] = {
    "BIGINT": WHOLE,
    "DOUBLE": REAL,
    "FLOAT": [0.0, 5.5, NAN, math.inf, 7.0],
    "VARCHAR": WORDS,
    "DATE": [FIRST, FIRST + 1, FIRST + 5, FIRST - 30, FIRST + 2, FIRST + 100],
    "TIMESTAMP": TIMES,
    "TIMESTAMP WITH TIME ZONE": TIMES,
}


@st.composite
def bound_tests(draw: st.DrawFn) -> BoundExpr:
    name = draw(st.sampled_from(NAMES[1:]))
    place = Place(NAMES.index(name))
    kind = SqlType(KINDS[name]) if name in KINDS else SqlType("DECIMAL", (12, 2))
    among = VALUES.get(kind.name, [-200, 0, 25, 50, 399, 10_000])
    value = st.builds(Constant, st.just(kind), st.sampled_from((*among, None)))
    match draw(st.integers(0, 5)):
        case 0 | 1:
            sign = draw(st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]))
            sides: tuple[BoundExpr, ...] = (place, draw(value))
            return Call(sign, sides[:: draw(st.sampled_from([1, -1]))], BOOLEAN)
        case 2:
            return Special(Form.IN, (place, *draw(st.lists(value, min_size=1, max_size=3))))
        case 3:
            return Special(Form.BETWEEN, (place, draw(value), draw(value)))
        case 4:
            return Special(draw(st.sampled_from([Form.IS_NULL, Form.IS_NOT_NULL])), (place,))
        case _:
            return Special(Form.NOT, (draw(bound_tests()),))


BOUND = st.recursive(
    bound_tests(),
    lambda inner: st.builds(
        Conjunction, st.lists(inner, min_size=1, max_size=3).map(tuple), st.booleans()
    ),
    max_leaves=4,
)


@given(tree=BOUND, seed=st.permutations(range(1, len(NAMES))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_so_does_a_filter_over_projections(
    catalog: Catalog, engine: Engine, tree: BoundExpr, seed: list[int]
) -> None:
    """The scan gives its columns in another order, which a projection puts right again."""
    order = [0, *seed]
    scan = ParquetScan("t", None, tuple(NAMES[at] for at in order), ())
    back = Project(
        tuple((Bound(Place(order.index(at))), f"c{at}") for at in range(len(NAMES))), scan
    )
    check(catalog, engine, Filter(Bound(tree), back))


# --- how much is left out --------------------------------------------------------------------


def comparing(name: str, op: BinaryOperator, value: object) -> Expr:
    kinds = {int: LiteralType.INT64, float: LiteralType.FLOAT64, str: LiteralType.UTF8}
    return BinaryOp(Column(name), op, Literal(kinds[type(value)], value))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("predicate", "groups"),
    [
        (comparing("p", BinaryOperator.EQ, 1), 8),
        (IsNull(Column("p")), 8),
        (comparing("day", BinaryOperator.GT, "2024-02-15"), 8),
        # The third file has no statistics.
        (comparing("d", BinaryOperator.LT, "2024-02-29"), 2 + 2 + 8),
        (And(comparing("p", BinaryOperator.EQ, 2), comparing("i", BinaryOperator.EQ, 9)), 3),
        (And(comparing("p", BinaryOperator.EQ, 2), IsNull(Column("i"))), 3),
        (And(comparing("p", BinaryOperator.EQ, 2), comparing("f", BinaryOperator.LT, 0.05)), 3),
        (comparing("p", BinaryOperator.EQ, 77), 0),
    ],
)
def test_what_cannot_match_is_not_given_out(
    catalog: Catalog, engine: Engine, predicate: Expr, groups: int
) -> None:
    plan = ParquetScan("t", None, ("row", "i", "p", "day", "d", "f"), (predicate,))
    assert check(catalog, engine, plan) == groups


def test_nan_is_looked_for_where_statistics_say_nothing_of_it(
    catalog: Catalog, engine: Engine
) -> None:
    """It is greater than any number, and no minimum or maximum."""
    predicate = comparing("f", BinaryOperator.GT, 100.0)
    plan = ParquetScan("t", None, ("row", "f"), (predicate,))
    check(catalog, engine, plan)
    rows = run_fragment(engine, FragmentSpec(plan, {0: splits_of(catalog, plan)}))
    assert rows.num_rows == 3 * 5  # four NaN and one infinity in each file


def test_a_limit_between_filter_and_scan_keeps_the_scan_whole() -> None:
    scan = ParquetScan("t", None, ("i",), ())
    predicate = comparing("i", BinaryOperator.EQ, 1)
    assert scan_conditions(Filter(predicate, Limit(1, scan))) == (None,)
    assert scan_conditions(Filter(predicate, scan)) == (
        Compares("i", "=", Literal(LiteralType.INT64, 1)),
    )


@pytest.mark.parametrize(
    ("kind", "value", "possible"),
    [
        # A text that was cut off after two characters may go on.
        ("text", "mz", True),
        ("text", "n", False),
        ("text", "mzz", True),
    ],
)
def test_a_text_that_was_cut_off_may_be_greater(kind: str, value: str, possible: bool) -> None:
    known = Known(kind, "aa", "mz", cut=True)
    condition = Compares("s", ">", Literal(LiteralType.UTF8, value))
    assert may_hold(condition, lambda _: known) is possible


def test_an_unsigned_number_beyond_half_the_range_is_not_known(tmp_path: Path) -> None:
    """Files hold it as a negative one."""
    path = tmp_path / "u.parquet"
    pq.write_table(pa.table({"u": pa.array([1, 2**64 - 1], pa.uint64())}), path)
    (known,) = statistics.row_groups(pq.read_metadata(path), "u")
    assert known.kind == ""


DECIMAL_FOUR = Constant(SqlType("DECIMAL", (9, 1)), 40)
MILLISECOND_NINE = Constant(SqlType("TIMESTAMP_MS"), 9)


@pytest.mark.parametrize(
    ("kind", "low", "high", "via", "value", "read"),
    [
        ("number", 1, 3, SqlType("BIGINT"), Constant(SqlType("BIGINT"), 4), False),
        ("number", 1, 3, SqlType("BIGINT"), Constant(SqlType("BIGINT"), 2), True),
        # 3.5 is 4 as an integer: the bounds are not what the cast has.
        ("number", 1, Fraction(7, 2), SqlType("BIGINT"), Constant(SqlType("BIGINT"), 4), True),
        ("number", 1, Fraction(7, 2), SqlType("DECIMAL", (9, 1)), DECIMAL_FOUR, False),
        ("number", 1, Fraction(15, 4), SqlType("DECIMAL", (9, 1)), DECIMAL_FOUR, True),
        ("text", "a", "c", SqlType("VARCHAR"), Constant(SqlType("VARCHAR"), "d"), False),
        ("text", "a", "c", SqlType("ENUM", ("d",)), Constant(SqlType("VARCHAR"), "d"), True),
        ("float", 1.0, 3.0, SqlType("DOUBLE"), Constant(SqlType("DOUBLE"), 0.5), False),
        ("float", 1.0, 3.0, SqlType("FLOAT"), Constant(SqlType("DOUBLE"), 0.5), True),
        ("timestamp", 1_000, 2_000, SqlType("TIMESTAMP_MS"), MILLISECOND_NINE, False),
        ("timestamp", 1_500, 8_999, SqlType("TIMESTAMP_MS"), MILLISECOND_NINE, True),
    ],
)
def test_a_cast_between_column_and_constant_decides_only_what_it_keeps(
    kind: str, low: Any, high: Any, via: SqlType, value: Constant, read: bool
) -> None:
    first, last = (Fraction(each) if isinstance(each, int) else each for each in (low, high))
    known = Known(kind, first, last, nulls=False)
    assert may_hold(Compares("c", "=", value, via), lambda _: known) is read
