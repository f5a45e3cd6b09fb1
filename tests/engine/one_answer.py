"""Tables and queries drawn at random, each query as a plan in several shapes and as SQL.

Written apart from the engine: a table is a list of Python rows, which Parquet files hold in
several writings, and DuckDB in one table of its own.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from ffq import plan as p
from ffq.plan import model, terms
from ffq.plan.builder import Relation
from ffq.plan.model import Node
from ffq.plan.terms import BinaryOperator, Expr

Row = tuple[object, ...]


@attrs.frozen
class Kind:
    """types: how files may hold it; the last holds all values. sql: how DuckDB does."""

    name: str
    types: tuple[pa.DataType, ...]
    values: tuple[Any, ...] = attrs.field(hash=False)
    sql: str

    @property
    def is_number(self) -> bool:
        return self.name in {"float", "whole", "decimal"}

    @property
    def has_literals(self) -> bool:
        return self.name not in {"struct", "list"}


NAN = float("nan")
DAYS = (dt.date(1969, 12, 31), dt.date(2024, 2, 29))
TIMES = (dt.datetime(1969, 12, 31, 23, 59, 59, 999_000), dt.datetime(2024, 2, 29))
KINDS = (
    Kind(
        "float",
        (pa.float32(), pa.float64()),
        (NAN, NAN, -0.0, 0.0, 1.5, -2.0, 7.0, math.inf),
        "DOUBLE",
    ),
    Kind(
        "whole",
        (pa.uint8(), pa.int8(), pa.uint32(), pa.int32(), pa.int64()),
        (0, 1, 2, 3, 100),
        "BIGINT",
    ),
    Kind(
        "decimal",
        (pa.decimal128(5, 1), pa.decimal128(9, 2), pa.decimal128(15, 4)),
        (Decimal("0"), Decimal("1.5"), Decimal("2.0"), Decimal("999.5")),
        "DECIMAL(15,4)",
    ),
    Kind(
        "text",
        (pa.string_view(), pa.large_string(), pa.string()),
        ("", "a", "A", "é", "it's"),
        "VARCHAR",
    ),
    Kind("day", (pa.date32(),), DAYS, "DATE"),
    Kind("time", (pa.timestamp("ms"), pa.timestamp("us")), TIMES, "TIMESTAMP"),
    Kind("flag", (pa.bool_(),), (True, False), "BOOLEAN"),
    Kind(
        "struct",
        (pa.struct([("x", pa.int64()), ("y", pa.float64())]),),
        ({"x": 1, "y": 0.5}, {"x": None, "y": NAN}, {"x": 2, "y": -0.0}),
        "STRUCT(x BIGINT, y DOUBLE)",
    ),
    Kind(
        "list",
        (pa.list_(pa.float32()), pa.list_(pa.float64())),
        ([], [None], [NAN], [0.0, 1.5], [-0.0, 1.5], [1.5]),
        "DOUBLE[]",
    ),
)
OFTEN = (KINDS[0], KINDS[0], KINDS[0], *KINDS)
"""Floats are where engines disagree most."""
NAMES = ("a", "b", "A b", "x.y", "file_row_number", "ü", "select", "t")


@attrs.frozen
class Column:
    name: str
    kind: Kind

    @property
    def sql(self) -> str:
        return f'"{self.name}"'


@attrs.frozen
class File:
    """types: of each column; null where all its values are. group: rows of a row group.

    backwards: its columns stand in the other order. twins: it has two more, of one name, of which
    no query speaks.
    """

    rows: tuple[Row, ...]
    types: tuple[pa.DataType, ...]
    group: int
    backwards: bool
    twins: bool


@attrs.frozen
class Table:
    columns: tuple[Column, ...]
    files: tuple[File, ...]

    def write(self, folder: Path) -> list[Path]:
        folder.mkdir()
        paths = []
        for number, file in enumerate(self.files):
            paths.append(folder / f"{number}.parquet")
            pq.write_table(self._arrow(file), paths[-1], row_group_size=file.group)
        return paths

    def load(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        listed = ", ".join(f"{one.sql} {one.kind.sql}" for one in self.columns)
        connection.execute(f"CREATE OR REPLACE TABLE {name} ({listed})")
        marks = ", ".join("?" for _ in self.columns)
        for row in (row for file in self.files for row in file.rows):
            connection.execute(f"INSERT INTO {name} VALUES ({marks})", row)

    def _arrow(self, file: File) -> pa.Table:
        named = [
            (column.name, pa.array([row[at] for row in file.rows], file.types[at]))
            for at, column in enumerate(self.columns)
        ]
        if file.backwards:
            named.reverse()
        if file.twins:
            first, last = (pa.array([number] * len(file.rows)) for number in (1, 2))
            named = [("twin", first), *named, ("twin", last)]
        names, columns = zip(*named, strict=True)
        return pa.Table.from_arrays(columns, names=names)


@attrs.frozen
class Query:
    """shapes: plans that must all have the one answer that `sql` has."""

    kind: str
    shapes: dict[str, Node]
    sql: str


@attrs.frozen
class Case:
    """A query and what it asks: tables `t` and `u`."""

    left: Table
    right: Table
    query: Query


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """What is asked comes first and the tables suit it, so that no kind of query is rare."""
    asked = draw(st.sampled_from(_ASKED))
    if asked in {"filter", "aggregate"}:
        left, right = draw(_tables()), draw(_tables())
        query = draw(_filters(left) if asked == "filter" else _aggregates(left))
        return Case(left, right, query)
    key = draw(st.sampled_from(OFTEN))
    left, right = draw(_tables(key)), draw(_tables(key))
    a, b = draw(st.sampled_from(_pairs(left, right)))
    if asked.endswith("in"):
        return Case(left, right, _membership(left, right, a, b, negated=asked == "not in"))
    return Case(left, right, _join(left, right, a, b, asked))


_JOINS = ("inner", "left", "right", "full", "semi", "anti")
_ASKED = (*("filter",) * 4, *("aggregate",) * 4, *_JOINS, "in", "not in")


@st.composite
def _tables(draw: st.DrawFn, key: Kind | None = None) -> Table:
    """key: what its first column is."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    kinds = [draw(st.sampled_from(OFTEN)) for _ in names]
    if key is not None:
        kinds[0] = key
    columns = tuple(map(Column, names, kinds))
    rows = st.tuples(*(st.none() | st.sampled_from(one.kind.values) for one in columns))
    some = st.lists(rows, max_size=1) | st.lists(rows, min_size=4, max_size=8)
    files = draw(st.lists(some, min_size=1, max_size=3))
    twins = draw(st.booleans())
    return Table(columns, tuple(_file(draw, columns, tuple(each), twins=twins) for each in files))


def _file(
    draw: st.DrawFn, columns: Sequence[Column], rows: tuple[Row, ...], *, twins: bool
) -> File:
    types = []
    for at, column in enumerate(columns):
        if rows and all(row[at] is None for row in rows) and draw(st.booleans()):
            types.append(pa.null())
        else:
            types.append(draw(st.sampled_from(column.kind.types)))
    return File(rows, tuple(types), draw(st.integers(1, 3)), draw(st.booleans()), twins)


_SHAPES = (*("compare",) * 3, *("beyond",) * 4, "null", "not", "and", "or")
_SIGNS = {
    BinaryOperator.EQ: "=",
    BinaryOperator.NOT_EQ: "<>",
    BinaryOperator.LT: "<",
    BinaryOperator.LT_EQ: "<=",
    BinaryOperator.GT: ">",
    BinaryOperator.GT_EQ: ">=",
}


@st.composite
def _predicates(draw: st.DrawFn, table: Table, depth: int = 2) -> tuple[Expr, str]:
    shape = draw(st.sampled_from(_SHAPES)) if depth else "compare"
    if shape in {"and", "or"}:
        (a, a_sql), (b, b_sql) = (draw(_predicates(table, depth - 1)) for _ in range(2))
        node = terms.And(a, b) if shape == "and" else terms.Or(a, b)
        return node, f"({a_sql} {shape.upper()} {b_sql})"
    if shape == "not":
        inner, sql = draw(_predicates(table, depth - 1))
        return terms.Not(inner), f"(NOT {sql})"
    column = draw(st.sampled_from(table.columns))
    if shape == "null" or not column.kind.has_literals:
        return terms.IsNull(terms.Column(column.name)), f"({column.sql} IS NULL)"
    if shape == "beyond":  # past all but NaN: what Parquet's statistics know nothing of
        op = draw(st.sampled_from((BinaryOperator.GT, BinaryOperator.GT_EQ)))
        value = column.kind.values[-2 if column.kind.name == "float" else -1]
    else:
        op, value = draw(st.sampled_from(list(_SIGNS))), draw(st.sampled_from(column.kind.values))
    literal, literal_sql = _literal(value)
    compared = terms.BinaryOp(terms.Column(column.name), op, literal)
    return compared, f"({column.sql} {_SIGNS[op]} {literal_sql})"


def _literal(value: Any) -> tuple[Expr, str]:
    if isinstance(value, float):
        return terms.Literal(terms.LiteralType.FLOAT64, value), f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, dt.datetime):
        micros = terms.DataType("Timestamp", ("Microsecond", None))
        cast = terms.Cast(terms.Literal(terms.LiteralType.UTF8, str(value)), micros)
        return cast, f"TIMESTAMP '{value}'"
    quoted = str(value).replace("'", "''")
    kind = {Decimal: "DECIMAL", str: "VARCHAR", dt.date: "DATE"}.get(type(value))
    if kind == "DECIMAL":
        kind = "DECIMAL(15,4)"
    return p.lit(value).expr, str(value) if kind is None else f"CAST('{quoted}' AS {kind})"


def _scan(name: str, table: Table, *filters: Expr) -> Relation:
    columns = tuple(one.name for one in table.columns)
    return Relation(model.ParquetScan(name, None, columns, filters), columns)


def _filtered(table: Table, predicate: Expr) -> Iterator[tuple[str, Relation]]:
    yield "at the scan", _scan("t", table, predicate)
    key = table.columns[-1].name
    exchanged = _scan("t", table)
    exchanged = exchanged.repartition([key], partitions=3)
    yield "after an exchange", exchanged.filter(p.Expression(predicate))
    yield "gathered", _scan("t", table).gather().filter(p.Expression(predicate))


@st.composite
def _filters(draw: st.DrawFn, table: Table) -> Query:
    predicate, sql = draw(_predicates(table))
    shapes = {name: relation.node for name, relation in _filtered(table, predicate)}
    return Query("filter", shapes, f"SELECT * FROM t WHERE {sql}")


@st.composite
def _aggregates(draw: st.DrawFn, table: Table) -> Query:
    predicate, where = draw(_predicates(table))
    groups = draw(st.lists(st.sampled_from(table.columns), max_size=2, unique=True))
    wanted = draw(st.lists(st.sampled_from(_functions(table)), min_size=1, max_size=3, unique=True))
    aggregates = [
        p.expressions.Aggregation(
            terms.AggregateExpr(function, terms.Column(column.name)), f"out {number}"
        )
        for number, (function, column) in enumerate(wanted)
    ]
    shapes = {}
    for name, relation in _filtered(table, predicate):
        for partitions in (1, 3):
            keys = [one.name for one in groups]
            made = relation.aggregate(keys, aggregates, partitions=partitions)
            shapes[f"{name}, {partitions} partitions"] = made.node
    listed = [one.sql for one in groups] + [_aggregate_sql(*each) for each in wanted]
    by = f" GROUP BY {', '.join(one.sql for one in groups)}" if groups else ""
    return Query("aggregate", shapes, f"SELECT {', '.join(listed)} FROM t WHERE {where}{by}")


def _functions(table: Table) -> list[tuple[terms.AggregateFunction, Column]]:
    of_any = (
        terms.AggregateFunction.COUNT,
        terms.AggregateFunction.MIN,
        terms.AggregateFunction.MAX,
        terms.AggregateFunction.COUNT_DISTINCT,
    )
    of_numbers = (terms.AggregateFunction.SUM, terms.AggregateFunction.AVG)
    return [
        (function, column)
        for column in table.columns
        for function in (
            *of_any,
            *(of_numbers if column.kind.is_number else ()),
        )
    ]


def _aggregate_sql(function: terms.AggregateFunction, column: Column) -> str:
    if function is terms.AggregateFunction.COUNT_DISTINCT:
        return f"count(DISTINCT {column.sql})"
    return f"{function.name.lower()}({column.sql})"


def _pairs(left: Table, right: Table) -> list[tuple[Column, Column]]:
    return [(a, b) for a in left.columns for b in right.columns if a.kind == b.kind]


def _join(left: Table, right: Table, a: Column, b: Column, how: Any) -> Query:
    strategies = {
        "inner": ("broadcast_left", "broadcast_right"),
        "left": ("broadcast_right",),
        "right": ("broadcast_left",),
        "semi": ("broadcast_right",),
        "anti": ("broadcast_right",),
    }
    shapes = {}
    for strategy in ("shuffle", *strategies.get(how, ())):
        one, other = (
            attrs.evolve(_scan(*each), columns=None) for each in (("t", left), ("u", right))
        )
        chosen: Any = strategy
        made = one.join(other, [(a.name, b.name)], how, strategy=chosen, partitions=3)
        shapes[strategy] = made.node
        one = one.repartition([a.name], partitions=2)
        shapes[f"{strategy} after an exchange"] = one.join(
            other, [(a.name, b.name)], how, strategy=chosen, partitions=3
        ).node
    outputs = "l.*" if how in {"semi", "anti"} else "l.*, r.*"
    sql = f"SELECT {outputs} FROM t l {how.upper()} JOIN u r ON l.{a.sql} = r.{b.sql}"
    return Query(f"{how} join", shapes, sql)


def _membership(left: Table, right: Table, a: Column, b: Column, *, negated: bool) -> Query:
    subquery = _scan("u", right).project(p.Expression(terms.Column(b.name), b.name)).node
    exchanged = _scan("t", left).repartition([a.name], partitions=3).node
    shapes: dict[str, Node] = {
        name: model.InSubqueryFilter(rows, terms.Column(a.name), below, negated)
        for name, rows, below in (
            ("at the scan", _scan("t", left).node, subquery),
            ("after an exchange", exchanged, Relation(subquery).gather().node),
        )
    }
    sign = "NOT IN" if negated else "IN"
    return Query(
        sign.lower(), shapes, f"SELECT * FROM t WHERE {a.sql} {sign} (SELECT {b.sql} FROM u)"
    )


def answer(rows: Sequence[Row], value: Callable[[object], object]) -> Counter[Row]:
    """Rows in any order."""
    return Counter(tuple(map(value, row)) for row in rows)


def exact(value: object) -> object:
    """A value that is equal only to itself: NaN to NaN, and -0.0 not to 0.0."""
    if isinstance(value, dict | list):
        return _inside(value, exact)
    return repr(value) if isinstance(value, float) else value


def close(value: object) -> object:
    """As SQL compares: -0.0 is 0.0, and a mean may be rounded otherwise."""
    if isinstance(value, dict | list):
        return _inside(value, close)
    if isinstance(value, float | Decimal):
        number = float(value)
        return repr(number) if not math.isfinite(number) else round(number, 9) + 0.0
    return value


def _inside(value: dict[str, object] | list[object], as_: Callable[[object], object]) -> object:
    if isinstance(value, dict):
        return tuple((name, as_(inner)) for name, inner in value.items())
    return tuple(map(as_, value))
