"""One line for each node, and what its columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ffq.plan import model
from ffq.plan.bound import (
    BoundAggregate,
    BoundKey,
    BoundWindow,
    Conversion,
    Match,
    Phase,
    Place,
)
from ffq.plan.explain.expressions import bound_text, expression_text, shortened
from ffq.plan.model import Node
from ffq.plan.names import text_of
from ffq.plan.outputs import LEFT_ONLY
from ffq.plan.terms import AggregateExpr, Bound, Expr
from ffq.plan.walk import KEEPS_COLUMNS, children, node_name

Names = tuple[str, ...]
FINAL: Final = "Final aggregate"
_AGGREGATES: Final = {
    Phase.WHOLE: "Aggregate",
    Phase.SHARE: "Aggregate within each task",
    Phase.STATES: "Partial aggregate",
    Phase.MERGED: FINAL,
}


@attrs.frozen
class Line:
    """A node in words. `shown`: False for one that only gives columns other places."""

    title: str
    details: str
    names: Names
    shown: bool = True


_LEFT = frozenset({Match.SEMI, Match.ANTI, Match.MARK})
_JOINS = {
    Match.INNER: "INNER",
    Match.LEFT: "LEFT",
    Match.RIGHT: "RIGHT",
    Match.FULL: "FULL",
    Match.SEMI: "SEMI",
    Match.ANTI: "ANTI",
    Match.MARK: "MARK",
    Match.SINGLE: "SINGLE",
    Match.ASOF: "ASOF",
    Match.ASOF_LEFT: "ASOF LEFT",
    Match.POSITIONAL: "POSITIONAL",
}


@attrs.define
class Describer:
    """Describes the nodes of one plan; each is looked at once."""

    _lines: dict[int, Line] = attrs.field(factory=dict, init=False)

    def __call__(self, node: Node) -> Line:
        line = self._lines.get(id(node))
        if line is None:
            line = self._lines[id(node)] = self._line(node, [self(each) for each in children(node)])
        return line

    def _line(self, node: Node, below: Sequence[Line]) -> Line:  # noqa: PLR0911, PLR0912
        names = below[0].names if below else ()
        match node:
            case model.ParquetScan():
                return _scan(node)
            case model.FetchedRows(scan=scan):
                return Line("Fetch", f"rows of {scan.table}", names + below[1].names)
            case model.Inline(table=table, columns=typed):
                names = tuple(name for name, _ in typed)
                return Line(f"Inline {table}", f"columns {_listed(names)}" if names else "", names)
            case model.Filter(predicate=predicate):
                return Line("Filter", _short(expression_text(predicate, names)), names)
            case model.Project():
                return _project(node, names)
            case model.Sort():
                return Line("Top" if node.limit is not None else "Sort", _sort(node, names), names)
            case model.Aggregate():
                return _aggregate(node, names)
            case model.PartialHashAggregate() | model.FinalHashAggregate():
                return _hash_aggregate(node, names)
            case model.Join():
                return _join(node, below[0].names, below[1].names)
            case model.HashJoin():
                return _hash_join(node, names, below[1].names)
            case model.OverWindows(windows=windows, partial=partial):
                added = tuple(_window(each, names) for each in windows)
                details = f"{_listed(added)}{', of each task' * partial}"
                return Line("Window", details, names + added)
            case model.Window(exprs=exprs):
                added = tuple(each.output_name for each in exprs)
                functions = tuple(each.function.name for each in exprs)
                return Line("Window", _listed(functions), names + added)
            case model.Unnest(lists=lists):
                added = tuple(f"unnest({bound_text(each, names)})" for each in lists)
                return Line("Unnest", _listed(added), names + added)
            case model.RowsOf(function=function, args=args, types=types):
                called = f"{function}({_listed([bound_text(each, names) for each in args])})"
                added = tuple(f"{function}.{at}" for at in range(len(types)))
                return Line("RowsOf", called, names + added)
            case model.SetOperation(kind=kind):
                return Line(f"{kind.value.upper()} ALL", "", names)
            case model.Values(rows=rows, types=types):
                columns = tuple(f"col{at}" for at in range(len(types)))
                return Line("Values", f"{len(rows)} rows", columns)
            case model.Series(function=function, args=args):
                given = ", ".join(bound_text(each, ()) for each in args)
                return Line(f"{function}({given})", "", (function,))
            case model.Limit(n=n):
                return Line("Limit", f"{n:,} rows", names)
            case model.TopKByScore(score_expr=score, k=k):
                details = f"{k:,} rows by {expression_text(score, names)} DESC"
                return Line("Top", _short(details), names)
            case model.UnionAll():
                return Line("Union ALL", "", names)
            case model.CteRef(name=name):
                return Line("CTE", name, names)
            case model.Custom(op_name=op_name, config=config):
                given = ", ".join(f"{key} => {value}" for key, value in config)
                return Line(f"Operator {op_name}", _short(given), names)
            case model.Broadcast():
                return Line("Broadcast", "every task has all of these rows", names)
            case (
                model.ShuffleRead()
                | model.ShuffleWrite()
                | model.CoalesceBatches()
                | model.WithTables()
            ):
                return Line("Exchange", "", names, shown=False)
            case _:
                kept = names if isinstance(node, KEEPS_COLUMNS) else ()
                return Line(node_name(node), "", kept)


def _short(text: str) -> str:
    return shortened(_bare(text))


def _bare(text: str) -> str:
    return text[1:-1] if _is_wrapped(text) else text


def _is_wrapped(text: str) -> bool:
    """Whether its first and last parenthesis are a pair."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if not depth:
            return text.startswith("(") and at == len(text) - 1
    return False


def _listed(parts: Sequence[str]) -> str:
    return shortened(", ".join(shortened(part, 60) for part in parts))


def _scan(node: model.ParquetScan) -> Line:
    names = tuple(map(text_of, node.projection or ()))
    details = f"columns {_listed(names)}" if names else ""
    if node.filters:
        wanted = " AND ".join(expression_text(each, names) for each in node.filters)
        details += f" where {_short(wanted)}"
    if isinstance(node, model.NumberedScan):
        return Line(f"Scan {node.table}", f"{details}, numbered".strip(", "), (*names, "row"))
    return Line(f"Scan {node.table}", details.strip(), names)


def _project(node: model.Project, names: Names) -> Line:
    # What the planner calls c0, c1, ... is called as what it is.
    exprs = [_as_planned(expr, node.input) for expr, _ in node.exprs]
    texts = [expression_text(expr, names) for expr in exprs]
    called = tuple(
        text if name == f"c{at}" else name
        for at, (text, (_, name)) in enumerate(zip(texts, node.exprs, strict=True))
    )
    moves = all(isinstance(e, Bound) and isinstance(e.tree, Place) for e in exprs)
    shown = not (moves and called == tuple(texts))
    details = [
        _bare(text) if text == name else f"{_bare(text)} AS {name}"
        for text, name in zip(texts, called, strict=True)
    ]
    return Line("Project", _listed(details), called, shown)


def _as_planned(expr: Expr, below: Node) -> Expr:
    """A column that a scan gives out is of the type that it was planned as: nobody asked for it."""
    match expr:
        case Bound(tree=Conversion(expr=Place() as column, tries=False)) if isinstance(
            below, model.ParquetScan | model.Inline
        ):
            return Bound(column)
    return expr


def _keys(keys: Sequence[BoundKey], names: Names) -> str:
    return _listed(
        [
            f"{bound_text(key.expr, names)}{'' if key.asc else ' DESC'}"
            f"{' NULLS FIRST' if key.nulls_first else ''}"
            for key in keys
        ]
    )


def _sort(node: model.Sort, names: Names) -> str:
    parts = [_keys(node.keys, names)] if node.keys else []
    if node.limit is not None:
        parts.append(f"limit {node.limit:,}")
    if node.offset:
        parts.append(f"offset {node.offset:,}")
    if node.partial:
        parts.append("of each task")
    return ", ".join(parts)


def _called(one: BoundAggregate, names: Names) -> str:
    args = ", ".join(_bare(bound_text(each, names)) for each in one.args) or "*"
    text = f"{one.name}({'DISTINCT ' if one.distinct else ''}{args})"
    if one.filter is not None:
        text += f" FILTER ({bound_text(one.filter, names)})"
    return text


def _aggregate(node: model.Aggregate, names: Names) -> Line:
    groups = tuple(bound_text(each, names) for each in node.groups)
    if node.phase is Phase.MERGED:  # over states, which stand under the names of their aggregates
        values = names[len(groups) : len(groups) + len(node.aggregates)]
    else:
        values = tuple(_called(each, names) for each in node.aggregates)
    groupings = tuple(
        f"GROUPING({', '.join(groups[at] for at in each)})" for each in node.groupings
    )
    title = _AGGREGATES[node.phase]
    details = f"by {_listed(groups)}" if groups else "all rows"
    if node.sets:
        details += f" in {len(node.sets)} grouping sets"
    if values:
        details += f": {_listed(values)}"
    return Line(title, details, groups + values + groupings)


def _hash_aggregate(
    node: model.PartialHashAggregate | model.FinalHashAggregate, names: Names
) -> Line:
    groups = tuple(expression_text(each, names) for each in node.group_exprs)
    values = tuple(_classic(one, names) for one, _ in node.aggr_exprs)
    partial = isinstance(node, model.PartialHashAggregate)
    details = f"by {_listed(groups)}" if groups else "all rows"
    title = "Partial aggregate" if partial else FINAL
    called = tuple(name for _, name in node.aggr_exprs)
    return Line(title, f"{details}: {_listed(values)}", groups + called)


def _classic(one: AggregateExpr, names: Names) -> str:
    return f"{one.function.value}({expression_text(one.argument, names)})"


def _hash_join(node: model.HashJoin, left: Names, right: Names) -> Line:
    on = ", ".join(f"{text_of(a)} = {text_of(b)}" for a, b in node.on)
    both = left if node.join_type in LEFT_ONLY else left + right
    return Line(f"Join {node.join_type.value.upper()}", f"on {on}", both)


def _join(node: model.Join, left: Names, right: Names) -> Line:
    both = left + right
    condition = "" if node.condition is None else bound_text(node.condition, both)
    every = node.match is Match.INNER and not condition
    title = f"Join {'CROSS' if every else _JOINS[node.match]}"
    names = left if node.match in _LEFT else both
    if node.match is Match.MARK:
        names = (*names, "mark")
    return Line(title, f"on {_short(condition)}" if condition else "", names)


def _window(one: BoundWindow, names: Names) -> str:
    over = []
    if one.partitions:
        over.append(f"PARTITION BY {', '.join(bound_text(each, names) for each in one.partitions)}")
    if one.order:
        over.append(f"ORDER BY {_keys(one.order, names)}")
    return f"{_called(one.function, names)} OVER ({' '.join(over)})"
