"""Types by rule are the engine's own; where no rule is certain, none is told."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.engine import Engine
from ffq.engine.bound import BoundWriter, type_sql
from ffq.engine.known import Known
from ffq.engine.oracle import TypeOracle
from ffq.engine.rules import type_by_rule
from ffq.engine.sql import ColumnInfo
from ffq.errors import FfqError, PlanningError
from ffq.plan.bound import (
    PLAIN_TYPES,
    BoundExpr,
    Call,
    Choice,
    Conjunction,
    Constant,
    Conversion,
    Form,
    Place,
    Special,
    SqlType,
)
from ffq.plan.model import Filter, Project
from ffq.plan.terms import Bound
from tests.engine.runner import leaf, run_over

DECIMALS = [SqlType("DECIMAL", each) for each in ((4, 1), (9, 0), (15, 2), (18, 18), (38, 10))]
NESTED = [
    SqlType("LIST", (SqlType("INTEGER"),)),
    SqlType("STRUCT", (("A b", SqlType("INTEGER")),)),
    SqlType("ENUM", ("a", "b")),
]
TYPES = [SqlType(name) for name in sorted(PLAIN_TYPES)] + DECIMALS + NESTED
KINDS = [type_sql(kind) for kind in TYPES]
COLUMNS = tuple(ColumnInfo(f"c{at}", kind) for at, kind in enumerate(KINDS))
NUMBERS = [at for at, kind in enumerate(TYPES) if kind.name.endswith(("INT", "INTEGER", "DOUBLE"))]
BOOLEAN = SqlType("BOOLEAN")
_NAMES = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "||",
    "=",
    "<>",
    "<",
    ">=",
    "IS DISTINCT FROM",
    "~~",
    "!~~",
]
_FUNCTIONS = ["lower", "upper", "trim", "contains", "starts_with", "prefix", "suffix", "length"]


def _above(below: st.SearchStrategy[BoundExpr]) -> st.SearchStrategy[BoundExpr]:
    types = st.sampled_from(TYPES)
    two = st.tuples(below, below)
    some = st.lists(below, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Call, st.sampled_from(_NAMES), two, types),
        st.builds(Call, st.sampled_from(_FUNCTIONS), some, types),
        st.builds(Conversion, below, types, st.booleans()),
        st.builds(Conjunction, two, st.booleans()),
        st.builds(Choice, st.tuples(two), below),
        st.builds(Special, st.sampled_from([Form.IN, Form.NOT_IN, Form.COALESCE]), two),
        st.builds(Special, st.sampled_from([Form.NOT, Form.IS_NULL, Form.TRY]), st.tuples(below)),
        st.builds(Special, st.just(Form.BETWEEN), st.tuples(below, below, below)),
    )


PLACES = st.one_of(
    st.sampled_from(range(len(TYPES))), st.sampled_from(NUMBERS), st.just(KINDS.index("VARCHAR"))
).map(Place)
LEAVES = st.one_of(PLACES, st.builds(Constant, st.sampled_from(TYPES), st.none()))
EXPRESSIONS: st.SearchStrategy[BoundExpr] = st.recursive(LEAVES, _above, max_leaves=4)


@pytest.fixture(scope="module")
def oracle() -> Iterator[TypeOracle]:
    with duckdb.connect() as connection:
        yield TypeOracle(connection, Known())


def theirs(oracle: TypeOracle, expr: BoundExpr) -> str | None:
    """The engine's type; None where it refuses the expression."""
    try:
        (kind,) = oracle.types([BoundWriter(len(COLUMNS), "n").sql(expr)], COLUMNS, "n")
    except FfqError:
        return None
    return kind


@given(EXPRESSIONS)
def test_a_rule_tells_what_the_engine_tells(oracle: TypeOracle, expr: BoundExpr) -> None:
    told = type_by_rule(expr, KINDS)
    if told is not None:
        assert theirs(oracle, expr) in {told, None}


@pytest.mark.parametrize("name", [*_NAMES, *_FUNCTIONS])
def test_of_any_two_columns(oracle: TypeOracle, name: str) -> None:
    """All pairs, which chance would not meet."""
    for a in range(len(TYPES)):
        for b in range(len(TYPES)):
            args = (Place(a), Place(b))
            expr = Call(name, args[: 1 if name in {"lower", "upper", "length"} else 2], BOOLEAN)
            told = type_by_rule(expr, KINDS)
            if told is not None:
                assert theirs(oracle, expr) in {told, None}, (name, KINDS[a], KINDS[b])


@pytest.mark.parametrize(
    ("expr", "want"),
    [
        (Place(KINDS.index("BIGINT")), "BIGINT"),
        (Place(KINDS.index("DECIMAL(15,2)")), "DECIMAL(15,2)"),
        (Place(KINDS.index(type_sql(NESTED[1]))), None),
        (Constant(SqlType("DATE"), 1), "DATE"),
        (Call("<", (Place(0), Place(0)), BOOLEAN), "BOOLEAN"),
        (Call("*", (Place(0), Place(1)), DECIMALS[2]), "DECIMAL(15,2)"),
        (Call("nobody_knows", (Place(0),), SqlType("BIGINT")), None),
    ],
)
def test_what_is_told(expr: BoundExpr, want: str | None) -> None:
    assert type_by_rule(expr, KINDS) == want


def test_what_a_rule_told_in_vain_is_an_error_of_its_node(engine: Engine) -> None:
    """A condition is BOOLEAN by rule, also one that the engine refuses."""
    table = pa.table({"a": [1], "d": [[1]]})
    year = Call("year", (Place(1),), SqlType("BIGINT"))
    refused = Bound(Special(Form.IS_NULL, (year,)))
    for node in (Filter(refused, leaf()), Project(((refused, "x"),), leaf())):
        with pytest.raises(PlanningError, match=f"^{type(node).__name__}: "):
            run_over(engine, node, table)
