"""Values of parameters: each arrives as the value and type that it was, and never as text."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.errors import InvalidRequest
from ffq.sql.literals import literal
from ffq.sql.parameters import dump_parameters, load_parameters


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


HOSTILE = [
    "'",
    "''",
    "'; DROP TABLE t; --",
    '"; SELECT 1; --',
    "\\'; SELECT 1",
    "$$ $1 $$",
    "/* x",
    "*/ 1",
    "x'\n-- y",
    "%s {0} \x01 é 日 \U0001f600",
]
VALUES: list[tuple[Any, str]] = [
    (None, '"NULL"'),
    (True, "BOOLEAN"),
    (1, "INTEGER"),
    (-(2**31), "INTEGER"),
    (2**31, "BIGINT"),
    (2**63, "UBIGINT"),
    (2**64, "HUGEINT"),
    (-(2**127), "HUGEINT"),
    (2**128 - 1, "UHUGEINT"),
    (1.5, "DOUBLE"),
    (-0.0, "DOUBLE"),
    (5e-324, "DOUBLE"),
    (float("inf"), "DOUBLE"),
    ("x", "VARCHAR"),
    (b"\x00'\xff", "BLOB"),
    (b"", "BLOB"),
    (dt.date(1, 1, 1), "DATE"),
    (dt.datetime(2020, 2, 29, 3, 4, 5, 6), "TIMESTAMP"),
    (
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "TIMESTAMP WITH TIME ZONE",
    ),
    (dt.time(1, 2, 3, 4), "TIME"),
    (dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(minutes=-330))), "TIME WITH TIME ZONE"),
    (dt.timedelta(days=-1, seconds=2, microseconds=3), "INTERVAL"),
    (dt.timedelta(days=45, hours=30), "INTERVAL"),
    (dt.timedelta(0), "INTERVAL"),
    (dt.timedelta.max, "INTERVAL"),
    (dt.timedelta.min, "INTERVAL"),
    (Decimal("1.50"), "DECIMAL(3,2)"),
    (Decimal("0.12"), "DECIMAL(2,2)"),
    (Decimal("0.00"), "DECIMAL(3,2)"),
    (Decimal("1E-37"), "DECIMAL(38,37)"),
    (Decimal("1E-38"), "DECIMAL(38,38)"),
    (Decimal("1E+5"), "DECIMAL(6,0)"),
    (Decimal("-0.001"), "DECIMAL(4,3)"),
    (uuid.UUID(int=7), "UUID"),
    ([1, None], "INTEGER[]"),
    ([], '"NULL"[]'),
    ({"a": 1, 'b "c': ["'"]}, 'STRUCT(a INTEGER, "b ""c" VARCHAR[])'),
    ({1: "x"}, "MAP(INTEGER, VARCHAR)"),
    ({1: {2: 3}}, "MAP(INTEGER, MAP(INTEGER, INTEGER))"),
    ([{dt.date(2020, 2, 29): [1]}], "MAP(DATE, INTEGER[])[]"),
    ({}, 'MAP("NULL", "NULL")'),
]


class NotATime(dt.datetime):
    """As pandas has it: a datetime that no datetime equals."""

    def __ne__(self, other: object) -> bool:
        return True


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def travelled(value: Any) -> Any:
    """Twice, as those of a session do: to its thread, and to the coordinator."""
    for _ in range(2):
        value = load_parameters(dump_parameters([value]))["1"]
    return value


def asked(engine: duckdb.DuckDBPyConnection, value: Any) -> tuple[Any, str]:
    written = literal(travelled(value), "$1")
    ((found, kind),) = engine.execute(f"SELECT {written}, typeof({written})").fetchall()
    return found, kind


@pytest.mark.parametrize(("value", "kind"), VALUES, ids=repr)
def test_a_value_is_the_same_for_the_engine(
    engine: duckdb.DuckDBPyConnection, value: Any, kind: str
) -> None:
    found, typed = asked(engine, value)
    assert (found, typed) == (value, kind)
    assert str(found) == str(value) or isinstance(value, Decimal | dt.datetime)  # -0.0


@pytest.mark.parametrize(
    "value",
    [
        dt.timedelta(days=3),
        dt.timedelta(days=45, hours=30),
        dt.timedelta(days=-1, seconds=2, microseconds=3),
        [dt.timedelta(days=400), dt.timedelta(0)],
    ],
    ids=repr,
)
def test_an_interval_has_the_days_that_the_engine_gives_it(
    engine: duckdb.DuckDBPyConnection, value: Any
) -> None:
    one = "({0})[1]" if isinstance(value, list) else "{0}"
    parts = f"SELECT {one}::VARCHAR, 2 * {one}, " + ", ".join(
        f"datepart('{part}', {one})" for part in ("month", "day", "us")
    )
    written = literal(travelled(value), "$1")
    wanted = engine.execute(parts.format("$1"), [value]).fetchall()
    assert engine.execute(parts.format(written)).fetchall() == wanted


def test_no_time_is_null() -> None:
    assert travelled([NotATime(2020, 1, 1)]) == [None]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_a_text_wherever_it_stands(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    assert asked(engine, text)[0] == text
    assert asked(engine, [text])[0] == [text]
    assert asked(engine, {"k": text})[0] == {"k": text}
    if text.isprintable() and text.strip():
        assert asked(engine, {text: 1})[0] == {text: 1}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_any_text_is_kept(text: str) -> None:
    assert travelled(text) == text
    assert literal(travelled(text), "$1") == f"'{text.replace(chr(39), chr(39) * 2)}'"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("x", "a str is none; right would be a list of values or a dict"),
        (3, "a int is none"),
        ({1: 2}, "1 is no name"),
        ([object()], r"parameter \$1: a object is no value of a parameter"),
        ([2**128], r"parameter \$1: .* is no integer of SQL"),
        ([10**5000], r"parameter \$1: a number of \d+ bits is no integer"),
        ([Decimal("NaN")], "NaN is no decimal"),
        ([Decimal("1E+999999")], "a decimal of 1000000 digits"),
        (["a\0b"], "a NUL character"),
        (["\ud800"], "a lone surrogate"),
        ([{"a": 1, "A": 2}], "differ in case alone"),
        ({"deep": nested(40)}, "nests deeper"),
    ],
)
def test_what_no_parameter_can_be_is_named(parameters: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        dump_parameters(parameters)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"[]",
        b"nonsense",
        b'{"a": 1}',
        b'{"a": {"int": 1}}',
        b'{"a": {"int": "1; DROP TABLE t"}}',
        b'{"a": {"sql": "1"}}',
        b'{"a": {"int": "1", "text": "x"}}',
        b'{"a": {"decimal": "1); --"}}',
        b'{"a": {"float": "x"}}',
        b'{"a": {"date": "2020-13-01"}}',
        b'{"a": {"uuid": "\' OR 1"}}',
        b'{"a": {"bytes": "!"}}',
        b'{"a": {"text": "\\u0000"}}',
        b'{"a": {"text": "\\ud800"}}',
        b'{"a": {"list": 3}}',
        b'{"a": {"struct": [["x"]]}}',
        b'{"a": {"timedelta": "' + b"9" * 40 + b'"}}',
        b'{"a": {"int": "' + b"9" * 5000 + b'"}}',
    ],
)
def test_what_came_as_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        load_parameters(data)


def test_values_of_libraries_are_what_they_hold() -> None:
    given_values = [np.int64(3), np.float32(1.5), pa.scalar("x")]
    assert list(load_parameters(dump_parameters(given_values)).values()) == [3, 1.5, "x"]
