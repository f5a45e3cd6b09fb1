"""Inline tables in plans: how they are spelled, and who is given them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ffq.errors import InvalidPlan, PlanningError
from ffq.plan import dump_plan, parse_plan
from ffq.plan import model as m
from ffq.plan.bound import Match, SqlType
from ffq.plan.inline import MAX_INLINE_BYTES, InlineTable
from ffq.plan.properties import has_own_words
from ffq.plan.stages import Parallelism, cut

BIGINT = SqlType("BIGINT")
ONE, OTHER = InlineTable("one", b"\x00\xff rows"), InlineTable("it's other", b"more rows")
HASH = m.HashPartitioning(("k",), 4)


def inline(table: InlineTable) -> m.Inline:
    return m.Inline(table.name, (("k", BIGINT),))


def exchange(node: m.Node) -> m.Node:
    return m.ShuffleRead(m.ShuffleWrite(node, HASH), HASH)


SCAN = m.ParquetScan("t", None, ("k",), ())
PLAN = m.WithTables(
    (),
    m.UnionAll(
        exchange(m.UnionAll(inline(ONE), inline(ONE))), exchange(m.UnionAll(inline(OTHER), SCAN))
    ),
    (OTHER, ONE),
)


def test_rows_stand_in_the_plan_once_however_often_they_are_read() -> None:
    written = dump_plan(PLAN)
    assert parse_plan(written) == PLAN
    root = json.loads(written)["ffq.WithTables"]
    assert root["inline"] == [
        {"name": "it's other", "parquet": base64.b64encode(OTHER.parquet).decode()},
        {"name": "one", "parquet": base64.b64encode(ONE.parquet).decode()},
    ]
    assert {"ffq.Inline": {"table": "one", "columns": [["k", "BIGINT"]]}} in _nodes(root)


def _nodes(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return []
    return [value, *(node for each in inside for node in _nodes(each))]


def test_a_stage_has_the_tables_that_it_reads_and_no_others() -> None:
    sink, first, second = cut(PLAN).stages
    assert [stage.inline for stage in (sink, first, second)] == [(), (ONE,), (OTHER,)]
    # Rows that are whole in each task are never given out by two.
    assert [stage.parallelism for stage in (first, second)] == [Parallelism.SINGLE] * 2


def test_a_join_reads_them_whole_in_each_task_of_the_side_that_is_divided() -> None:
    joined = m.Join(SCAN, m.Broadcast(inline(ONE)), Match.LEFT, None, ())
    (stage,) = cut(m.WithTables((), joined, (ONE,))).stages
    assert (stage.parallelism, stage.inline) == (Parallelism.SCAN, (ONE,))
    # Each of its own rows must be given out once, with a match or without.
    mirrored = m.Join(inline(ONE), SCAN, Match.LEFT, None, ())
    (stage,) = cut(m.WithTables((), mirrored, (ONE,))).stages
    assert (stage.parallelism, stage.scans[0].split) == (Parallelism.SINGLE, False)


def test_other_implementations_are_given_none() -> None:
    assert has_own_words(cut(PLAN))


def test_rows_that_the_plan_does_not_bring_are_missed_by_name() -> None:
    with pytest.raises(PlanningError, match=r"no rows of table 'one'; .* inline: it's other$"):
        cut(m.WithTables((), inline(ONE), (OTHER,)))
    with pytest.raises(PlanningError, match="no rows of table 'one'; .* inline: none$"):
        cut(inline(ONE))


def document(*tables: Any) -> bytes:
    scan: dict[str, Any] = {
        "ParquetScan": {"table": "t", "schema": None, "projection": None, "filters": []}
    }
    return json.dumps(
        {"ffq.WithTables": {"tables": [], "inline": list(tables), "input": scan}}
    ).encode()


def entry(name: str, size: int) -> dict[str, str]:
    return {"name": name, "parquet": base64.b64encode(bytes(size)).decode()}


def test_their_size_is_bounded_together_before_anything_is_decoded() -> None:
    half = MAX_INLINE_BYTES // 2
    fits = parse_plan(document(entry("a", half), entry("b", half)))
    assert isinstance(fits, m.WithTables)
    assert sum(len(each.parquet) for each in fits.inline) == MAX_INLINE_BYTES
    with pytest.raises(
        InvalidPlan,
        match=r"inline: tables .* have 2,097,153 bytes as Parquet \('b' 1,048,577, 'a' 1,048,576\)"
        r", and may have 2,097,152 together; right would be a Parquet file",
    ):
        parse_plan(document(entry("a", half), entry("b", half + 1)))
    undecodable = {"name": "a", "parquet": "!" * 3_000_000}
    with pytest.raises(InvalidPlan, match="may have 2,097,152 together"):
        parse_plan(document(undecodable))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([entry("a", 3), entry("a", 4)], r"inline\[1\]: table 'a' stands twice"),
        ([{"name": "a", "parquet": "AAA"}], r"inline\[0\]\.parquet: no base64"),
        ([{"name": "a", "parquet": "éééé"}], r"inline\[0\]\.parquet: no base64"),
        ([{"name": "a", "parquet": "A A="}], r"inline\[0\]\.parquet: no base64"),
        ([{"name": "a", "parquet": None}], r"inline\[0\]\.parquet: expected a string"),
        ([{"name": "", "parquet": ""}], r"inline\[0\]\.name: expected a name"),
        ([{"name": "a"}], r"inline\[0\]: missing 'parquet'"),
        ([3], r"inline\[0\]: expected an object"),
    ],
)
def test_what_is_none_is_refused_with_its_place(tables: list[Any], message: str) -> None:
    with pytest.raises(InvalidPlan, match=message):
        parse_plan(document(*tables))
