"""Names after joins, in structs and across exchanges: the column that is meant, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq import plan as p
from ffq.engine import Engine
from ffq.errors import PlanningError
from ffq.plan import model, terms
from ffq.plan.builder import Relation
from tests.engine.runner import LocalRunner

TABLES = {
    "l": {"k": [1, 2], "name": ["L1", "L2"]},
    "r": {"k": [1, 3], "name": ["R1", "R3"], "addr": [{"city": "Oslo"}, {"city": "Rome"}]},
    "s": {"addr": [{"city": "Oslo", "geo": {"lat": 60}}], "city": ["Paris"]},
}


@pytest.fixture
def runner(engine: Engine, tmp_path: Path) -> LocalRunner:
    for name, columns in TABLES.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    files = {name: [tmp_path / f"{name}.parquet"] for name in TABLES}
    return LocalRunner(engine, tmp_path / "shuffle", files, scan_tasks=2)


def joined(how: Any = "inner", strategy: Any = "shuffle") -> Relation:
    return p.scan("l").join(p.scan("r"), "k", how, strategy=strategy, partitions=2)


def rows(runner: LocalRunner, relation: Relation) -> list[dict[str, object]]:
    return sorted(runner.run(relation.node).to_pylist(), key=str)


@pytest.mark.parametrize("strategy", ["shuffle", "broadcast_left", "broadcast_right"])
def test_a_table_and_a_name_mean_that_tables_column(runner: LocalRunner, strategy: str) -> None:
    names = ("k", "l.name", "r.name", "r.k", "r.addr.city")
    found = rows(runner, joined(strategy=strategy).project(*names))
    assert found == [dict(zip(names, (1, "L1", "R1", 1, "Oslo"), strict=True))]


@pytest.mark.parametrize("strategy", ["shuffle", "broadcast_left", "broadcast_right"])
def test_a_key_of_a_join_may_name_its_table(runner: LocalRunner, strategy: Any) -> None:
    keys = [("r.name", "l.name")]
    relation = joined().join(p.scan("l"), keys, strategy=strategy, partitions=2)
    assert rows(runner, relation) == []
    to_left = joined().join(p.scan("l"), [("l.name", "l.name")], strategy=strategy, partitions=2)
    assert [row["addr"] for row in rows(runner, to_left)] == [{"city": "Oslo"}]


@pytest.mark.parametrize(
    ("relation", "error"),
    [
        (p.scan("s").repartition(["addr.city"]), "no column 'addr.city'"),
        (p.scan("s").repartition(["x.city"]), "no column 'x.city'"),
        (p.scan("s").join(p.scan("l"), [("addr.city", "name")]), "no column 'addr.city'"),
        (
            p.scan("s").join(p.scan("l"), [("city", "x.name")], strategy="broadcast_right"),
            "right side: no column 'x.name'",
        ),
        (p.scan("s", ["addr.city"]), "no column 'addr.city'"),
        (p.scan("l", ["x.name"]), "no column 'x.name'"),
        (p.scan("s", ["addr.city"]), "a field of 'addr' can stand here when a projection"),
    ],
)
def test_a_dotted_key_is_never_another_column_of_its_last_part(
    runner: LocalRunner, relation: Relation, error: str
) -> None:
    with pytest.raises(PlanningError, match=error):
        runner.run(relation.node)


def test_a_scan_may_name_its_table_before_its_columns(runner: LocalRunner) -> None:
    assert rows(runner, p.scan("l", ["l.name"])) == [{"name": "L1"}, {"name": "L2"}]


def test_a_table_is_known_after_exchanges_filters_and_windows(runner: LocalRunner) -> None:
    relation = joined().repartition(["r.name"], partitions=2).filter(p.col("l.name") != "x")
    assert rows(runner, relation.gather().project("r.name")) == [{"r.name": "R1"}]
    grouped = joined().aggregate(["r.name"], [p.col("l.name").max().alias("m")], partitions=2)
    assert rows(runner, grouped) == [{"r.name": "R1", "m": "L1"}]


@pytest.mark.parametrize(
    ("how", "keys"), [("left", [1, 2]), ("right", [1, 3]), ("inner", [1]), ("semi", [1])]
)
def test_the_bare_key_of_a_join_is_of_the_side_that_is_whole(
    runner: LocalRunner, how: str, keys: list[int]
) -> None:
    assert rows(runner, joined(how).project("k")) == [{"k": key} for key in keys]


@pytest.mark.parametrize(
    ("relation", "error"),
    [
        (joined().project("name"), r"'name' is ambiguous: it may be l\.name .*, r\.name"),
        (joined().repartition(["name"]), r"'name' is ambiguous"),
        (joined("full").project("k"), r"'k' is ambiguous: it may be l\.k .*, r\.k"),
        (joined("semi").project("r.name"), r"no column 'r\.name' \(nearest: name\)"),
        (joined().project("q.name"), r"no column 'q\.name'"),
        (p.scan("l").filter(p.col("k") > 0).project("x.k"), r"no column 'x\.k'"),
        (p.scan("l").join(p.scan("l"), "k").project("l.k"), r"'l\.k' is ambiguous"),
        (p.scan("s").project("nosuch.city"), r"no column 'nosuch\.city' \(nearest: city\)"),
        (p.scan("s").project("addr.street"), r"no column 'addr\.street'"),
        (p.scan("l").aggregate(["x.name"], [p.count()]), r"no column 'x\.name'"),
    ],
)
def test_what_means_several_or_nothing_is_refused(
    runner: LocalRunner, relation: Relation, error: str
) -> None:
    with pytest.raises(PlanningError, match=error):
        runner.run(relation.node)


def test_a_field_of_a_struct_is_not_the_column_of_its_name(runner: LocalRunner) -> None:
    relation = p.scan("s").filter(p.col("addr.city") == "Oslo")
    found = rows(runner, relation.project("addr.city", "city", "addr.geo.lat", "s.city"))
    assert found == [{"addr.city": "Oslo", "city": "Paris", "addr.geo.lat": 60, "s.city": "Paris"}]
    grouped = p.scan("s").aggregate(["addr.city"], [p.count()], partitions=2)
    assert rows(runner, grouped) == [{"addr.city": "Oslo", "count": 1}]
    scanned = p.scan("s", ["city", "addr"], filters=[p.col("addr.geo.lat") > 50]).project("city")
    assert rows(runner, scanned) == [{"city": "Paris"}]


@pytest.mark.parametrize("how", ["inner", "left"])
def test_groups_are_whole_where_a_join_gives_the_name_of_their_key_away(
    engine: Engine, tmp_path: Path, how: Any
) -> None:
    files = {"l": pa.table({"o.k": range(8), "v": [1] * 8}), "r": pa.table({"w": [1], "k": [77]})}
    for name, table in files.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    runner = LocalRunner(
        engine, tmp_path / "shuffle", {name: [tmp_path / f"{name}.parquet"] for name in files}
    )
    by_suffix = model.HashPartitioning(("k",), 4)
    left = p.scan("l", ["o.k", "v"]).node
    exchanged = Relation(model.ShuffleRead(model.ShuffleWrite(left, by_suffix), by_suffix))
    right = p.scan("r", ["w", "k"])
    join = exchanged.join(right, [("v", "w")], how, strategy="broadcast_right").node
    groups, counts = (terms.Column("k"),), ((p.count().aggregate, "n"),)
    final = model.FinalHashAggregate(
        groups, counts, model.PartialHashAggregate(groups, counts, join)
    )
    assert runner.run(final).to_pylist() == [{"k": 77, "n": 8}]
    number = terms.WindowExpr(terms.WindowFunction("RowNumber"), groups, (), None, "at")
    numbered = runner.run(model.Window((number,), join))
    assert sorted(numbered["at"].to_pylist()) == list(range(1, 9))


def test_what_exchanges_carry_beside_names_is_in_no_result(runner: LocalRunner) -> None:
    found = runner.run(joined().node)
    assert found.schema.names == ["k", "name", "k", "name", "addr"]
    assert found.schema.metadata is None
    assert [field.metadata for field in found.schema] == [None] * 5
