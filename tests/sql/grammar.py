"""Queries drawn from a grammar over two tables, t and u, as texts.

Each gives one answer: what orders rows orders all of them, and no float is added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

TABLES: Final = {
    "t": {"a": "INTEGER", "b": "BIGINT", "s": "VARCHAR", "d": "DATE", "m": "DECIMAL(8,2)"},
    "u": {"a": "INTEGER", "k": "INTEGER", "s": "VARCHAR", "x": "DOUBLE", "f": "BOOLEAN"},
}
_NUMBERS: Final = {"t": ["a", "b", "m"], "u": ["a", "k"]}
_TEXTS: Final = ["s"]
_SIGNS: Final = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "is distinct from"])
_SMALL: Final = st.integers(-3, 9)


@st.composite
def rows(draw: DrawFn, table: str) -> str:
    """An INSERT of rows with many nulls, and many that are alike."""
    of = {
        "INTEGER": _SMALL,
        "BIGINT": _SMALL,
        "VARCHAR": st.sampled_from(["''", "'a'", "'ab'", "'Ä'"]),
        "DATE": st.sampled_from(["date '2020-01-31'", "date '2021-12-01'"]),
        "DECIMAL(8,2)": st.sampled_from(["1.25", "-0.5", "3"]),
        "DOUBLE": st.sampled_from(["0.0", "-0.0", "'nan'", "'inf'", "1.5"]),
        "BOOLEAN": st.booleans(),
    }
    values = st.tuples(*(st.none() | of[kind] for kind in TABLES[table].values()))
    found = draw(st.lists(values, max_size=12))
    listed = ("(" + ", ".join(_value(each) for each in row) + ")" for row in found)
    return f"INSERT INTO {table} VALUES {', '.join(listed)}" if found else "SELECT 1"


def _value(value: object) -> str:
    return "NULL" if value is None else str(value)


# --- expressions -----------------------------------------------------------------------------


@st.composite
def _number(draw: DrawFn, of: Sequence[tuple[str, str]], depth: int = 2) -> str:  # noqa: PLR0911
    """of: pairs of a name in FROM and the table it is."""
    name, table = draw(st.sampled_from(of))
    kind = draw(st.integers(0, 6 if depth else 1))
    inner = _number(of, depth - 1)
    match kind:
        case 0:
            return f"{name}.{draw(st.sampled_from(_NUMBERS[table]))}"
        case 1:
            return f"({draw(_SMALL)})"
        case 2:
            return f"({draw(inner)} {draw(st.sampled_from(['+', '-']))} {draw(inner)})"
        case 3:
            return f"coalesce({draw(inner)}, {draw(_SMALL)})"
        case 4:
            return f"length({name}.s)"
        case 5:
            then = f"then {draw(inner)} else {draw(inner)}"
            return f"case when {draw(_condition(of, depth - 1))} {then} end"
        case _:
            return f"greatest({draw(inner)}, {draw(inner)})"


@st.composite
def _condition(  # noqa: PLR0911
    draw: DrawFn, of: Sequence[tuple[str, str]], depth: int = 2
) -> str:
    name, _ = draw(st.sampled_from(of))
    kind = draw(st.integers(0, 9 if depth else 4))
    number, inner = _number(of, max(depth - 1, 0)), _condition(of, depth - 1)
    match kind:
        case 0:
            return f"({draw(number)} {draw(_SIGNS)} {draw(number)})"
        case 1:
            return f"({name}.s like '{draw(st.sampled_from(['a%', '%b', '_', '']))}')"
        case 2:
            return f"({name}.s is {draw(st.sampled_from(['', 'not ']))}null)"
        case 3:
            return f"({draw(number)} between {draw(_SMALL)} and {draw(_SMALL)})"
        case 4:
            among = ", ".join(str(each) for each in draw(st.lists(_SMALL, min_size=1, max_size=4)))
            return f"({draw(number)} {draw(st.sampled_from(['', 'not ']))}in ({among}))"
        case 5:
            return f"({draw(inner)} {draw(st.sampled_from(['and', 'or']))} {draw(inner)})"
        case 6:
            return f"(not {draw(inner)})"
        case 7:
            word = draw(st.sampled_from(["in", "not in"]))
            return f"({draw(number)} {word} (select k from u))"
        case 8:
            other = draw(st.sampled_from(["z.a = " + draw(number), f"z.s = {name}.s"]))
            word = draw(st.sampled_from(["", "not "]))
            return f"({word}exists (select 1 from t z where {other}))"
        case _:
            best = f"(select max(z.k) from u z where z.s = {name}.s)"
            return f"({draw(number)} {draw(_SIGNS)} {best})"


# --- what stands in FROM ---------------------------------------------------------------------


@st.composite
def _source(draw: DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """The text, and pairs of a name and the table whose columns it has."""
    kind = draw(st.integers(0, 5))
    first, second = draw(st.sampled_from(["t", "u"])), draw(st.sampled_from(["t", "u"]))
    both = [("p", first), ("q", second)]
    if kind <= 1:
        return f"{first} p", [("p", first)]
    if kind == 2:
        inner = draw(_condition([("p", first)], 1))
        return f"(select * from {first} p where {inner}) p", [("p", first)]
    if kind == 3:
        return f"(select * from {first} union all select * from {first}) p", [("p", first)]
    how = draw(st.sampled_from(["join", "left join", "right join", "full join", "semi join"]))
    equal = draw(st.sampled_from(["p.a = q.a", "p.s = q.s", "p.a is not distinct from q.a"]))
    more = f" and {draw(_condition(both, 0))}" if draw(st.booleans()) else ""
    left = both if how != "semi join" else both[:1]
    return f"{first} p {how} {second} q on {equal}{more}", left


# --- queries ---------------------------------------------------------------------------------


@st.composite
def queries(draw: DrawFn) -> str:
    source, of = draw(_source())
    where = f" where {draw(_condition(of))}" if draw(st.booleans()) else ""
    body = draw(st.sampled_from([_plain, _grouped, _windowed]))(draw, of)
    listed, tail = body
    text = f"select {listed} from {source}{where}{tail}"
    if draw(st.integers(0, 4)) == 0:
        text = f"with w as ({text}) select * from w union all select * from w"
    if draw(st.integers(0, 4)) == 0:
        text = f"select * from ({text}) {draw(_set_word)} select * from ({text})"
    if draw(st.booleans()):
        text = f"select * from ({text}) order by all"
        if draw(st.booleans()):
            text += f" limit {draw(st.integers(0, 9))} offset {draw(st.integers(0, 3))}"
    return text


_set_word = st.sampled_from(["union", "intersect", "except", "except all", "intersect all"])


def _plain(draw: DrawFn, of: Sequence[tuple[str, str]]) -> tuple[str, str]:
    word = draw(st.sampled_from(["", "distinct "]))
    columns = [draw(_number(of)), f"{of[0][0]}.s", draw(_condition(of, 1))]
    return word + ", ".join(f"{each} as c{at}" for at, each in enumerate(columns)), ""


def _grouped(draw: DrawFn, of: Sequence[tuple[str, str]]) -> tuple[str, str]:
    number, name = draw(_number(of, 1)), of[0][0]
    aggregates = draw(
        st.lists(
            st.sampled_from(
                [
                    "count(*)",
                    f"sum({number})",
                    f"min({name}.s)",
                    f"max({number})",
                    f"count(distinct {number})",
                    f"avg({name}.a)",
                    f"count(*) filter (where {draw(_condition(of, 0))})",
                    f"string_agg({name}.s, ',' order by {name}.s)",
                    f"list({number} order by {number})",
                    f"bool_and({draw(_condition(of, 0))})",
                    f"median({name}.a)",
                ]
            ),
            min_size=1,
            max_size=3,
        )
    )
    keys = draw(st.lists(st.sampled_from([f"{name}.s", f"{name}.a"]), max_size=2, unique=True))
    listed = ", ".join(f"{each} as c{at}" for at, each in enumerate([*keys, *aggregates]))
    if not keys:
        return listed, ""
    by = ", ".join(keys)
    by = draw(st.sampled_from([by, f"rollup({by})", f"cube({by})"]))
    having = draw(st.sampled_from(["", " having count(*) > 1"]))
    return listed, f" group by {by}{having}"


def _windowed(draw: DrawFn, of: Sequence[tuple[str, str]]) -> tuple[str, str]:
    name, table = of[0]
    number = draw(_number(of, 1))
    # Rows that this leaves alike are alike in all that the query gives out.
    order = ", ".join([f"{each}.{column}" for each, of_ in of for column in TABLES[of_]])
    del table
    by = draw(st.sampled_from(["", f"partition by {name}.s ", f"partition by {name}.a "]))
    function = draw(
        st.sampled_from(
            [
                f"row_number() over ({by}order by {order})",
                f"rank() over ({by}order by {name}.a)",
                f"sum({number}) over ({by})",
                f"sum({number}) over ({by}order by {name}.a)",
                f"lag({number}) over ({by}order by {order})",
                f"count(*) over ({by}order by {order} rows between 1 preceding and 1 following)",
                f"max({name}.a) over ({by}order by {name}.a range between 1 preceding "
                f"and 2 following)",
            ]
        )
    )
    columns = ", ".join(f"{each}.{column}" for each, of_ in of for column in TABLES[of_])
    named = ", ".join(f"{column} as c{at}" for at, column in enumerate(columns.split(", ")))
    return f"{named}, {function} as w", ""
