"""Bound expressions as SQL of the engine, over columns c0, c1, ...

Every constant is written with its type, and every function by the name that the planner bound, so
that the engine binds here what was bound there. What is no function of a list of ours is refused: a
plan may come from anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from math import isfinite
from typing import Final

from ffq.engine.scalars import AGGREGATES, INFIX, PREFIX, WINDOWS, is_run
from ffq.engine.sql import Columns, identifier, text
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.bound import (
    PLAIN_TYPES,
    BoundAggregate,
    BoundExpr,
    BoundFrame,
    BoundKey,
    BoundWindow,
    Call,
    Choice,
    Conjunction,
    Constant,
    Conversion,
    Form,
    FrameEdge,
    Lambda,
    Place,
    Scalar,
    Special,
    SqlType,
)
from ffq.plan.terms import Bound, Expr

_EDGES: Final = {
    FrameEdge.UNBOUNDED_PRECEDING: "UNBOUNDED PRECEDING",
    FrameEdge.CURRENT_ROW: "CURRENT ROW",
    FrameEdge.UNBOUNDED_FOLLOWING: "UNBOUNDED FOLLOWING",
}
_EXCLUSIONS: Final = {
    "": "",
    "CURRENT_ROW": " EXCLUDE CURRENT ROW",
    "GROUP": " EXCLUDE GROUP",
    "TIES": " EXCLUDE TIES",
}
_INFINITE_DAYS: Final = 2**31 - 1
_INFINITE: Final = 2**63 - 1
_OFFSET_BITS: Final = 24
_MOST_SECONDS_EAST: Final = 16 * 3600 - 1
"""A time with its offset from UTC is a number: microseconds of the day, then how many seconds it
lies west of the place that is farthest east."""
_FROM_THE_LARGEST: Final = {
    "quantile_cont": "percentile_cont",
    "quantile_disc": "percentile_disc",
}
"""Aggregates that SQL has under another name where they go by an order of their argument."""
_WRITTEN_BARE: Final = frozenset({"TINYINT", "SMALLINT", "INTEGER"})
_EXACT: Final = Context(prec=60)
_UNITS: Final = {
    "TIMESTAMP_S": 10**6,
    "TIMESTAMP_MS": 10**3,
    "TIMESTAMP": 1,
    "TIMESTAMP WITH TIME ZONE": 1,
}


# --- types -----------------------------------------------------------------------------------


def type_sql(kind: SqlType) -> str:  # noqa: PLR0911
    """A type as the engine reads it. Raises PlanningError: it is none."""
    arguments = kind.arguments
    match kind.name, arguments:
        case "NULL", ():
            return '"NULL"'
        case name, () if name in PLAIN_TYPES:
            return name
        case "DECIMAL", (int(width), int(scale)) if 0 <= scale <= width <= 38 and width:
            return f"DECIMAL({width},{scale})"
        case "LIST", (SqlType() as item,):
            return f"{type_sql(item)}[]"
        case "ARRAY", (SqlType() as item, int(size)) if size > 0:
            return f"{type_sql(item)}[{size}]"
        case ("STRUCT" | "UNION") as name, fields if fields and all(map(_is_field, fields)):
            listed = ", ".join(f"{identifier(str(f[0]))} {type_sql(f[1])}" for f in fields)  # type: ignore[index, arg-type]
            return f"{name}({listed})"
        case "TUPLE", parts if parts and all(isinstance(part, SqlType) for part in parts):
            return f"TUPLE({', '.join(type_sql(part) for part in parts)})"  # type: ignore[arg-type]
        case "MAP", (SqlType() as key, SqlType() as value):
            return f"MAP({type_sql(key)}, {type_sql(value)})"
        case "ENUM", values if values and all(isinstance(value, str) for value in values):
            return f"ENUM({', '.join(text(str(value)) for value in values)})"
    raise PlanningError(f"this engine has no type {kind.name} of {len(arguments)} arguments")


def _is_field(argument: object) -> bool:
    return isinstance(argument, tuple) and isinstance(argument[1], SqlType)


# --- constants -------------------------------------------------------------------------------


def constant_sql(constant: Constant) -> str:
    """A constant of its very type. Raises PlanningError: the value is none of it."""
    kind = type_sql(constant.type)
    if constant.value is None:
        return f"CAST(NULL AS {kind})"
    return f"CAST({_value_sql(constant.value, constant.type)} AS {kind})"


def _value_sql(value: Scalar, kind: SqlType) -> str:  # noqa: PLR0911, PLR0912
    """Something that a cast makes the value of."""
    match kind.name, value:
        case "BOOLEAN", bool():
            return "TRUE" if value else "FALSE"
        case (("FLOAT" | "DOUBLE"), float()):
            return (
                repr(value)
                if isfinite(value) and not _is_negative_zero(value)
                else text(repr(value))
            )
        case "DECIMAL", int():
            scale = kind.arguments[1]
            assert isinstance(scale, int)
            return text(f"{Decimal(value).scaleb(-scale, _EXACT):f}")
        case (("VARCHAR" | "JSON" | "ENUM" | "BIT" | "BLOB"), str()):
            return text(value)
        case "UUID", int():
            digits = (value ^ (1 << 127)) & ((1 << 128) - 1)
            return text(f"{digits:032x}")
        case "DATE", int():
            if abs(value) == _INFINITE_DAYS:
                return text("infinity" if value > 0 else "-infinity")
            return f"(DATE '1970-01-01' + CAST({value} AS INTEGER))"
        case name, int() if name in _UNITS:
            if abs(value) == _INFINITE:
                return text("infinity" if value > 0 else "-infinity")
            made = f"make_timestamp(CAST({value * _UNITS[name]} AS BIGINT))"
            zoned = name == "TIMESTAMP WITH TIME ZONE"
            return f"(CAST({made} AS VARCHAR) || '+00')" if zoned else made
        case "TIMESTAMP_NS", int():
            if abs(value) == _INFINITE:
                return text("infinity" if value > 0 else "-infinity")
            return f"make_timestamp_ns(CAST({value} AS BIGINT))"
        case "TIME", int():
            return text(_time(value))
        case "TIME WITH TIME ZONE", int():
            micros, west = divmod(value, 1 << _OFFSET_BITS)
            east = _MOST_SECONDS_EAST - west
            sign = "-" if east < 0 else "+"
            return text(f"{_time(micros)}{sign}{_clock(abs(east))}")
        case "INTERVAL", (int(months), int(days), int(micros)):
            return f"(to_months({months}) + to_days({days}) + to_microseconds({micros}))"
        case (("LIST" | "ARRAY"), tuple()):
            item = kind.arguments[0]
            assert isinstance(item, SqlType)
            return f"[{', '.join(constant_sql(Constant(item, each)) for each in value)}]"
        case "STRUCT", tuple() if len(value) == len(kind.arguments):
            fields = [argument for argument in kind.arguments if isinstance(argument, tuple)]
            packed = ", ".join(
                f"{identifier(name)} := {constant_sql(Constant(of, each))}"
                for (name, of), each in zip(fields, value, strict=True)
            )
            return f"struct_pack({packed})"
        case "TUPLE", tuple() if len(value) == len(kind.arguments):
            pairs = zip(kind.arguments, value, strict=True)
            parts = [Constant(of, each) for of, each in pairs if isinstance(of, SqlType)]
            return f"row({', '.join(map(constant_sql, parts))})"
        case "MAP", tuple():
            return _map_sql(value, kind)
        case name, int() if name.endswith(("INT", "INTEGER")):
            return str(value) if name in _WRITTEN_BARE else text(str(value))
    raise PlanningError(f"a constant of type {kind.name} is a {type(value).__name__}")


def _time(micros: int) -> str:
    """Of a day."""
    return f"{_clock(micros // 10**6)}.{micros % 10**6:06}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _map_sql(entries: tuple[Scalar, ...], kind: SqlType) -> str:
    sides: tuple[list[str], list[str]] = ([], [])
    for entry in entries:
        if not isinstance(entry, tuple) or len(entry) != len(sides):
            raise PlanningError("a constant of type MAP has an entry that is no pair")
        for side, of, each in zip(sides, kind.arguments, entry, strict=True):
            assert isinstance(of, SqlType)
            side.append(constant_sql(Constant(of, each)))
    keys, values = (", ".join(side) for side in sides)
    return f"map([{keys}], [{values}])"


def _is_negative_zero(value: float) -> bool:
    return value == 0 and repr(value).startswith("-")


# --- expressions -----------------------------------------------------------------------------


def without_own_casts(exprs: Sequence[Expr], sqls: Sequence[str], columns: Columns) -> list[str]:
    """The SQL of expressions, where a column that is cast to the type that it has is not cast."""

    def written(expr: Expr, sql: str) -> str:
        match expr:
            case Bound(tree=Conversion(expr=Place(index=at), to=to)) if 0 <= at < len(columns):
                return f"c{at}" if columns[at].type == type_sql(to) else sql
        return sql

    return list(map(written, exprs, sqls))


class BoundWriter:
    """Writes expressions over an input of `width` columns; `node` is named in errors.

    places: what stands for each, where that is no column of the input: in a lambda's body.
    """

    def __init__(self, width: int, node: str, places: Sequence[str] | None = None) -> None:
        self._places = [f"c{at}" for at in range(width)] if places is None else places
        self._node = node

    def sql(self, expr: BoundExpr) -> str:  # noqa: PLR0911
        """Raises PlanningError, UnsupportedPlan."""
        match expr:
            case Place(index=index):
                if not 0 <= index < len(self._places):
                    raise PlanningError(
                        f"{self._node}: column {index} of an input of {len(self._places)} columns"
                    )
                return self._places[index]
            case Constant():
                return constant_sql(expr)
            case Conversion(expr=inner, to=to, tries=tries):
                return f"{'TRY_CAST' if tries else 'CAST'}({self.sql(inner)} AS {type_sql(to)})"
            case Conjunction(terms=terms, any=any_):
                return f"({(' OR ' if any_ else ' AND ').join(map(self.sql, terms))})"
            case Choice(branches=branches, otherwise=otherwise):
                whens = " ".join(f"WHEN {self.sql(w)} THEN {self.sql(t)}" for w, t in branches)
                return f"CASE {whens} ELSE {self.sql(otherwise)} END"
            case Lambda():
                return self._lambda(expr)
            case Special(form=form, args=args):
                return self._special(form, [self.sql(arg) for arg in args])
            case Call(args=args):
                called = self._call(expr, [self.sql(arg) for arg in args])
                # How many digits a result has, the planner has decided with more knowledge.
                decimal = expr.type.name == "DECIMAL"
                return f"CAST({called} AS {type_sql(expr.type)})" if decimal else called

    def _lambda(self, expr: Lambda) -> str:
        # The planner counts parameters from the last one; those of inner lambdas hide no outer one.
        names = [f"p{self._depth()}_{at}" for at in range(expr.parameters)]
        captured = [self.sql(each) for each in expr.captures]
        body = BoundWriter(0, self._node, [*reversed(names), *captured])
        body._nesting = self._depth() + 1
        return f"lambda {', '.join(names)}: {body.sql(expr.body)}"

    _nesting = 0

    def _depth(self) -> int:
        return self._nesting

    def _special(self, form: Form, args: Sequence[str]) -> str:  # noqa: PLR0911
        match form, args:
            case Form.IN | Form.NOT_IN, [value, *among] if among:
                word = "IN" if form is Form.IN else "NOT IN"
                return f"({value} {word} ({', '.join(among)}))"
            case Form.NOT, [value]:
                return f"(NOT {value})"
            case Form.IS_NULL, [value]:
                return f"({value} IS NULL)"
            case Form.IS_NOT_NULL, [value]:
                return f"({value} IS NOT NULL)"
            case Form.COALESCE, [_, *_]:
                return f"coalesce({', '.join(args)})"
            case Form.NULLIF, [value, other]:
                return f"nullif({value}, {other})"
            case Form.TRY, [value]:
                return f"TRY({value})"
            case Form.ITEM, [value, at]:
                return f"({value})[{at}]"
            case Form.FIELD, [value, name]:
                return f"struct_extract({value}, {name})"
            case Form.BETWEEN, [value, low, high]:
                return f"({value} BETWEEN {low} AND {high})"
        raise PlanningError(f"{self._node}: {form.value} of {len(args)} arguments")

    def keys(self, keys: Sequence[BoundKey]) -> str:
        return ", ".join(
            f"{self.sql(key.expr)} {'ASC' if key.asc else 'DESC'} "
            f"NULLS {'FIRST' if key.nulls_first else 'LAST'}"
            for key in keys
        )

    def aggregate(self, one: BoundAggregate) -> str:
        """The aggregate over rows."""
        return f"CAST({self._called(one)} AS {type_sql(one.type)})"

    def state(self, one: BoundAggregate) -> str:
        """What an aggregate holds of some of the rows."""
        return f"{self._called(one)} EXPORT_STATE"

    def merged(self, one: BoundAggregate, state: str) -> str:
        """The aggregate over all rows, of the states of some."""
        kinds = ", ".join(text(type_sql(kind)) for kind in one.arg_types)
        name = "count_star" if one.name == "count" and not one.args else one.name
        whole = f"combine_aggr(to_aggregate_state({state}, {text(name)}, [{kinds}]))"
        return f"CAST(finalize({whole}) AS {type_sql(one.type)})"

    def _called(self, one: BoundAggregate) -> str:
        args = ", ".join(map(self.sql, one.args)) or "*"
        distinct = "DISTINCT " if one.distinct else ""
        order = f" ORDER BY {self.keys(one.order)}" if one.order else ""
        if one.name not in AGGREGATES:
            raise UnsupportedPlan(
                f"{self._node}: this engine does not run the aggregate {one.name!r}"
            )
        made = f"{identifier(one.name)}({distinct}{args}{order})"
        if one.name in _FROM_THE_LARGEST and one.order:
            value, share = map(self.sql, one.args)
            within = f"WITHIN GROUP (ORDER BY {value} DESC)"
            made = f"{_FROM_THE_LARGEST[one.name]}({share}) {within}"
        if one.filter is not None:
            made += f" FILTER (WHERE {self.sql(one.filter)})"
        return made

    def window(self, one: BoundWindow) -> str:
        called = one.function
        if called.name not in AGGREGATES | WINDOWS:
            raise UnsupportedPlan(
                f"{self._node}: this engine does not run the window function {called.name!r}"
            )
        args = ", ".join(map(self.sql, called.args))
        if not args and called.name == "count":
            args = "*"
        made = f"{identifier(called.name)}({'DISTINCT ' if called.distinct else ''}{args}"
        made += f" ORDER BY {self.keys(called.order)}" if called.order else ""
        made += " IGNORE NULLS)" if one.ignore_nulls else ")"
        if called.filter is not None:
            made += f" FILTER (WHERE {self.sql(called.filter)})"
        over = []
        if one.partitions:
            over.append("PARTITION BY " + ", ".join(map(self.sql, one.partitions)))
        if one.order:
            over.append(f"ORDER BY {self.keys(one.order)}")
        if one.frame is not None:
            over.append(self._frame(one.frame))
        return f"CAST({made} OVER ({' '.join(over)}) AS {type_sql(called.type)})"

    def _frame(self, frame: BoundFrame) -> str:
        if frame.units not in {"ROWS", "RANGE", "GROUPS"} or frame.exclusion not in _EXCLUSIONS:
            raise PlanningError(f"{self._node}: a frame of {frame.units} {frame.exclusion}")
        edges = [
            self._edge(frame.start, frame.start_distance),
            self._edge(frame.end, frame.end_distance),
        ]
        return f"{frame.units} BETWEEN {edges[0]} AND {edges[1]}{_EXCLUSIONS[frame.exclusion]}"

    def _edge(self, edge: FrameEdge, distance: BoundExpr | None) -> str:
        if edge in {FrameEdge.PRECEDING, FrameEdge.FOLLOWING}:
            if distance is None:
                raise PlanningError(f"{self._node}: {edge.value} of no distance")
            return f"{self.sql(distance)} {edge.value.upper()}"
        return _EDGES[edge]

    def _call(self, call: Call, args: Sequence[str]) -> str:
        name = call.name
        if name == "union_value":
            (field,) = (each for each in call.type.arguments if isinstance(each, tuple))
            return f"union_value({identifier(field[0])} := {args[0]})"
        if name == "row" and call.type.name == "TUPLE":
            return f"row({', '.join(args)})"
        if name in {"struct_pack", "row"}:
            fields = [each for each in call.type.arguments if isinstance(each, tuple)]
            named = (f"{identifier(of[0])} := {arg}" for of, arg in zip(fields, args, strict=True))
            return f"struct_pack({', '.join(named)})"
        if name in INFIX and len(args) == 2:
            return f"({args[0]} {name} {args[1]})"
        if name in PREFIX and len(args) == 1:
            return f"({name} {args[0]})"
        if not is_run(name, len(args)):
            raise UnsupportedPlan(f"{self._node}: this engine does not run the function {name!r}")
        bare = len(args) - len(call.names)
        if bare < 0:
            raise PlanningError(f"{self._node}: {name} of {len(args)} arguments and more names")
        by_name = [
            f"{identifier(of)} := {arg}" for of, arg in zip(call.names, args[bare:], strict=True)
        ]
        return f"{identifier(name)}({', '.join([*args[:bare], *by_name])})"
