"""Steps of relations: the rows, the columns and their order, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ffq.errors import CallerError, InvalidRequest, PlanningError
from ffq.relation import col, count, function, lit, row_number, when
from ffq.relation.builder import MOST_PARTS, MOST_STEPS, LazyRelation
from ffq.relation.steps import Table
from tests.relation.rows import names, query, rows, sql_of, table

T = table("t")
U = table("u")
OTHER: LazyRelation[Any] = LazyRelation("other", Table("t"))


def test_select_takes_names_expressions_and_named_values() -> None:
    made = T.select("k", [(col("v") + 1).alias("next")], two=2)
    assert names(made) == ["k", "next", "two"]
    assert rows(made)[0] == (1, 11, 2)


def test_with_columns_puts_them_in_their_places_or_after() -> None:
    made = T.with_columns(v=col("v") * 2, n=col("v"))
    assert names(made) == ["k", "v", "s", "n"]
    assert rows(made)[0] == (1, 20, "a", 10)  # of the columns before, not of the new ones


def test_with_columns_sees_the_columns_before_it_whatever_their_case() -> None:
    assert names(T.with_columns(V=lit(1))) == ["k", "V", "s"]


def test_filter_takes_expressions_and_sql() -> None:
    assert rows(T.filter(col("v") > 10, "k = 1 -- one").select("v")) == [(20,)]
    assert rows(T.filter("k = 1 OR v = 40").filter("v > 10").select("v")) == [(20,), (40,)]


def test_conditions_that_are_joined_keep_apart() -> None:
    """An OR in one must not take in what follows."""
    assert rows(T.filter("k = 1 OR k = 2", "v > 25").select("v")) == [(30,)]


def test_filter_takes_windows_over_the_rows_before_it() -> None:
    biggest = col("v") == col("v").max().over("k")
    wanted = rows(query("FROM t QUALIFY v = max(v) OVER (PARTITION BY k) AND v > 10"))
    assert 0 < len(wanted) < len(rows(T))
    assert rows(T.filter(biggest, "v > 10")) == wanted
    assert rows(T.filter(~~biggest & (col("v") > 10))) == wanted
    numbered = when(row_number().over("k", order_by="v") == 1).then(col("v"))
    assert rows(T.filter(numbered.is_in([10, 30])).select("v")) == [(10,), (30,)]


def test_groups() -> None:
    made = T.group_by("k").agg(col("v").sum(), n=count())
    assert names(made) == ["k", "v", "n"]
    assert sorted(rows(made), key=str) == [(1, 30, 2), (2, 30, 1), (None, 40, 1)]
    assert rows(T.group_by(odd=col("v") > 15).agg(n=count()).sort("odd")) == [(False, 1), (True, 3)]
    assert sorted(rows(T.group_by("k").agg()), key=str) == [(1,), (2,), (None,)]
    assert rows(T.agg(n=count())) == rows(T.group_by().agg(n=count())) == [(4,)]


JOINS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "inner": ("inner", [(1, 10, 100), (1, 20, 100), (2, 30, 200)]),
    "left": ("left", [(1, 10, 100), (1, 20, 100), (2, 30, 200), (None, 40, None)]),
    "right": ("right", [(1, 10, 100), (1, 20, 100), (2, 30, 200), (3, None, 300)]),
    "full": (
        "full",
        [(1, 10, 100), (1, 20, 100), (2, 30, 200), (3, None, 300), (None, 40, None)],
    ),
}


@pytest.mark.parametrize(("how", "expected"), JOINS.values(), ids=JOINS.keys())
def test_joins_on_one_name_give_it_once(how: Any, expected: list[tuple[Any, ...]]) -> None:
    made = T.select("k", "v").join(U.select("k", "v"), "k", how=how)
    assert names(made) == ["k", "v", "v_right"]
    assert sorted(rows(made), key=str) == expected


def test_semi_and_anti_joins_give_the_left_columns() -> None:
    assert rows(T.join(U, "k", how="semi").select("v").sort("v")) == [(10,), (20,), (30,)]
    assert rows(T.join(U, "k", how="anti").select("v")) == [(40,)]
    assert names(T.join(U, "k", how="anti")) == ["k", "v", "s"]


def test_joins_on_two_sides_keep_the_columns_of_both() -> None:
    made = T.join(U, left_on=col("v") / 10, right_on="k", suffix="_u")
    assert names(made) == ["k", "v", "s", "k_u", "v_u", "w"]
    assert sorted(row[3] for row in rows(made)) == [1, 2, 3]
    assert len(rows(T.join(U, how="cross"))) == 12


def test_a_relation_joins_itself() -> None:
    assert sorted(rows(T.join(T, "k").select("v", "v_right"))) == [
        (10, 10), (10, 20), (20, 10), (20, 20), (30, 30),
    ]  # fmt: skip


def test_orders() -> None:
    assert rows(T.sort("k", "v", descending=[True, False]).select("k")) == [
        (2,),
        (1,),
        (1,),
        (None,),
    ]
    assert rows(T.sort("k", nulls_last=False).limit(1).select("k")) == [(None,)]
    assert rows(T.sort(-col("v")).limit(2, 1).select("v")) == [(30,), (20,)]
    assert rows(T.sort("v").limit(None, 3).select("v")) == [(40,)]


def test_distinct_rows() -> None:
    assert len(rows(T.select("k").distinct())) == 3
    assert len(rows(T.distinct("k"))) == 3
    assert names(T.distinct("k")) == ["k", "v", "s"]


def test_drop_and_rename() -> None:
    assert names(T.drop("V", "s")) == ["k"]
    assert names(T.rename({"v": "value", "k": "v"})) == ["v", "value", "s"]
    assert rows(T.rename({"v": "value"}).select("value").limit(1)) == [(10,)]


def test_union_goes_by_names() -> None:
    one, other = T.select("k", "v"), U.select("v", "k")
    assert sorted(rows(one.union(other)), key=str) == sorted(
        [*rows(one), *rows(other.select("k", "v"))], key=str
    )
    assert len(rows(one.union(one))) == 8
    assert len(rows(one.union(one, distinct=True))) == 4


def test_a_query_that_ends_in_a_comment_or_a_semicolon_is_a_relation_too() -> None:
    assert rows(query("SELECT 1 AS a -- one").filter("a = 1")) == [(1,)]
    assert rows(query("SELECT 1 AS a ; \n").filter("a = 1")) == [(1,)]


def test_a_column_that_is_called_as_the_relation_is_inside() -> None:
    made = query("SELECT {'v': 1} AS _r, 2 AS v").select(col("v"))
    assert rows(made) == [(2,)]


WRONG: dict[str, tuple[Callable[[], LazyRelation[None]], str]] = {
    "select": (lambda: T.select("vv"), "select: no column 'vv'; did you mean 'v'"),
    "with": (lambda: T.with_columns(x=col("kk")), "with_columns: no column 'kk'"),
    "filter": (lambda: T.filter(col("q") > 1), "filter: no column 'q'; There are: k, v, s"),
    "keys": (lambda: T.group_by("q").agg(count()), "group_by: no column 'q'"),
    "agg": (lambda: T.agg(col("q").sum()), "agg: no column 'q'"),
    "sort": (lambda: T.sort("q"), "sort: no column 'q'"),
    "distinct": (lambda: T.distinct("q"), "distinct: no column 'q'"),
    "drop": (lambda: T.drop("q"), "drop: no column 'q'"),
    "drop all": (lambda: T.drop("k", "v", "s"), "no column would be left"),
    "rename": (lambda: T.rename({"q": "x"}), "rename: no column 'q'"),
    "rename twice": (lambda: T.rename({"k": "v"}), "rename: two columns are called 'v'"),
    "left": (lambda: T.join(U, left_on="w", right_on="k"), "join: left side: no column 'w'"),
    "right": (lambda: T.join(U, left_on="k", right_on="s"), "join: right side: no column 's'"),
    "suffix": (lambda: T.with_columns(v_right=1).join(U, "k"), "join: two columns are called"),
    "union": (lambda: T.union(U), "union: columns k, v, s and k, v, w; right would be the same"),
    "below": (lambda: T.select("q").limit(1).select("q"), "select: no column 'q'"),
    "query": (lambda: query("SELECT 1 AS a, 2 AS A").limit(1), "query: two columns are called 'A'"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_column_that_is_not_there_is_named_with_its_step(
    make: Callable[[], LazyRelation[None]], message: str
) -> None:
    relation = make()
    with pytest.raises(PlanningError, match=message):
        sql_of(relation)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no column": (T.select, "select: right would be a column"),
    "number": (lambda: T.select(1), "select: 1 is no column"),  # type: ignore[arg-type]
    "no name": (lambda: T.select(function("pi")), "has no name; right would be .alias"),
    "twice": (lambda: T.select("k", col("v").alias("K")), "select: two columns are called 'K'"),
    "condition": (lambda: T.filter(3), "3 is no condition"),  # type: ignore[arg-type]
    "no condition": (T.filter, "right would be a condition"),
    "limit": (lambda: T.limit(-1), "limit: rows=-1 is no number of rows"),
    "offset": (lambda: T.limit(1, 1.5), "limit: offset=1.5"),  # type: ignore[arg-type]
    "sort": (lambda: T.sort("k", descending=[True, False]), "2 times descending, of 1 keys"),
    "how": (lambda: T.join(U, "k", how="outer"), "one of inner, left, right, full"),  # type: ignore[arg-type]
    "no keys": (lambda: T.join(U), "either on, or left_on and right_on"),
    "both": (lambda: T.join(U, "k", left_on="k"), "either on, or left_on and right_on"),
    "one side": (lambda: T.join(U, left_on="k"), "either on, or left_on and right_on"),
    "uneven": (lambda: T.join(U, left_on=["k", "v"], right_on="k"), "2 left_on and 1 right_on"),
    "cross": (lambda: T.join(U, "k", how="cross"), "a cross join has no keys"),
    "expression": (lambda: T.join(U, [col("k") + 1]), "on is for names of columns"),
    "other": (lambda: T.join(3, "k"), "3 is no relation"),  # type: ignore[arg-type]
    "session": (lambda: OTHER.union(T), "a relation of another session"),
    "rename": (lambda: T.rename({}), "a dict of new names"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_right_is_said_where_it_is_written(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(CallerError, match=message):
        make()


def test_a_relation_is_not_changed_by_its_steps() -> None:
    before = sql_of(T)
    T.filter("k = 1").select("k")
    assert sql_of(T) == before


def test_many_steps_run_and_too_many_are_refused() -> None:
    relation = T.select("v")
    for _ in range(60):
        relation = relation.with_columns(v=col("v") + 1)
    assert rows(relation)[0] == (70,)
    with pytest.raises(InvalidRequest, match=f"more than {MOST_STEPS} steps"):
        for _ in range(MOST_STEPS):
            relation = relation.filter("v > 0")


def test_a_relation_that_doubles_with_each_step_is_refused_before_it_fills_the_memory() -> None:
    relation = T
    with pytest.raises(InvalidRequest, match=f"more than {MOST_PARTS} steps"):
        for _ in range(MOST_STEPS):
            relation = relation.union(relation)


def test_numbered_rows() -> None:
    numbered = T.with_columns(n=row_number().over(order_by="v"))
    assert rows(numbered.filter(col("n") == 2).select("v")) == [(20,)]
