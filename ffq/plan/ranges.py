"""Scans that follow another one: each task has of them what may meet its share of that one. Pure.

Rows that join by a column lie in the same task where one side is shared out, and the other side is
read where it has values between those of the share. So what an ffq.RangeJoin joins is exchanged by
nobody. Here is found which column of which scan its sides go by; what values lie where, the footers
of the files tell when shares are cut (`ffq.catalog.ranges`).
"""

from __future__ import annotations

from typing import Final

import attrs

from ffq.plan import model
from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    Call,
    Conjunction,
    Conversion,
    Match,
    Phase,
    Place,
    SqlType,
)
from ffq.plan.model import Node, RangeJoin
from ffq.plan.terms import Bound
from ffq.plan.volatile import is_volatile
from ffq.plan.walk import stage_scans

RANGED: Final = frozenset({Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI})
"""Matches of which a left row's answer is known where all right rows with its key are: what the
right side has besides changes nothing."""
_ORDERLESS: Final = frozenset(
    {"bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "count", "count_star", "max", "min"}
)
_EXACT_SUMS: Final = frozenset({"avg", "sum"})
_FLOATS: Final = frozenset({"DOUBLE", "FLOAT"})
"""Sums of these depend on the order of the rows."""
_LEFT_FIRST: Final = RANGED | {Match.MARK, Match.SINGLE}


@attrs.frozen
class RangeColumn:
    """A column of a scan, and the type that it is read as; None: the one that its files have."""

    name: str
    kind: SqlType | None


@attrs.frozen
class ScannedColumn:
    """leaf: which of the scans below a node the column is of, from 0 in a walk of that node."""

    column: RangeColumn
    leaf: int


@attrs.frozen
class Following:
    """A scan of which a task reads what may meet its share of another scan of the stage.

    Attributes:
        leaf: its number. column: what it goes by.
        leads: the number of the scan that is shared out. by: the column of that one.
    """

    leaf: int
    column: RangeColumn
    leads: int
    by: RangeColumn


def range_columns(join: RangeJoin) -> tuple[ScannedColumn, ScannedColumn] | None:
    """The columns that a join's sides go by; None: its keys are no such columns, it does not ask
    that they be equal, or what leads needs all of the other side.

    What is between the join and those scans takes each row for itself. What follows may have groups
    by the key, too: of one with the key of a row that leads, a task has all rows.
    """
    places = range_places(join)
    width = width_of(join.left)
    allowed = frozenset({Match.INNER}) if join.right_leads else RANGED
    if places is None or width is None or join.match not in allowed or join.condition is None:
        return None
    left, right = places
    wanted = {Place(left), Place(width + right)}
    if not any(_equates(term, wanted) for term in _terms(join.condition)):
        return None
    columns = (
        scanned_column(join.left, left, grouped=join.right_leads),
        scanned_column(join.right, right, grouped=not join.right_leads),
    )
    return None if columns[0] is None or columns[1] is None else (columns[0], columns[1])


def range_places(join: RangeJoin) -> tuple[int, int] | None:
    """Where its keys stand among the columns of either side; None: it has not one key of each."""
    if len(join.keys) != 1:
        return None
    places = [int(name[1:]) for name in join.keys[0] if _is_place(name)]
    return (places[0], places[1]) if len(places) == 2 else None


def _is_place(name: str) -> bool:
    return name[:1] == "c" and name[1:].isascii() and name[1:].isdecimal() and len(name) < 10


def _terms(condition: BoundExpr) -> tuple[BoundExpr, ...]:
    if isinstance(condition, Conjunction) and not condition.any:
        return condition.terms
    return (condition,)


def _equates(term: BoundExpr, wanted: set[Place]) -> bool:
    return isinstance(term, Call) and term.name == "=" and set(term.args) == wanted


def scanned_column(node: Node, at: int, *, grouped: bool = False) -> ScannedColumn | None:
    """The column of a scan that stands at this place of a node's rows; None: there is none, or more
    between the two than what takes each row of the scan for itself.

    Args:
        grouped: there may be groups between, of which it is a column (`ungrouped`).
    """
    kind: SqlType | None = None
    leaf = 0
    while True:
        match node:
            case model.ParquetScan(projection=names):
                name = names[at] if names is not None and 0 <= at < len(names) else None
                return ScannedColumn(RangeColumn(name, kind), leaf) if type(name) is str else None
            case model.Filter() | model.CoalesceBatches() | model.WithTables():
                node = node.input
            case model.CteRef(plan=plan):
                node = plan
            case model.Aggregate() | model.Project():
                tree = _made_of(node, at, grouped=grouped)
                if isinstance(tree, Conversion) and _is_as_planned(tree, node.input):
                    kind, tree = tree.to, tree.expr
                if not isinstance(tree, Place):
                    return None
                node, at = node.input, tree.index
            case model.Join() if node.match in _LEFT_FIRST:
                place = _place_below(node, at)
                if place is None:
                    return None
                if isinstance(node, RangeJoin) and node.right_leads:
                    leaf += len(stage_scans(node.left))
                    node, at = node.right, place
                else:
                    node, at = node.left, place
            case _:
                return None


def ungrouped(node: Node) -> Node:
    """A side of a join without the groups that are between it and its first scan: its rows lie over
    tasks as those do, and leaves have the same numbers."""
    match node:
        case model.Aggregate(phase=Phase.WHOLE):
            return ungrouped(node.input)
        case model.Filter() | model.CoalesceBatches() | model.Project() | model.WithTables():
            below = ungrouped(node.input)
            return node if below is node.input else attrs.evolve(node, input=below)
        case model.CteRef():
            below = ungrouped(node.plan)
            return node if below is node.plan else attrs.evolve(node, plan=below)
        case model.Join():
            below = ungrouped(node.left)
            return node if below is node.left else attrs.evolve(node, left=below)
        case _:
            return node


def _is_of_group(node: model.Aggregate, at: int) -> bool:
    """Whether a column is one that rows are grouped by, and whoever has all rows of a group makes
    the same of them, in whatever order they come."""
    return (
        node.phase is Phase.WHOLE
        and not node.sets
        and not node.groupings
        and 0 <= at < len(node.groups)
        and not is_volatile(node)
        and all(map(_is_exact, node.aggregates))
    )


def _is_exact(one: BoundAggregate) -> bool:
    if one.name in _EXACT_SUMS:
        return bool(one.arg_types) and not any(kind.name in _FLOATS for kind in one.arg_types)
    return one.name in _ORDERLESS


def _made_of(node: model.Aggregate | model.Project, at: int, *, grouped: bool) -> BoundExpr | None:
    """What a column is made of; None: it is not there, or of more than one row."""
    if isinstance(node, model.Aggregate):
        return node.groups[at] if grouped and _is_of_group(node, at) else None
    expr = node.exprs[at][0] if 0 <= at < len(node.exprs) else None
    return expr.tree if isinstance(expr, Bound) else None


def _is_as_planned(cast: Conversion, below: Node) -> bool:
    """Whether a scan's column is read as it was planned."""
    return isinstance(below, model.ParquetScan) and not cast.tries


def _place_below(join: model.Join, at: int) -> int | None:
    """Where a column of a join, or one that is equal to it, stands on the side that is shared out;
    None: it does not, or that is not known."""
    width = width_of(join.left)
    if width is None:
        return None
    of_right = at >= width
    place = at - width if of_right else at
    if of_right == (isinstance(join, RangeJoin) and join.right_leads):
        return place
    if not isinstance(join, RangeJoin) or join.match is not Match.INNER:
        return None
    places = range_places(join) if range_columns(join) else None
    if places is None:
        return None
    own, other = reversed(places) if of_right else places
    return other if place == own else None


def width_of(node: Node) -> int | None:  # noqa: PLR0911
    """How many columns it gives out; None: not known."""
    match node:
        case model.ParquetScan(projection=names):
            own = 1 if isinstance(node, model.NumberedScan) else 0
            return None if names is None else len(names) + own
        case model.Project(exprs=exprs):
            return len(exprs)
        case model.Filter() | model.CoalesceBatches() | model.WithTables() | model.Broadcast():
            return width_of(node.input)
        case model.ShuffleRead() | model.ShuffleWrite():
            return width_of(node.input)
        case model.CteRef(plan=plan):
            return width_of(plan)
        case model.Aggregate(groups=groups, aggregates=aggregates, groupings=groupings):
            return len(groups) + len(aggregates) + len(groupings)
        case model.Join(match=match):
            left, right = width_of(node.left), width_of(node.right)
            if match in {Match.SEMI, Match.ANTI}:
                return left
            if match is Match.MARK:
                return None if left is None else left + 1
            return None if left is None or right is None else left + right
        case _:
            return None
