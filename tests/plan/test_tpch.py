"""The TPC-H plans: how they are laid out. What they answer is checked where an engine runs them."""

from __future__ import annotations

import pytest

from ffq.errors import InvalidRequest
from ffq.plan import Parallelism, Relation, cut, parse_plan, tpch
from ffq.plan import model as m

SINGLE, SCAN, HASH = Parallelism.SINGLE, Parallelism.SCAN, Parallelism.HASH


def layout(relation: Relation) -> list[tuple[Parallelism, list[tuple[str, bool]], list[int]]]:
    return [
        (
            stage.parallelism,
            [(scan.table, scan.split) for scan in stage.scans],
            [source.stage_id for source in stage.parents],
        )
        for stage in cut(relation.node).stages
    ]


@pytest.mark.parametrize(
    "relation",
    [tpch.q1(), tpch.q3(), tpch.q3(joins="broadcast"), tpch.late_lines()],
    ids=["q1", "q3", "q3-broadcast", "late_lines"],
)
def test_the_json_reads_back_as_the_plan(relation: Relation) -> None:
    assert parse_plan(relation.to_json()) == relation.node


def test_q1_is_two_stages_both_shared_out() -> None:
    assert layout(tpch.q1()) == [(HASH, [], [1]), (SCAN, [("lineitem", True)], [])]
    assert cut(tpch.q1(partitions=3).node).stages[1].output == m.HashPartitioning(
        ("l_returnflag", "l_linestatus"), 3
    )


def test_q3_shuffles_both_joins() -> None:
    assert layout(tpch.q3()) == [
        (SINGLE, [], [1]),
        (HASH, [], [2]),
        (HASH, [], [3, 4]),
        (SCAN, [("lineitem", True)], []),
        (HASH, [], [5, 6]),
        (SCAN, [("orders", True)], []),
        (SCAN, [("customer", True)], []),
    ]


def test_q3_broadcasts_the_small_sides() -> None:
    scans = [("lineitem", True), ("orders", False), ("customer", False)]
    assert layout(tpch.q3(joins="broadcast")) == [
        (SINGLE, [], [1]),
        (HASH, [], [2]),
        (SCAN, scans, []),
    ]
    with pytest.raises(InvalidRequest, match="q3: unknown joins 'merge'"):
        tpch.q3(joins="merge")  # type: ignore[arg-type]


def test_columns_are_those_of_the_sql() -> None:
    assert tpch.q1().columns == (
        *("l_returnflag", "l_linestatus", "sum_qty", "sum_base_price", "sum_disc_price"),
        *("sum_charge", "avg_qty", "avg_price", "avg_disc", "count_order"),
    )
    for joins in ("shuffle", "broadcast"):
        relation = tpch.q3(joins=joins)
        assert relation.columns == ("l_orderkey", "revenue", "o_orderdate", "o_shippriority")
    assert tpch.late_lines().columns == ("l_shipmode", "lines", "days_late", "worst")


def test_late_lines_needs_its_operator_in_the_scan_stage_only() -> None:
    relation = tpch.late_lines(at_least=7, operator="my.days")
    assert [stage.operators for stage in cut(relation.node).stages] == [set(), {"my.days"}]
