"""What the data does is said with the names of the columns that it is about."""

from __future__ import annotations

import pytest

from ffq.engine.origins import with_names
from ffq.errors import DataError
from ffq.plan import model
from ffq.plan.bound import Conversion, Place, SqlType
from ffq.plan.model import Node
from ffq.plan.terms import Bound, Column
from tests.profiles import CHOSEN
from tests.sql.world import World


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "SELECT s::INT FROM t",
            "Could not convert string 's0' to INT32 when casting from column s",
        ),
        (
            "SELECT v, s::INT FROM t WHERE s::DATE > '2020-01-01'",
            r"\(YYYY-MM-DD\) .* from column s",
        ),
        ("SELECT max(s::INT) OVER (PARTITION BY k) FROM t", "from column s"),
        (
            "SELECT d, sum(n::INT) FROM (SELECT d, s AS n FROM t GROUP BY ALL) GROUP BY d",
            "column s",
        ),
        ("SELECT a.s::INT FROM t a JOIN t b USING (k)", "from column s"),
        ("SELECT k // (k - k) FROM t", r"Division by zero in expression \(k // \(k - k\)\)"),
        ("SELECT r.a % 0 FROM (SELECT {'a': k} AS r FROM t)", "Division by zero"),
        # What is made of columns has no name, and nobody wrote what it is called in SQL of ours.
        ("SELECT lower(s)::INT FROM t", "to INT32$"),
        ("SELECT n // 0 FROM (SELECT k * 2 AS n FROM t)", "Division by zero$"),
    ][:: CHOSEN.every_variant],
)
def test_it_names_the_column(world: World, sql: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        world.run(sql)
    assert "TRY(" not in caught.value.message


def _cast_of_first(*columns: str) -> Node:
    """Of the first column, over such columns of a table."""
    scan = model.ParquetScan("t", None, columns, ())
    planned = model.Project(tuple((Column(name), name) for name in columns), scan)
    rows = model.Sort((), None, 0, partial=False, input=planned)
    return model.Project(((Bound(Conversion(Place(0), SqlType("INTEGER"))), "c0"),), rows)


def test_of_several_columns_none_is_named() -> None:
    """The two are the first ones of their relations: the engine does not say which it is."""
    said = "Could not convert string 'x' to INT32"
    message = f"{said} when casting from source column c0"
    one, other = _cast_of_first("a", "b"), _cast_of_first("b", "a")
    assert with_names(message, one) == f"{said} when casting from column a"
    assert with_names(message, model.UnionAll(one, one)) == f"{said} when casting from column a"
    assert with_names(message, model.UnionAll(one, other)) == said
    assert with_names(message, None) == said
