"""Expressions as text, over columns that have names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ffq.plan import bound, terms
from ffq.plan.bound import BoundExpr, Form, SqlType
from ffq.plan.names import text_of
from ffq.plan.terms import BinaryOperator, Expr

LONGEST: Final = 120
"""Characters of one expression: the rest is left out."""
_SIGNS: Final = {
    BinaryOperator.EQ: "=",
    BinaryOperator.NOT_EQ: "<>",
    BinaryOperator.LT: "<",
    BinaryOperator.LT_EQ: "<=",
    BinaryOperator.GT: ">",
    BinaryOperator.GT_EQ: ">=",
    BinaryOperator.PLUS: "+",
    BinaryOperator.MINUS: "-",
    BinaryOperator.MULTIPLY: "*",
    BinaryOperator.DIVIDE: "//",
}
_WORDS: Final = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}
_MICROS: Final = 10**6
_DAY_MICROS: Final = 86_400 * _MICROS
_EPOCH_DAYS: Final = 719_468  # of 1970-01-01, in the count of days from 0000-03-01 that is below


def shortened(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def expression_text(expr: Expr, names: Sequence[str]) -> str:  # noqa: PLR0911, PLR0912
    """names: of the input's columns, by place."""

    def text(inner: Expr) -> str:
        return expression_text(inner, names)

    match expr:
        case terms.Column() | terms.ColumnPath():
            return text_of(expr) if isinstance(expr, terms.ColumnPath) else expr.name
        case terms.ColumnRef(name=name):
            return name
        case terms.Literal(value=value):
            return _literal(value)
        case terms.BinaryOp(left=left, op=op, right=right):
            return f"({text(left)} {_SIGNS[op]} {text(right)})"
        case terms.Cast(expr=inner, to_type=kind):
            return f"CAST({text(inner)} AS {kind.name})"
        case terms.And(left=left, right=right):
            return f"({text(left)} AND {text(right)})"
        case terms.Or(left=left, right=right):
            return f"({text(left)} OR {text(right)})"
        case terms.Not(expr=inner):
            return f"(NOT {text(inner)})"
        case terms.IsNull(expr=inner):
            return f"({text(inner)} IS NULL)"
        case terms.IsNotNull(expr=inner):
            return f"({text(inner)} IS NOT NULL)"
        case terms.CaseWhen(branches=branches, else_expr=otherwise):
            whens = " ".join(f"WHEN {text(w)} THEN {text(t)}" for w, t in branches)
            tail = "" if otherwise is None else f" ELSE {text(otherwise)}"
            return f"CASE {whens}{tail} END"
        case terms.ScalarUdf(name=name, args=args):
            return f"{name}({', '.join(map(text, args))})"
        case terms.VectorDistance(function=function, vector=vector, query=query):
            return f"{function}({text(vector)}, {text(query)})"
        case terms.Bound(tree=tree):
            return bound_text(tree, names)


def bound_text(expr: BoundExpr, names: Sequence[str]) -> str:  # noqa: PLR0911
    """names: of the input's columns, by place."""

    def text(inner: BoundExpr) -> str:
        return bound_text(inner, names)

    match expr:
        case bound.Place(index=index):
            return names[index] if index < len(names) else f"#{index}"
        case bound.Constant(type=kind, value=value):
            return _constant(kind, value)
        case bound.Conversion(expr=inner, to=to, tries=tries):
            return f"{'TRY_CAST' if tries else 'CAST'}({text(inner)} AS {type_text(to)})"
        case bound.Conjunction(terms=parts, any=any_):
            return f"({(' OR ' if any_ else ' AND ').join(map(text, parts))})"
        case bound.Choice(branches=branches, otherwise=otherwise):
            whens = " ".join(f"WHEN {text(w)} THEN {text(t)}" for w, t in branches)
            return f"CASE {whens} ELSE {text(otherwise)} END"
        case bound.Lambda(parameters=count, body=body, captures=captures):
            parameters = [f"x{at}" if at else "x" for at in range(count)]
            inner_names = [*reversed(parameters), *map(text, captures)]
            return f"lambda {', '.join(parameters)}: {bound_text(body, inner_names)}"
        case bound.Special(form=form, args=args):
            return _special(form, [text(arg) for arg in args])
        case bound.Call(name=name, args=args, names=named):
            bare = [""] * (len(args) - len(named))
            of = [f"{each} := " if each else "" for each in (*bare, *named)]
            return _call(name, [of[at] + text(arg) for at, arg in enumerate(args)])


def _call(name: str, args: Sequence[str]) -> str:
    if len(args) == 2 and not name[0].isalpha():
        return f"({args[0]} {_WORDS.get(name, name)} {args[1]})"
    return f"{name}({', '.join(args)})"


def _special(form: Form, args: Sequence[str]) -> str:  # noqa: PLR0911
    first, rest = args[0], args[1:]
    match form:
        case Form.IN | Form.NOT_IN:
            return f"({first} {'IN' if form is Form.IN else 'NOT IN'} ({', '.join(rest)}))"
        case Form.NOT:
            return f"(NOT {first})"
        case Form.IS_NULL | Form.IS_NOT_NULL:
            return f"({first} IS {'NULL' if form is Form.IS_NULL else 'NOT NULL'})"
        case Form.ITEM:
            return f"{first}[{', '.join(rest)}]"
        case Form.FIELD:
            return f"{first}.{', '.join(rest).strip(_QUOTE)}"
        case Form.BETWEEN:
            return f"({first} BETWEEN {' AND '.join(rest)})"
        case _:
            return f"{form.value.lower()}({', '.join(args)})"


_QUOTE: Final = "'"


def type_text(kind: SqlType) -> str:
    """A type as SQL spells it, as far as a reader needs."""
    match kind.name, kind.arguments:
        case "DECIMAL", (int(width), int(scale)):
            return f"DECIMAL({width},{scale})"
        case "LIST", (SqlType() as item,):
            return f"{type_text(item)}[]"
        case name, _:
            return name


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return quoted(value)
        case tuple():
            return f"[{len(value)} numbers]"
        case _:
            return str(value)


def _constant(kind: SqlType, value: bound.Scalar) -> str:  # noqa: PLR0911
    match kind.name, value:
        case _, None:
            return "NULL"
        case "DATE", int():
            return f"DATE '{_date(value)}'"
        case ("TIMESTAMP" | "TIMESTAMP WITH TIME ZONE") as name, int():
            days, micros = divmod(value, _DAY_MICROS)
            return f"{name} '{_date(days)} {_time(micros)}'"
        case "DECIMAL", int():
            return _decimal(value, kind)
        case "INTERVAL", (int(months), int(days), int(micros)):
            parts = ((months, "months"), (days, "days"), (micros // _MICROS, "seconds"))
            return f"INTERVAL '{' '.join(f'{n} {unit}' for n, unit in parts if n) or '0 days'}'"
        case _, str():
            return quoted(value)
        case _, tuple():
            return f"[{', '.join(_literal(each) for each in value)}]"
        case _:
            return str(value)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return f"'{text.replace(_QUOTE, _QUOTE * 2)}'"


def _decimal(value: int, kind: SqlType) -> str:
    scale = kind.arguments[1]
    assert isinstance(scale, int)
    digits = f"{abs(value):0{scale + 1}d}"
    whole = digits if not scale else f"{digits[:-scale]}.{digits[-scale:]}"
    return f"-{whole}" if value < 0 else whole


def _date(days: int) -> str:
    """A day since 1970, of the Gregorian calendar; years beyond four digits too."""
    era, day = divmod(days + _EPOCH_DAYS, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month += 3 if month < 10 else -9
    return f"{era * 400 + year + (month <= 2):04d}-{month:02d}-{day + 1:02d}"


def _time(micros: int) -> str:
    seconds, rest = divmod(micros, _MICROS)
    text = f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{rest:06d}" if rest else text
