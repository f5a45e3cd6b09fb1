"""The SQL of a relation. Each step is a SELECT over the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from ffq.engine.sql import identifier, text
from ffq.errors import PlanningError
from ffq.relation.pieces import Pieces, has_window, written
from ffq.relation.steps import (
    Cut,
    Distinct,
    Dropped,
    Extended,
    Filtered,
    Grouped,
    Joined,
    Known,
    Mapped,
    Outputs,
    Query,
    Renamed,
    Selected,
    Sorted,
    SortKey,
    Step,
    Table,
    United,
    check_once,
    columns_of,
    extended,
    joined_columns,
    lowered,
    require,
    require_all,
)
from ffq.sql.text import tokens

_Plain: TypeAlias = Selected | Extended | Filtered | Grouped | Sorted | Distinct | Dropped | Renamed
_OverOne: TypeAlias = _Plain | Cut
_ROWS: Final = "_r"
"""What the relation in FROM is called. Columns are always named with it, so that none is taken for
an output of the same SELECT."""
_LEFT: Final = "_l"
_JOINS: Final = {
    "inner": "JOIN",
    "left": "LEFT JOIN",
    "right": "RIGHT JOIN",
    "full": "FULL JOIN",
    "semi": "SEMI JOIN",
    "anti": "ANTI JOIN",
    "cross": "CROSS JOIN",
}


def statement(step: Step, known: Known) -> str:
    """A query.

    Args:
        known: the columns of every table and query in it. Queries have no parameters any more.

    Raises:
        PlanningError: a column that is not there, or two of one name; names the step.
    """
    columns_of(step, known)
    match step:
        case Query(sql, _):
            return sql
        case Table(name, _):
            return f"SELECT * FROM {identifier(name)}"
        case Mapped(below, operator, arguments):
            more = "".join(f", {identifier(name)} => {sql}" for name, sql in arguments)
            return f"SELECT * FROM op({text(operator)}, ({_in_parentheses(below, known)}){more})"
        case Joined():
            return _join(step, known)
        case United():
            return _union(step, known)
        case _:
            return _over_one(step, known)


def _over_one(step: _OverOne, known: Known) -> str:
    had = columns_of(step.input, known)
    if isinstance(step, Cut):
        return _cut(step, known)
    columns, rest = _columns_and_rest(step, had)
    return f"SELECT {columns} FROM {_source(step.input, known, _ROWS)}{rest}"


def _columns_and_rest(step: _Plain, had: Sequence[str]) -> tuple[str, str]:
    """What stands before FROM, and what after it."""
    columns, rest = "*", ""
    match step:
        case Selected(_, outputs):
            require_all("select", had, _expressions(outputs))
            columns = _listed(outputs)
        case Extended(_, outputs):
            require_all("with_columns", had, _expressions(outputs))
            columns = _extension(had, outputs)
        case Filtered(_, conditions):
            require_all("filter", had, conditions)
            word = "QUALIFY" if any(map(has_window, conditions)) else "WHERE"
            rest = f" {word} {_all_of(conditions)}"
        case Grouped(_, keys, aggregates):
            require_all("group_by", had, _expressions(keys))
            require_all("agg", had, _expressions(aggregates))
            columns = _listed((*keys, *aggregates))
            by = ", ".join(str(at) for at in range(1, len(keys) + 1))
            rest = f" GROUP BY {by}" if by else ""
        case Sorted(_, keys):
            rest = f" {_order(keys, had)}"
        case Distinct(_, subset):
            require("distinct", had, subset)
            columns = f"DISTINCT ON ({_columns(subset)}) *" if subset else "DISTINCT *"
        case Dropped(_, names):
            gone = lowered(names)
            columns = _columns(name for name in had if name.lower() not in gone)
        case Renamed(_, pairs):
            new = {old.lower(): name for old, name in pairs}
            columns = ", ".join(_as(_column(old), new.get(old.lower(), old)) for old in had)
    return columns, rest


def _source(step: Step, known: Known, name: str) -> str:
    """In FROM, under a name."""
    if isinstance(step, Table):
        return f"{identifier(step.name)} AS {name}"
    return f"({_in_parentheses(step, known)}) AS {name}"


def _in_parentheses(step: Step, known: Known) -> str:
    sql = statement(step, known)
    return bracketed(sql) if isinstance(step, Query) else sql


def bracketed(sql: str) -> str:
    """A text of SQL as it stands between brackets: without semicolons and comments at its end."""
    raw = sql.encode(errors="surrogatepass")
    found = list(tokens(raw, 0, len(raw)))
    while found and found[-1].raw == b";":
        found.pop()
    end = found[-1].end if found else 0
    return "\n" + raw[:end].decode(errors="surrogatepass") + "\n"


def _cut(step: Cut, known: Known) -> str:
    """Of sorted rows in the same SELECT: which rows are the first is what it is sorted for."""
    before = step.input
    limit = "" if step.limit is None else f" LIMIT {step.limit}"
    offset = f" OFFSET {step.offset}" if step.offset else ""
    if isinstance(before, Sorted):
        order = _order(before.keys, columns_of(before.input, known))
        return f"SELECT * FROM {_source(before.input, known, _ROWS)} {order}{limit}{offset}"
    return f"SELECT * FROM {_source(before, known, _ROWS)}{limit}{offset}"


def _join(step: Joined, known: Known) -> str:
    left, right = columns_of(step.left, known), columns_of(step.right, known)
    require_all("join: left side", left, (one for one, _ in step.keys))
    require_all("join: right side", right, (other for _, other in step.keys))
    outputs = []
    for side, column, name in joined_columns(step, known):
        of_left, of_right = _column(column, _LEFT), _column(column)
        sql = {"left": of_left, "right": of_right}.get(side)
        if sql is None:  # the key: of rows that only one side has, that side's
            sql = {"right": of_right, "full": f"coalesce({of_left}, {of_right})"}.get(
                step.how, of_left
            )
        outputs.append(_as(sql, name))
    pairs = (f"{written(one, _LEFT)} = {written(other, _ROWS)}" for one, other in step.keys)
    on = f" ON {' AND '.join(pairs)}" if step.keys else ""
    return (
        f"SELECT {', '.join(outputs)} FROM {_source(step.left, known, _LEFT)} "
        f"{_JOINS[step.how]} {_source(step.right, known, _ROWS)}{on}"
    )


def _union(step: United, known: Known) -> str:
    left, right = columns_of(step.left, known), columns_of(step.right, known)
    if lowered(left) != lowered(right):
        raise PlanningError(
            f"union: columns {', '.join(left)} and {', '.join(right)}; right would be the same "
            "names on both sides, in any order"
        )
    word = "UNION" if step.distinct else "UNION ALL"
    return (
        f"SELECT {_columns(left)} FROM {_source(step.left, known, _ROWS)} {word} "
        f"SELECT {_columns(left)} FROM {_source(step.right, known, _ROWS)}"
    )


def _extension(had: Sequence[str], outputs: Outputs) -> str:
    check_once("with_columns", (name for _, name in outputs))
    new = {name.lower(): pieces for pieces, name in outputs}
    names = extended(tuple(had), outputs)
    return ", ".join(
        _as(written(new[name.lower()], _ROWS) if name.lower() in new else _column(name), name)
        for name in names
    )


def _order(keys: Sequence[SortKey], had: Sequence[str]) -> str:
    require_all("sort", had, (key.pieces for key in keys))
    listed = ", ".join(
        f"{written(key.pieces, _ROWS)} {'DESC' if key.descending else 'ASC'} "
        f"NULLS {'LAST' if key.nulls_last else 'FIRST'}"
        for key in keys
    )
    return f"ORDER BY {listed}"


def _listed(outputs: Outputs) -> str:
    return ", ".join(_as(written(pieces, _ROWS), name) for pieces, name in outputs)


def _expressions(outputs: Outputs) -> Iterable[Pieces]:
    return (pieces for pieces, _ in outputs)


def _all_of(conditions: Sequence[Pieces]) -> str:
    return " AND ".join(written(each, _ROWS) for each in conditions)


def _columns(names: Iterable[str]) -> str:
    return ", ".join(map(_column, names))


def _column(name: str, relation: str = _ROWS) -> str:
    return f"{relation}.{identifier(name)}"


def _as(sql: str, name: str) -> str:
    return f"{sql} AS {identifier(name)}"
