"""HashJoin of every type, with SQL's nulls, in one task and shuffled over several."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import Engine, EngineSettings
from ffq.engine.engine import opened
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.model import (
    Broadcast,
    HashJoin,
    HashPartitioning,
    Node,
    ParquetScan,
    Project,
    ShuffleRead,
    ShuffleWrite,
)
from ffq.plan.terms import BuildSide, ColumnRef, JoinStrategy, JoinType
from tests.engine.runner import LocalRunner, leaf, run_over

Row = tuple[object, ...]


def join(
    left: Node, right: Node, kind: JoinType, on: tuple[tuple[str, str], ...] = (("k", "k"),)
) -> HashJoin:
    return HashJoin(left, right, on, kind, JoinStrategy.AUTO, BuildSide.RIGHT)


def naive_join(left: Sequence[Row], right: Sequence[Row], kind: JoinType) -> Counter[Row]:
    """Nested loops over rows whose first value is the key."""
    pairs = [(a, b) for a in left for b in right if a[0] is not None and a[0] == b[0]]
    matched_left, matched_right = {a for a, _ in pairs}, {b for _, b in pairs}
    width = (len(left[0]), len(right[0]))
    if kind is JoinType.SEMI:
        return Counter(a for a in left if a in matched_left)
    if kind is JoinType.ANTI:
        return Counter(a for a in left if a not in matched_left)
    rows = [a + b for a, b in pairs]
    if kind in {JoinType.LEFT, JoinType.FULL}:
        rows += [a + (None,) * width[1] for a in left if a not in matched_left]
    if kind in {JoinType.RIGHT, JoinType.FULL}:
        rows += [(None,) * width[0] + b for b in right if b not in matched_right]
    return Counter(rows)


def rows_of(table: pa.Table) -> Counter[Row]:
    columns = [column.to_pylist() for column in table.columns]
    return Counter(zip(*columns, strict=True))


def random_table(seed: int, rows: int, value: str) -> pa.Table:
    draw = random.Random(seed)
    keys = [draw.choice([None, *range(rows // 3)]) for _ in range(rows)]
    return pa.table({"k": pa.array(keys, pa.int64()), value: list(range(rows))})


@pytest.fixture
def runner(engine: Engine, tmp_path: Path) -> LocalRunner:
    tables = {}
    for seed, name in enumerate(("left", "right")):
        files = []
        for part in range(2):
            path = tmp_path / f"{name}{part}.parquet"
            pq.write_table(random_table(seed * 2 + part, 60, name[0]), path, row_group_size=25)
            files.append(path)
        tables[name] = files
    return LocalRunner(engine, tmp_path / "shuffle", tables)


def naive_of(runner: LocalRunner, kind: JoinType) -> Counter[Row]:
    left, right = (
        [row for path in runner.tables[name] for row in rows_of(pq.read_table(path)).elements()]
        for name in ("left", "right")
    )
    return naive_join(left, right, kind)


def scan(table: str) -> Node:
    return ParquetScan(table, None, None, ())


def exchange(node: Node, partitions: int = 5) -> Node:
    partitioning = HashPartitioning(("k",), partitions)
    return ShuffleRead(ShuffleWrite(node, partitioning), partitioning)


@pytest.mark.parametrize("kind", list(JoinType))
def test_shuffled(runner: LocalRunner, kind: JoinType) -> None:
    result = runner.run(join(exchange(scan("left")), exchange(scan("right")), kind))
    assert rows_of(result) == naive_of(runner, kind)
    assert len(runner.outputs) == 6


@pytest.mark.parametrize("kind", list(JoinType))
def test_broadcast(runner: LocalRunner, kind: JoinType) -> None:
    result = runner.run(join(scan("left"), Broadcast(scan("right")), kind))
    assert rows_of(result) == naive_of(runner, kind)


@pytest.mark.parametrize("kind", list(JoinType))
@pytest.mark.parametrize(("left_rows", "right_rows"), [(0, 3), (3, 0), (0, 0)])
def test_empty_sides(engine: Engine, kind: JoinType, left_rows: int, right_rows: int) -> None:
    table = pa.table({"k": [1, 2, None], "v": ["a", "b", "c"]})
    left, right = table.slice(0, left_rows), table.slice(0, right_rows)
    result = run_over(engine, join(leaf(), leaf(), kind), left, right)
    left_kept = left_rows if kind in {JoinType.LEFT, JoinType.FULL, JoinType.ANTI} else 0
    right_kept = right_rows if kind in {JoinType.RIGHT, JoinType.FULL} else 0
    assert result.num_rows == left_kept + right_kept
    assert len(result.schema.names) == (2 if kind in {JoinType.SEMI, JoinType.ANTI} else 4)


def test_columns_of_one_name_are_told_apart_by_position(engine: Engine) -> None:
    left = pa.table({"k": [1], "v": ["left"]})
    right = pa.table({"k": [1], "v": ["right"]})
    joined = join(leaf(), leaf(), JoinType.INNER)
    assert run_over(engine, joined, left, right).schema.names == ["k", "v", "k", "v"]
    node = Project(((ColumnRef("v", 3), "r"), (ColumnRef("v", 1), "l")), joined)
    assert run_over(engine, node, left, right).to_pylist() == [{"r": "right", "l": "left"}]


def test_several_keys_and_dotted_names(engine: Engine) -> None:
    left = pa.table({"a": [1, 1, None], "b": ["x", "y", "x"]})
    right = pa.table({"r.a": [1, 1, None], "r.b": ["y", None, "x"]})
    node = join(leaf(), leaf(), JoinType.INNER, (("l.a", "r.a"), ("l.b", "b")))
    assert rows_of(run_over(engine, node, left, right)) == Counter([(1, "y", 1, "y")])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array([7], pa.int32()), pa.array([7], pa.int64())),
        (pa.array([7], pa.int64()), pa.array([Decimal("7.00")], pa.decimal128(15, 2))),
        (pa.array([0.0], pa.float32()), pa.array([-0.0], pa.float64())),
        (pa.array(["a"], pa.string_view()), pa.array(["a"], pa.large_string())),
        (
            pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
            pa.array([2**63 - 1], pa.timestamp("us")),
        ),
        (pa.array([1 - 2**63], pa.timestamp("ns")), pa.array([1 - 2**63], pa.timestamp("ms"))),
    ],
    ids=["widths", "decimal", "floats", "strings", "infinities", "minus infinities"],
)
def test_keys_of_like_types_meet_over_a_shuffle(
    engine: Engine, tmp_path: Path, left: pa.Array, right: pa.Array
) -> None:
    tables = {}
    for name, keys in (("left", left), ("right", right)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"k": keys}), path)
        tables[name] = [path]
    runner = LocalRunner(engine, tmp_path / "shuffle", tables)
    both = join(exchange(scan("left"), 50), exchange(scan("right"), 50), JoinType.INNER)
    assert runner.run(both).num_rows == 1


@pytest.mark.parametrize("kind", list(JoinType))
@pytest.mark.parametrize(
    ("of", "keys"),
    [
        (pa.struct([("y", pa.float64())]), ({"y": 0.0}, {"y": -0.0})),
        (pa.list_(pa.float32()), ([-0.0], [0.0])),
        (pa.list_(pa.float64(), 1), ([0.0], [-0.0])),
    ],
    ids=["struct", "list", "array"],
)
def test_both_sides_keep_their_nested_keys(
    engine: Engine, tmp_path: Path, kind: JoinType, of: pa.DataType, keys: tuple[object, object]
) -> None:
    tables = {}
    for name, key in zip(("left", "right"), keys, strict=True):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"k": pa.array([key, None], of)}), path)
        tables[name] = [path]
    runner = LocalRunner(engine, tmp_path / "shuffle", tables, scan_tasks=1)
    found = runner.run(join(scan("left"), scan("right"), kind))
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    both, nulls = (str(keys[0]), str(keys[1])), ("None", "None")
    expected = {
        JoinType.INNER: {both},
        JoinType.SEMI: {both[:1]},
        JoinType.ANTI: {nulls[:1]},
    }
    assert {tuple(map(str, row)) for row in rows} == expected.get(kind, {both, nulls})


def test_a_shuffled_join_of_keys_that_hash_differently_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    tables = {}
    for name, keys in (("left", pa.array([7.0])), ("right", pa.array([7]))):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"k": keys}), path)
        tables[name] = [path]
    runner = LocalRunner(engine, tmp_path / "shuffle", tables)
    both = join(exchange(scan("left")), exchange(scan("right")), JoinType.INNER)
    with pytest.raises(UnsupportedPlan, match=r"'k' \(DOUBLE\) and 'k' \(BIGINT\) hash differ"):
        runner.run(both)
    # In one task SQL's own comparison decides.
    assert runner.run(join(scan("left"), Broadcast(scan("right")), JoinType.INNER)).num_rows == 1


def test_bad_keys(engine: Engine) -> None:
    table = pa.table({"k": [1], "l": [[1]]})
    with pytest.raises(PlanningError, match="HashJoin, right side: no column 'z'"):
        run_over(engine, join(leaf(), leaf(), JoinType.INNER, (("k", "z"),)), table, table)
    with pytest.raises(PlanningError, match="HashJoin: `on` is empty"):
        run_over(engine, join(leaf(), leaf(), JoinType.INNER, ()), table, table)
    with pytest.raises(PlanningError, match=r"'l' \(BIGINT\[\]\) cannot be compared"):
        run_over(engine, join(leaf(), leaf(), JoinType.INNER, (("k", "l"),)), table, table)


def test_every_pair_of_join_types_nests(engine: Engine) -> None:
    table, others = pa.table({"k": [1, 2, None]}), pa.table({"o": [1, 2, None]})
    for outer, inner in itertools.product(JoinType, JoinType):
        node = join(join(leaf(), leaf(), inner, (("k", "o"),)), leaf(), outer)
        left = naive_join([(1,), (2,), (None,)], [(1,), (2,), (None,)], inner)
        if not left:
            assert run_over(engine, node, table, others, table).num_rows in {0, 3}
            continue
        expected = naive_join(list(left.elements()), [(1,), (2,), (None,)], outer)
        assert rows_of(run_over(engine, node, table, others, table)) == expected


@pytest.mark.parametrize(
    ("join", "operator"),
    [
        ("ASOF JOIN r ON l.a >= r.a", "Asof Join"),
        ("JOIN r ON l.a < r.a", "Piecewise Merge Join"),
        ("JOIN r ON l.a < r.a AND l.b > r.b", "IE Join"),
    ],
)
def test_joins_of_streams_compare_no_row_with_all_others(join: str, operator: str) -> None:
    """The engine takes streams for tables of few rows, as they say nothing of their number."""
    with opened(EngineSettings(), 0) as connection:
        for name in "lr":
            rows = pa.table({"a": [1, 2], "b": [3, 4]})
            connection.register(name, rows.to_reader())
        ((_, plan),) = connection.execute(f"EXPLAIN SELECT * FROM l {join}").fetchall()
    assert operator in plan
