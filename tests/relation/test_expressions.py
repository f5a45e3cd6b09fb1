"""Expressions mean what their SQL means; no name and no value is ever read as SQL."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq import plan
from ffq.errors import CallerError, InvalidRequest
from ffq.relation import (
    Expression,
    coalesce,
    col,
    concat,
    count,
    function,
    lit,
    rank,
    row_number,
    sql_expression,
    struct,
    when,
)
from ffq.relation.pieces import MOST_CHARACTERS
from tests.relation.rows import names, query, rows, run, sql_of, table

ONE = query(
    "SELECT 7 AS n, -2.5::DOUBLE AS f, 'Ab c' AS s, [3, 1, NULL] AS l, {'a': 1, 'b': 'x'} AS r, "
    "TIMESTAMP '2024-02-29 13:14:15' AS day, NULL::INTEGER AS nothing, TRUE AS yes"
)
SAME: dict[str, tuple[Expression, str]] = {
    "arithmetic": ((col("n") + 1) * 2 - col("n") / 2, "(n + 1) * 2 - n / 2"),
    "reflected": (1 - col("n"), "1 - n"),
    "integer division": (-col("n") // 2, "-n // 2"),
    "rest": (-col("n") % 4, "-n % 4"),
    "power": (col("n") ** 2, "n ** 2"),
    "power of": (2 ** col("n"), "2 ** n"),
    "comparison": (
        (col("n") > 3) & ~(col("f") >= 0) | (col("s") == "x"),
        "n > 3 AND NOT f >= 0 OR s = 'x'",
    ),
    "null": (
        col("nothing").is_null() & col("n").is_not_null(),
        "nothing IS NULL AND n IS NOT NULL",
    ),
    "in": (col("n").is_in([1, col("n"), None]), "n IN (1, n, NULL)"),
    "in nothing": (col("n").is_in([]), "FALSE"),
    "between": (col("n").between(7, 8), "n BETWEEN 7 AND 8"),
    "like": (col("s").like("A_ %"), "s LIKE 'A_ %'"),
    "ilike": (col("s").ilike("ab%"), "s ILIKE 'ab%'"),
    "cast": (col("n").cast("DECIMAL(10,2)"), "CAST(n AS DECIMAL(10,2))"),
    "cast to python": (col("n").cast(float), "CAST(n AS DOUBLE)"),
    "cast to arrow": (col("n").cast(pa.decimal128(12, 3)), "CAST(n AS DECIMAL(12,3))"),
    "try cast": (col("s").cast("INTEGER", strict=False), "TRY_CAST(s AS INTEGER)"),
    "case": (
        when(col("n") > 9).then("a").when(col("n") > 5).then("b").otherwise("c"),
        "CASE WHEN n > 9 THEN 'a' WHEN n > 5 THEN 'b' ELSE 'c' END",
    ),
    "case without else": (when(col("n") > 9).then(1), "CASE WHEN n > 9 THEN 1 END"),
    "coalesce": (coalesce(col("nothing"), col("n")), "coalesce(nothing, n)"),
    "fill": (col("nothing").fill_null(3), "coalesce(nothing, 3)"),
    "concat": (concat(col("s"), "-", col("nothing")), "concat(s, '-', nothing)"),
    "numbers": (
        col("f").abs().floor() + col("f").ceil() + col("f").round(),
        "floor(abs(f)) + ceil(f) + round(f)",
    ),
    "logarithms": (col("n").log().exp().sqrt(), "sqrt(exp(ln(n)))"),
    "not a number": (col("f").is_nan(), "isnan(f)"),
    "dates": (col("day").dt.year() * 100 + col("day").dt.month(), "year(day) * 100 + month(day)"),
    "days": (
        col("day").dt.day() + col("day").dt.weekday() + col("day").dt.ordinal_day(),
        "day(day) + isodow(day) + dayofyear(day)",
    ),
    "times": (
        col("day").dt.hour() + col("day").dt.minute() + col("day").dt.second(),
        "hour(day) + minute(day) + second(day)",
    ),
    "weeks": (col("day").dt.week() + col("day").dt.quarter(), "week(day) + quarter(day)"),
    "truncated": (col("day").dt.truncate("month"), "date_trunc('month', day)"),
    "formatted": (col("day").dt.strftime("%d.%m."), "strftime(day, '%d.%m.')"),
    "case of letters": (concat(col("s").str.upper(), col("s").str.lower()), "upper(s) || lower(s)"),
    "texts": (col("s").str.strip().str.len(), "length(trim(s))"),
    "parts of texts": (
        col("s").str.contains("b") & col("s").str.starts_with("A") & col("s").str.ends_with("c"),
        "contains(s, 'b') AND starts_with(s, 'A') AND ends_with(s, 'c')",
    ),
    "regular": (col("s").str.matches("[A-Z]b"), "regexp_matches(s, '[A-Z]b')"),
    "extracted": (col("s").str.extract("(A)(b)", 2), "regexp_extract(s, '(A)(b)', 2)"),
    "replaced": (col("s").str.replace("b", "x"), "replace(s, 'b', 'x')"),
    "split": (col("s").str.split(" "), "string_split(s, ' ')"),
    "slices": (concat(col("s").str.slice(1, 2), col("s").str.slice(-1)), "'b ' || 'c'"),
    "lists": (col("l").list.len() + col("l").list.sum(), "len(l) + list_sum(l)"),
    "first element": (col("l").list.get(0), "l[1]"),
    "last element": (col("l").list.get(-2), "l[-2]"),
    "no element": (col("l").list.get(9), "l[10]"),
    "of lists": (
        col("l").list.min() + col("l").list.max() + col("l").list.mean(),
        "list_min(l) + list_max(l) + list_avg(l)",
    ),
    "in lists": (col("l").list.contains(3), "list_contains(l, 3)"),
    "sorted lists": (col("l").list.sort(), "list_sort(l)"),
    "joined lists": (col("l").list.join("-"), "array_to_string(l, '-')"),
    "fields": (col("r").struct.field("b"), "r.b"),
    "struct": (struct(a=col("n"), b=1), "{'a': n, 'b': 1}"),
    "any function": (function("greatest", col("n"), 9), "greatest(n, 9)"),
    "sql": (sql_expression("n + 1 -- and no more"), "n + 1"),
}


@pytest.mark.parametrize(("expression", "sql"), SAME.values(), ids=SAME.keys())
def test_an_expression_is_its_sql(expression: Expression, sql: str) -> None:
    found = run(sql_of(ONE.select(x=expression)))
    wanted = run(f"SELECT {sql} AS x FROM ({sql_of(ONE)})")
    assert found.to_pylist() == wanted.to_pylist()


AGGREGATES: dict[str, tuple[Expression, str]] = {
    "sum": (col("v").sum(), "sum(v)"),
    "mean": (col("v").mean(), "avg(v)"),
    "least and most": (col("v").min() + col("v").max(), "min(v) + max(v)"),
    "counts": (count() * 100 + col("k").count() * 10 + col("k").n_unique(), "431 - 0 - 1"),
    "median": (col("v").median(), "median(v)"),
    "quantile": (col("v").quantile(0.25), "quantile_cont(v, 0.25)"),
    "spread": (col("v").std() + col("v").var(), "stddev_samp(v) + var_samp(v)"),
    "truths": (
        struct(a=(col("v") > 10).all(), b=(col("v") > 10).any()),
        "{'a': bool_and(v > 10), 'b': bool_or(v > 10)}",
    ),
    "list": (col("v").implode().list.sum(), "sum(v)"),
}


@pytest.mark.parametrize(("expression", "sql"), AGGREGATES.values(), ids=AGGREGATES.keys())
def test_an_aggregate_is_its_sql(expression: Expression, sql: str) -> None:
    if sql.startswith("431"):
        sql = "count(*) * 100 + count(k) * 10 + count(DISTINCT k)"
    assert rows(table("t").agg(x=expression)) == rows(query(f"SELECT {sql} AS x FROM t"))


WINDOWS: dict[str, tuple[Expression, str]] = {
    "sum": (col("v").sum().over("k"), "sum(v) OVER (PARTITION BY k)"),
    "all": (col("v").sum().over(), "sum(v) OVER ()"),
    "running": (col("v").sum().over(order_by="v"), "sum(v) OVER (ORDER BY v)"),
    "rank": (
        rank().over("k", order_by="v", descending=True),
        "rank() OVER (PARTITION BY k ORDER BY v DESC)",
    ),
    "number": (row_number().over(order_by=["k", "v"]), "row_number() OVER (ORDER BY k, v)"),
    "before": (col("v").shift().over(order_by="v"), "lag(v, 1) OVER (ORDER BY v)"),
    "after": (col("v").shift(-2).over(order_by="v"), "lead(v, 2) OVER (ORDER BY v)"),
}


@pytest.mark.parametrize(("expression", "sql"), WINDOWS.values(), ids=WINDOWS.keys())
def test_a_window_is_its_sql(expression: Expression, sql: str) -> None:
    found = rows(table("t").select("v", x=expression).sort("v"))
    assert found == rows(query(f"SELECT v, {sql} AS x FROM t ORDER BY v"))


VALUES = [
    None,
    True,
    -5,
    2**100,
    1.5,
    float("inf"),
    "it's",
    "",
    "\\ \n ; -- /* $1 ?",
    b"\x00'\xff",
    decimal.Decimal("-12.340"),
    dt.date(2024, 2, 29),
    dt.datetime(2024, 2, 29, 1, 2, 3, 456789),
    dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    dt.time(1, 2, 3),
    uuid.UUID(int=7),
    [1, 2],
    {"a": 1, 'b"': ["x"]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_constant_comes_out_as_it_went_in(value: Any) -> None:
    ((found,),) = rows(ONE.select(x=lit(value)))
    assert found == (str(value) if isinstance(value, uuid.UUID) else value)


def test_scalars_of_numpy_and_arrow_are_what_they_hold() -> None:
    assert rows(ONE.select(a=lit(np.int64(3)), b=lit(pa.scalar("x")))) == [(3, "x")]


HOSTILE = st.text(
    alphabet=st.sampled_from(list("'\"\\;-/*$?%_ \n()[]{}aé\u202e\U0001f600")),
    min_size=1,
    max_size=20,
)


@given(value=HOSTILE, name=HOSTILE)
def test_no_text_and_no_name_is_read_as_sql(value: str, name: str) -> None:
    made = ONE.select(lit(value).alias(name))
    assert run(sql_of(made)).to_pylist() == [{name: value}]
    assert run(sql_of(made.filter(col(name) == value).rename({name: "x"}))).to_pylist() == [
        {"x": value}
    ]
    assert rows(made.select(y=col(name).str.contains(value))) == [(True,)]


def test_odd_names_of_tables_and_columns_are_names() -> None:
    odd = table('odd "name"').select('a "quoted" one', "select", "c; DROP")
    assert names(odd) == ['a "quoted" one', "select", "c; DROP"]
    assert rows(odd.filter(col("c; DROP") == "'")) == [(1, 3, "'")]


REFUSED: dict[str, tuple[Any, str]] = {
    "truth": (lambda: bool(col("a")), "no truth value"),
    "and": (lambda: all([col("a"), col("b")]), "use &, | and ~"),
    "chain": (lambda: 1 < col("a") < 2, "write a < b < c as"),
    "None": (lambda: col("a") == None, "is_null"),  # noqa: E711
    "no name": (lambda: col(""), "a column is called ''"),
    "no text": (lambda: col(3), "a column is called 3"),  # type: ignore[arg-type]
    "object": (lambda: lit(object()), "a constant: a object is no value"),
    "NaN decimal": (lambda: lit(decimal.Decimal("nan")), "no decimal of SQL"),
    "too large": (lambda: lit(2**200), "no integer of SQL"),
    "NUL": (lambda: lit("a\0b"), "NUL"),
    "over what": (lambda: (col("a").sum() / 2).over("k"), "over on each aggregate"),
    "is_in": (lambda: col("a").is_in("abc"), "a list of values"),
    "type": (lambda: col("a").cast("INTEGER) OR (1=1"), "is no type"),
    "type of nothing": (lambda: col("a").cast(object), "is no type that a cast knows"),
    "function": (lambda: function("a; b"), "no name of a function"),
    "unit": (lambda: col("a").dt.truncate("eon"), "known: year"),  # type: ignore[arg-type]
    "sql": (lambda: sql_expression(" "), "no expression of SQL"),
    "struct": (struct, "needs a field"),
    "other builder": (lambda: col("a") + plan.col("b"), r"right would be ffq\.col"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_right_is_said_where_it_is_written(make: Any, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        make()


def test_an_expression_that_doubles_is_bounded() -> None:
    grown = col("a" * 1000)
    with pytest.raises(InvalidRequest, match=f"more than {MOST_CHARACTERS} characters"):
        for _ in range(64):
            grown = grown + grown
