"""The largest plans that are accepted run: no bound of the engine's own is met before ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import Engine, FragmentSpec
from ffq.engine.oracle import TypeOracle
from ffq.engine.sql import Columns
from ffq.errors import InvalidPlan
from ffq.plan import model
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import Node
from ffq.plan.terms import And, BinaryOp, BinaryOperator, CaseWhen, Column, Expr, Not, Or
from ffq.plan.walk import stage_reads
from tests.engine.runner import integer, leaf, run_fragment, run_over, whole_files
from tests.profiles import variants

A = Column("a")
TABLE = pa.table({"a": [0, 1, None]})
TERMS = 1_000


def plus(left: Expr, right: Expr) -> Expr:
    return BinaryOp(left, BinaryOperator.PLUS, right)


def minus(left: Expr, right: Expr) -> Expr:
    return BinaryOp(left, BinaryOperator.MINUS, right)


def divide(left: Expr, right: Expr) -> Expr:
    return BinaryOp(left, BinaryOperator.DIVIDE, right)


def unequal(number: int) -> Expr:
    return BinaryOp(A, BinaryOperator.NOT_EQ, integer(number + 10))


def project(expr: Expr) -> Node:
    return model.Project(((expr, "value"),), leaf())


def keep(predicate: Expr) -> Node:
    return model.Filter(predicate, leaf())


def left_deep(join: Callable[[Expr, Expr], Expr], terms: Sequence[Expr]) -> Expr:
    below, *more = terms
    for term in more:
        below = join(below, term)
    return below


def right_deep(join: Callable[[Expr, Expr], Expr], terms: Sequence[Expr]) -> Expr:
    *more, below = terms
    for term in reversed(more):
        below = join(term, below)
    return below


def balanced(join: Callable[[Expr, Expr], Expr], terms: Sequence[Expr]) -> Expr:
    half = len(terms) // 2
    if not half:
        return terms[0]
    return join(balanced(join, terms[:half]), balanced(join, terms[half:]))


def comparisons(count: int) -> list[Expr]:
    return [unequal(number) for number in range(count)]


def nested_cases(count: int) -> Expr:
    below: Expr = integer(0)
    for number in range(count):
        below = CaseWhen(((unequal(number), integer(number)),), below)
    return below


def nested_conditions(count: int) -> Expr:
    below: Expr = integer(0)
    for number in range(count):
        when = BinaryOp(below, BinaryOperator.EQ, integer(number))
        below = CaseWhen(((when, integer(number)),), integer(0))
    return below


def nots(count: int) -> Expr:
    below: Expr = unequal(0)
    for _ in range(count):
        below = Not(below)
    return below


def unions(count: int, *, left: bool) -> Node:
    below: Node = leaf()
    for _ in range(count):
        below = model.UnionAll(below, leaf()) if left else model.UnionAll(leaf(), below)
    return below


def filters(count: int) -> Node:
    below: Node = leaf()
    for number in range(count):
        below = model.Filter(unequal(number), below)
    return below


def projections(count: int) -> Node:
    """Each level names its input twice: written out in place it would double each time."""
    below: Node = leaf()
    for _ in range(count):
        below = model.Project(((minus(A, A), "a"),), below)
    return below


DEEP: dict[str, Callable[[int], Node]] = {
    "and, left": lambda n: keep(left_deep(And, comparisons(n))),
    "and, right": lambda n: keep(right_deep(And, comparisons(n))),
    "or, left": lambda n: keep(left_deep(Or, comparisons(n))),
    "or, right": lambda n: keep(right_deep(Or, comparisons(n))),
    "plus, left": lambda n: project(left_deep(plus, [A] * n)),
    "plus, right": lambda n: project(right_deep(plus, [A] * n)),
    "divide, left": lambda n: project(left_deep(divide, [A] + [integer(1)] * (n - 1))),
    "not": lambda n: project(nots(n)),
    "case in else": lambda n: project(nested_cases(n)),
    "case in when": lambda n: project(nested_conditions(n)),
    "union all, left": lambda n: unions(n, left=True),
    "union all, right": lambda n: unions(n, left=False),
    "filters": filters,
    "projections": projections,
}


def accepted(make: Callable[[int], Node], size: int) -> Node | None:
    try:
        return parse_plan(dump_plan(make(size)))
    except InvalidPlan as error:
        assert "nests deeper than 256 JSON levels" in error.message  # noqa: PT017
        return None


@pytest.mark.parametrize("name", variants(list(DEEP)))
def test_the_deepest_plan_that_is_accepted_runs(engine: Engine, name: str) -> None:
    """And a deeper one is refused by name when it is submitted, however deep it is."""
    plans = (accepted(DEEP[name], size) for size in range(256, 2, -1))
    deepest = next(plan for plan in plans if plan is not None)
    tables = [TABLE] * len(stage_reads(deepest))
    assert run_over(engine, deepest, *tables).num_rows >= 2
    for size in (257, 300, 400):
        assert accepted(DEEP[name], size) is None


WIDE: dict[str, tuple[Callable[[], Node], list[object]]] = {
    "and": (lambda: project(balanced(And, comparisons(TERMS))), [True, True, None]),
    "or": (lambda: project(balanced(Or, comparisons(TERMS))), [True, True, None]),
    "plus": (lambda: project(balanced(plus, [A] * TERMS)), [0, TERMS, None]),
    "case": (
        lambda: project(
            CaseWhen(
                tuple(
                    (BinaryOp(A, BinaryOperator.EQ, integer(number)), integer(number + 7))
                    for number in range(TERMS)
                ),
                integer(-1),
            )
        ),
        [7, 8, -1],
    ),
}


@pytest.mark.parametrize("name", WIDE)
def test_a_thousand_terms_side_by_side_run(engine: Engine, name: str) -> None:
    make, expected = WIDE[name]
    plan = parse_plan(dump_plan(make()))
    assert run_over(engine, plan, TABLE)["value"].to_pylist() == expected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which nodes ask DuckDB for types, question by question."""
    nodes: list[str] = []
    types = TypeOracle.types

    def noted(
        oracle: TypeOracle, expressions: list[str], columns: Columns, node: str, *told: Any
    ) -> tuple[str, ...]:
        nodes.append(node)
        return types(oracle, expressions, columns, node, *told)

    monkeypatch.setattr(TypeOracle, "types", noted)
    return nodes


def test_a_chain_of_unions_asks_for_types_only_where_they_differ(
    engine: Engine, asked: list[str]
) -> None:
    """Asked for each column of each union, 50 of them over 20 columns took seconds."""
    wide = pa.table({f"c{at}": [at] for at in range(20)})
    first = wide.set_column(3, "c3", pa.array([3], pa.int32()))
    result = run_over(engine, unions(50, left=True), first, *[wide] * 50)
    assert (result.num_rows, str(result.schema.field("c3").type)) == (51, "int64")
    assert asked == ["UnionAll of 'c3' (INTEGER) and 'c3' (BIGINT)"]


def test_the_filters_of_a_scan_are_asked_for_at_once(
    engine: Engine, asked: list[str], tmp_path: Path
) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    scan = model.ParquetScan("t", None, ("a",), tuple(comparisons(TERMS)))
    plan = parse_plan(dump_plan(scan))
    splits = whole_files([tmp_path / "t.parquet"])
    assert run_fragment(engine, FragmentSpec(plan, {0: splits}))["a"].to_pylist() == [0, 1]
    assert asked.count("ParquetScan") <= 2
