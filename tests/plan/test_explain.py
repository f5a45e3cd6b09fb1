"""Plans as text for people."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq import plan as p
from ffq.plan import terms
from ffq.plan.bound import (
    BoundAggregate,
    BoundKey,
    Call,
    Choice,
    Conjunction,
    Constant,
    Conversion,
    Form,
    Lambda,
    Match,
    Phase,
    Place,
    Special,
    SqlType,
)
from ffq.plan.explain import Estimate, bytes_text, explain_logical, explain_stages
from ffq.plan.explain.expressions import bound_text, expression_text
from ffq.plan.model import (
    Aggregate,
    Broadcast,
    Filter,
    HashPartitioning,
    Join,
    Node,
    ParquetScan,
    Project,
    ShuffleRead,
    ShuffleWrite,
    Sort,
)
from ffq.plan.stages import cut
from ffq.plan.terms import Bound
from tests.strategies.plans import expressions, stage_plans

BIGINT, VARCHAR = SqlType("BIGINT"), SqlType("VARCHAR")


def placed(below: Node, *places: int) -> Node:
    return Project(tuple((Bound(Place(at)), f"c{n}") for n, at in enumerate(places)), below)


def query() -> Node:
    """select name, sum(v) total from t join u using (k) where v > 3 group by 1 order by 2 desc"""
    wanted = Call(">", (Place(1), Constant(BIGINT, 3)), SqlType("BOOLEAN"))
    t = Filter(Bound(wanted), placed(ParquetScan("t", None, ("k", "v"), ()), 0, 1))
    u = placed(ParquetScan("u", None, ("k", "name"), ()), 0, 1)
    on = Call("=", (Place(0), Place(2)), SqlType("BOOLEAN"))
    joined = placed(Join(t, Broadcast(u), Match.INNER, on, ()), 3, 1)
    summed = (BoundAggregate("sum", (Place(1),), BIGINT, arg_types=(BIGINT,)),)
    by = HashPartitioning(("c0",), 4)
    states = Aggregate((Place(0),), summed, joined, phase=Phase.STATES)
    read = ShuffleRead(ShuffleWrite(states, by), by)
    made = Aggregate((Place(0),), summed, read, phase=Phase.MERGED)
    key = BoundKey(Place(1), asc=False, nulls_first=False)
    ordered = Sort((key,), 10, 0, partial=False, input=made)
    return Project(((Bound(Place(0)), "name"), (Bound(Place(1)), "total")), ordered)


def test_the_logical_plan_says_what_is_computed() -> None:
    assert explain_logical(query(), {"t": Estimate(1_000, 2_048)}).splitlines() == [
        "Project  name, sum(v) AS total",
        "└─ Top  sum(v) DESC, limit 10",
        "   └─ Aggregate  by name: sum(v)",
        "      └─ Join INNER  on k = k",
        "         ├─ Filter  v > 3",
        "         │  └─ Scan t  columns k, v  (1,000 rows, 2.0 KiB)",
        "         └─ Scan u  columns k, name",
    ]


def test_the_stages_say_where() -> None:
    assert explain_stages(cut(query()), {}).splitlines() == [
        "Stage 0 · 1 task · the result",
        "Project  name, sum(v) AS total",
        "└─ Top  sum(v) DESC, limit 10",
        "   └─ Final aggregate  by name: sum(v)",
        "      └─ Read stage 1",
        "",
        "Stage 1 · a task for each share of t · to stage 0: shuffled by hash of name into "
        "4 partitions",
        "Partial aggregate  by name: sum(v)",
        "└─ Join INNER  on k = k",
        "   ├─ Filter  v > 3",
        "   │  └─ Scan t  columns k, v",
        "   └─ Broadcast  every task has all of these rows",
        "      └─ Scan u  columns k, name",
    ]


@given(stage_plans())
def test_every_plan_has_a_text(plan: Node) -> None:
    text = explain_logical(plan, {}) + explain_stages(cut(plan), {})
    assert all(line == line.rstrip() for line in text.splitlines())


@given(expressions())
def test_every_expression_has_a_text(expr: terms.Expr) -> None:
    assert expression_text(expr, ("a", "b"))


@given(st.dates())
def test_days_are_those_of_the_calendar(day: datetime.date) -> None:
    days = (day - datetime.date(1970, 1, 1)).days
    assert bound_text(Constant(SqlType("DATE"), days), ()) == f"DATE '{day.isoformat()}'"


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (Constant(SqlType("DECIMAL", (5, 2)), -5), "-0.05"),
        (Constant(SqlType("DECIMAL", (5, 0)), 12), "12"),
        (Constant(VARCHAR, "it's"), "'it''s'"),
        (Constant(SqlType("TIMESTAMP"), 1), "TIMESTAMP '1970-01-01 00:00:00.000001'"),
        (Constant(SqlType("INTERVAL"), (1, 2, 0)), "INTERVAL '1 months 2 days'"),
        (Constant(BIGINT, None), "NULL"),
        (Call("~~", (Place(0), Constant(VARCHAR, "a%")), SqlType("BOOLEAN")), "(a LIKE 'a%')"),
        (Call("lower", (Place(0),), VARCHAR), "lower(a)"),
        (Call("struct_insert", (Place(0), Place(1)), VARCHAR, ("x",)), "struct_insert(a, x := b)"),
        (Conversion(Place(0), SqlType("LIST", (BIGINT,))), "CAST(a AS BIGINT[])"),
        (Conjunction((Place(0), Place(1)), any=True), "(a OR b)"),
        (Choice(((Place(0), Place(1)),), Place(9)), "CASE WHEN a THEN b ELSE #9 END"),
        (Special(Form.NOT_IN, (Place(0), Place(1))), "(a NOT IN (b))"),
        (Special(Form.FIELD, (Place(0), Constant(VARCHAR, "x"))), "a.x"),
        (Lambda(1, Call("+", (Place(0), Place(1)), BIGINT), (Place(1),)), "lambda x: (x + b)"),
    ],
)
def test_bound_expressions_read_as_sql(expr: object, text: str) -> None:
    assert bound_text(expr, ("a", "b")) == text  # type: ignore[arg-type]


def test_what_is_long_is_cut() -> None:
    many = p.scan("t", [f"column_{at}" for at in range(100)])
    (line,) = explain_logical(many.node, {}).splitlines()
    assert line.endswith("…")
    assert len(line) < 200


def test_bytes_have_a_unit() -> None:
    assert [bytes_text(n) for n in (0, 1_023, 1_024, 5 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]


def test_names_that_hold_anything_stay_on_their_line() -> None:
    plan = ParquetScan("a\x1eb\n", None, ("c\x1b",), ())
    assert explain_logical(plan, {}) == "Scan a\\x1eb\\n  columns c\\x1b"
    assert len(explain_stages(cut(plan), {}).splitlines()) == 2
