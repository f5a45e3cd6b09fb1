"""The engine's plan, from the JSON that it writes, as typed expressions.

Strict: a kind of expression, type or constant that is not known here is refused by name. The format
leaves out what is zero, false or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import attrs

from ffq.engine.scalars import AGGREGATES, WINDOWS, is_run
from ffq.errors import UnsupportedPlan
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
from ffq.plan.volatile import VOLATILE

COMPARISONS: Final = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_SPECIAL: Final = {
    "COMPARE_IN": Form.IN,
    "COMPARE_NOT_IN": Form.NOT_IN,
    "OPERATOR_NOT": Form.NOT,
    "OPERATOR_IS_NULL": Form.IS_NULL,
    "OPERATOR_IS_NOT_NULL": Form.IS_NOT_NULL,
    "OPERATOR_COALESCE": Form.COALESCE,
    "OPERATOR_NULLIF": Form.NULLIF,
    "OPERATOR_TRY": Form.TRY,
    "ARRAY_EXTRACT": Form.ITEM,
    "STRUCT_EXTRACT": Form.FIELD,
}
_ALIASES: Final = {
    "SQLNULL": "NULL",
    "INTEGER_LITERAL": "INTEGER",
    "STRING_LITERAL": "VARCHAR",
    "TIMESTAMP_SEC": "TIMESTAMP_S",
}
_WHOLE: Final = frozenset(
    sign + kind for sign in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
)
_COUNTED: Final = frozenset(
    {
        *_WHOLE,
        "DATE",
        "TIME",
        "TIME_NS",
        "TIME WITH TIME ZONE",
        "TIMESTAMP",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "TIMESTAMP WITH TIME ZONE",
    }
)
_BY_NAMES: Final = frozenset({"struct_insert", "struct_update"})
"""Functions that make fields of the names of their arguments, which their type does not tell."""
BOOLEAN: Final = SqlType("BOOLEAN")
_LARGE: Final = frozenset({"HUGEINT", "UHUGEINT", "UUID", "DECIMAL"})

Json = Mapping[str, Any]


_SAYS: Final = "SQL: this is not distributed: "


class NotDistributed(UnsupportedPlan):
    """`at`: the byte of the text that it is about; None: the engine does not say."""

    def __init__(self, message: str, at: int | None) -> None:
        super().__init__(message)
        self.at = at


def refuse(what: str, node: Json) -> NoReturn:
    """Raises NotDistributed: says where in the text, as far as the engine does."""
    raise NotDistributed(_SAYS + what, node.get("query_location"))


def dicts(value: Any) -> Iterator[Json]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(each)
        elif isinstance(each, dict):
            yield each
            pending.extend(each.values())


def volatile_call(
    plan: Any, tables: Mapping[str, Json], ctes: Mapping[int, Json] | None = None
) -> Json | None:
    """A call of a function that gives another value each time, in a plan or in what it reads.

    Args:
        tables, ctes: those whose rows are made with one.
    """
    for each in dicts(plan):
        if _is_volatile(each):
            return each
        found = None
        if each.get("type") == "LOGICAL_CTE_REF":
            found = (ctes or {}).get(each.get("cte_index", 0))
        elif each.get("type") == "LOGICAL_GET" and tables:
            found = tables.get((each.get("function_data") or {}).get("table", ""))
        if found is not None:
            return found
    return None


def _is_volatile(found: Json) -> bool:
    is_call = found.get("expression_class") == "BOUND_FUNCTION"
    return is_call and found["qname"]["path"][-1] in VOLATILE


# --- types -----------------------------------------------------------------------------------


def read_type(found: Json) -> SqlType:  # noqa: PLR0911
    """A collation is left out: where it says what is alike, the plan has functions for it.

    Raises NotDistributed: a type that plans have not.
    """
    name = _ALIASES.get(found["id"], found["id"])
    info = found.get("type_info") or {}
    match name:
        case "DECIMAL":
            return SqlType(name, (info["width"], info.get("scale", 0)))
        case "LIST":
            return SqlType(name, (read_type(info["child_type"]),))
        case "ARRAY":
            return SqlType(name, (read_type(info["child_type"]), info["size"]))
        case "TUPLE":
            fields = info["child_types"]
            return SqlType(name, tuple(read_type(each["second"]) for each in fields))
        case "STRUCT" | "UNION":
            fields = info["child_types"][name == "UNION" :]  # a union has its tag first
            return SqlType(
                name, tuple((each["first"], read_type(each["second"])) for each in fields)
            )
        case "MAP":
            entry = info["child_type"]["type_info"]["child_types"]
            return SqlType(name, tuple(read_type(each["second"]) for each in entry))
        case "ENUM":
            return SqlType(name, tuple(info["values"]))
        case "VARCHAR" if info.get("alias") == "JSON":
            return SqlType("JSON")
    if name not in PLAIN_TYPES:
        raise NotDistributed(_SAYS + f"values of type {name}", None)
    return SqlType(name)


# --- constants -------------------------------------------------------------------------------


def read_constant(found: Json, kind: SqlType | None = None) -> Constant:
    """kind: the type, where the constant stands inside of another and does not say it."""
    of = read_type(found["type"]) if "type" in found else kind
    assert of is not None, "a constant without a type"
    return Constant(of, None if found.get("is_null") else _value(found.get("value"), of))


def _value(found: Any, kind: SqlType) -> Scalar:  # noqa: PLR0911
    match kind.name:
        case "BOOLEAN":
            return bool(found)
        case name if name in _COUNTED:
            return int(found or 0)
        case name if name in _LARGE:
            return _large(found)
        case "FLOAT" | "DOUBLE":
            return 0.0 if found is None else float(found)  # of either sign
        case "VARCHAR" | "JSON" | "BLOB" | "BIT":
            return _text(found, kind)
        case "INTERVAL":
            parts = found or {}
            return tuple(int(parts.get(part, 0)) for part in ("months", "days", "micros"))
        case "ENUM":
            return str(kind.arguments[int(found or 0)])
        case "LIST" | "ARRAY" | "STRUCT" | "MAP" | "TUPLE":
            return _nested((found or {}).get("children", []), kind)
    raise NotDistributed(_SAYS + f"constants of type {kind.name}", None)


def _large(found: Any) -> int:
    if isinstance(found, Mapping):
        return (int(found.get("upper", 0)) << 64) + int(found.get("lower", 0))
    return int(found or 0)


def _text(found: Any, kind: SqlType) -> str:
    if isinstance(found, Mapping):
        raise NotDistributed(_SAYS + f"a constant of type {kind.name} that is no text", None)
    return str(found or "")


def _nested(children: Sequence[Json], kind: SqlType) -> tuple[Scalar, ...]:
    if kind.name == "MAP":
        pair = SqlType("STRUCT", (("key", kind.arguments[0]), ("value", kind.arguments[1])))  # type: ignore[arg-type]
        return tuple(read_constant(each, pair).value for each in children)
    if kind.name == "STRUCT":
        types = [argument[1] for argument in kind.arguments if isinstance(argument, tuple)]
        return tuple(
            read_constant(each, of).value for each, of in zip(children, types, strict=True)
        )
    if kind.name == "TUPLE":
        parts = [part for part in kind.arguments if isinstance(part, SqlType)]
        return tuple(
            read_constant(each, of).value for each, of in zip(children, parts, strict=True)
        )
    item = kind.arguments[0]
    assert isinstance(item, SqlType)
    return tuple(read_constant(each, item).value for each in children)


def _share(quantile: BoundExpr) -> BoundExpr:
    """From the largest value on the plan counts below zero, which cannot say 0."""
    match quantile:
        case Constant(value=int() | float() as value):
            return attrs.evolve(quantile, value=abs(value))
        case Constant(value=tuple() as values):
            shares = tuple(abs(each) if isinstance(each, int | float) else each for each in values)
            return attrs.evolve(quantile, value=shares)
        case Call(name="list_value" | "array_value"):
            return attrs.evolve(quantile, args=tuple(map(_share, quantile.args)))
    return quantile


def _distance(found: Json, unit: str) -> Json:
    """Of a RANGE the plan has the value at its end: what orders the rows, and the distance."""
    if unit != "RANGE":
        return found
    while found["type"] == "OPERATOR_CAST":
        found = found["children"][0]
    if found.get("qname", {}).get("path", [""])[-1] not in {"+", "-"}:
        refuse("a frame of RANGE by what is no sum", found)
    distance: Json = found["children"][1]
    return distance


def type_of(found: Json) -> Json:
    """An expression's type, as the plan writes it."""
    if found["expression_class"] == "BOUND_CONJUNCTION":  # which says none
        return {"id": "BOOLEAN"}
    kind: Json = found["value"]["type"] if "value" in found else found["return_type"]
    return kind


# --- expressions -----------------------------------------------------------------------------


class ExpressionReader:
    """Reads expressions over an input of `width` columns, by position.

    bindings: the planner's numbers of the columns, by which it names them below some functions.
    """

    def __init__(self, width: int, bindings: Sequence[tuple[int, int]] | None = None) -> None:
        self.width = width
        self._bindings = bindings or ()

    def __call__(self, found: Json) -> BoundExpr:
        """Raises NotDistributed: names what is not distributed."""
        read = _READERS.get(found["expression_class"])
        if read is None:
            refuse(f"an expression of kind {found['expression_class']}", found)
        try:
            return read(self, found)
        except NotDistributed as refused:
            if refused.at is None:
                refused.at = found.get("query_location")
            raise

    def all(self, found: Sequence[Json]) -> tuple[BoundExpr, ...]:
        return tuple(self(each) for each in found)

    def keys(self, found: Sequence[Json]) -> tuple[BoundKey, ...]:
        return tuple(
            BoundKey(
                self(each["expression"]),
                asc=each["type"] != "DESCENDING",
                nulls_first="FIRST" in each.get("null_order", "NULLS LAST"),
            )
            for each in found
        )

    def aggregate(self, found: Json) -> BoundAggregate:
        """Raises NotDistributed."""
        name = found["qname"]["path"][-1]
        if name not in AGGREGATES:
            refuse(f"the aggregate {name}", found)
        data = found.get("function_data") or {}
        args = self.all(found.get("children", []))
        if name == "string_agg" and len(args) == 1:
            args += (Constant(SqlType("VARCHAR"), data.get("separator", ",")),)
        elif "quantiles" in data and name != "median" and len(args) == 1:
            of = [read_constant(each) for each in data["quantiles"]]
            listed = found["return_type"]["id"] == "LIST"
            args += (
                (Constant(SqlType("LIST", (of[0].type,)), tuple(each.value for each in of)),)
                if listed
                else (of[0],)
            )
        order = self.keys((found.get("order_bys") or {}).get("orders", []))
        if data.get("desc"):  # a quantile from the largest on
            args = (args[0], *(_share(each) for each in args[1:]))
            order = (BoundKey(args[0], asc=False, nulls_first=False),)
        condition = found.get("filter")
        return BoundAggregate(
            {"count_star": "count", "sum_no_overflow": "sum"}.get(name, name),
            args,
            read_type(found["return_type"]),
            distinct=found.get("aggregate_type") == "DISTINCT",
            filter=None if condition is None else self(condition),
            order=order,
            arg_types=tuple(read_type(type_of(each)) for each in found.get("children", [])),
        )

    def window(self, found: Json) -> BoundWindow:
        """Raises NotDistributed."""
        kind = found["type"].removeprefix("WINDOW_")
        args = self.all(found.get("children", []))
        name = found["qname"]["path"][-1] if kind == "AGGREGATE" else kind.lower()
        for each in ("offset_expr", "default_expr"):
            if found.get(each):
                args += (self(found[each]),)
        if name not in AGGREGATES | WINDOWS:
            refuse(f"the window function {name}", found)
        condition = found.get("filters")
        function = BoundAggregate(
            {"count_star": "count", "sum_no_overflow": "sum"}.get(name, name),
            args,
            read_type(found["return_type"]),
            distinct=bool(found.get("distinct")),
            filter=None if condition is None else self(condition),
            order=self.keys(found.get("arg_orders", [])),
        )
        return BoundWindow(
            function,
            self.all(found.get("partitions", [])),
            self.keys(found.get("orders", [])),
            self._frame(found),
            bool(found.get("ignore_nulls")),
        )

    def _frame(self, found: Json) -> BoundFrame | None:
        units: set[str] = set()
        edges = []
        for side in ("start", "end"):
            edge = found.get(side, "UNBOUNDED_PRECEDING")
            distance = None
            if edge.startswith("EXPR_"):
                edge, _, unit = edge.removeprefix("EXPR_").rpartition("_")
                units.add(unit)
                distance = self(_distance(found[f"{side}_expr"], unit))
            elif edge.startswith("CURRENT_ROW_"):
                edge, _, unit = edge.rpartition("_")
                units.add(unit)
            edges.append((FrameEdge[edge], distance))
        if len(units) > 1:
            refuse("a frame in two units", found)
        exclusion = found.get("exclude_clause", "NO_OTHER")
        (start, start_distance), (end, end_distance) = edges
        return BoundFrame(
            units.pop() if units else "ROWS",
            start,
            end,
            start_distance,
            end_distance,
            "" if exclusion == "NO_OTHER" else exclusion,
        )

    def _ref(self, found: Json) -> BoundExpr:
        index = found.get("index", 0)
        if index >= self.width:
            refuse(f"column {index} of an input of {self.width}", found)
        return Place(index)

    def _column(self, found: Json) -> BoundExpr:
        binding = found["binding"]
        column = binding.get("table_index", 0), binding.get("column_index", 0)
        if column not in self._bindings:
            refuse(f"column {column[1]} of table {column[0]}, which is not known here", found)
        return Place(self._bindings.index(column))

    def _constant(self, found: Json) -> BoundExpr:
        return read_constant(found["value"])

    def _conjunction(self, found: Json) -> BoundExpr:
        return Conjunction(self.all(found["children"]), found["type"] == "CONJUNCTION_OR")

    def _case(self, found: Json) -> BoundExpr:
        branches = (
            (self(each["when_expr"]), self(each["then_expr"])) for each in found["case_checks"]
        )
        return Choice(tuple(branches), self(found["else_expr"]))

    def _operator(self, found: Json) -> BoundExpr:
        form = _SPECIAL.get(found["type"])
        if form is None:
            refuse(f"the operator {found['type']}", found)
        return Special(form, self.all(found["children"]))

    def _function(self, found: Json) -> BoundExpr:
        kind, name = found["type"], found["qname"]["path"][-1]
        children = found.get("children", [])
        if kind == "OPERATOR_CAST" or name == "__cast":
            tries = bool((found.get("function_data") or {}).get("try_cast"))
            return Conversion(self(children[0]), read_type(found["return_type"]), tries)
        if kind in _SPECIAL:
            return Special(_SPECIAL[kind], self.all(children))
        if kind in COMPARISONS:
            return Call(COMPARISONS[kind], self.all(children), BOOLEAN)
        if name == "__between":
            return self._between(found)
        if name.startswith("__"):
            refuse(f"the function {name}", found)
        if not is_run(name, len(children)):
            refuse(f"the function {name}", found)
        if any(each["type"] == "LAMBDA" for each in children):
            return self._with_lambda(found, name, children)
        names = tuple(found.get("named_arguments", ())) if name in _BY_NAMES else ()
        return Call(name, self.all(children), read_type(found["return_type"]), names)

    def _with_lambda(self, found: Json, name: str, children: Sequence[Json]) -> BoundExpr:
        """A lambda's captures stand behind it; before them what it starts with, if anything, or
        what it is called with."""
        (at,) = (at for at, each in enumerate(children) if each["type"] == "LAMBDA")
        parameters = children[at]["parameter_count"]
        initial = int(bool((found.get("function_data") or {}).get("has_initial")))
        own = parameters if name == "invoke" else initial
        first = self.all(children[:at])
        rest = self.all(children[at + 1 :])
        given, captures = rest[:own], rest[own:]
        body = ExpressionReader(parameters + len(captures))(children[at]["lambda_expr"])
        function = Lambda(parameters, body, captures)
        return Call(name, (*first, function, *given), read_type(found["return_type"]))

    def _between(self, found: Json) -> BoundExpr:
        data = found.get("function_data") or {}
        value, low, high = self.all(found["children"])
        # Left out where both ends belong to it, as most do.
        inclusive = [data.get(end, not data) for end in ("lower_inclusive", "upper_inclusive")]
        if all(inclusive):
            return Special(Form.BETWEEN, (value, low, high))
        above = Call(">=" if inclusive[0] else ">", (value, low), BOOLEAN)
        below = Call("<=" if inclusive[1] else "<", (value, high), BOOLEAN)
        return Conjunction((above, below), any=False)


_READERS: Final[Mapping[str, Callable[[ExpressionReader, Json], BoundExpr]]] = {
    "BOUND_REF": ExpressionReader._ref,
    "BOUND_COLUMN_REF": ExpressionReader._column,
    "BOUND_CONSTANT": ExpressionReader._constant,
    "BOUND_CONJUNCTION": ExpressionReader._conjunction,
    "BOUND_CASE": ExpressionReader._case,
    "BOUND_OPERATOR": ExpressionReader._operator,
    "BOUND_FUNCTION": ExpressionReader._function,
}
READ_EXPRESSIONS: Final = _READERS.keys()
"""Kinds of expressions that are read, as the engine names them."""
