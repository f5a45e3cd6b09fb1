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
from ffq.plan.bound import BoundExpr, Call, Conjunction, Conversion, Match, Place, SqlType
from ffq.plan.model import Node, RangeJoin
from ffq.plan.terms import Bound
from ffq.plan.walk import stage_scans

RANGED: Final = frozenset({Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI})
"""Matches of which a left row's answer is known where all right rows with its key are: what the
right side has besides changes nothing."""
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

    What is between the join and those scans takes each row for itself.
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
    columns = scanned_column(join.left, left), scanned_column(join.right, right)
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


def scanned_column(node: Node, at: int) -> ScannedColumn | None:
    """The column of a scan that stands at this place of a node's rows; None: there is none, or more
    between the two than what takes each row of the scan for itself."""
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
            case model.Project(exprs=exprs, input=below):
                tree = _tree(exprs[at][0]) if 0 <= at < len(exprs) else None
                if isinstance(tree, Conversion) and _is_as_planned(tree, below):
                    kind, tree = tree.to, tree.expr
                if not isinstance(tree, Place):
                    return None
                node, at = below, tree.index
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


def _tree(expr: object) -> BoundExpr | None:
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
            return None if names is None else len(names)
        case model.Project(exprs=exprs):
            return len(exprs)
        case model.Filter() | model.CoalesceBatches() | model.WithTables() | model.Broadcast():
            return width_of(node.input)
        case model.ShuffleRead() | model.ShuffleWrite():
            return width_of(node.input)
        case model.CteRef(plan=plan):
            return width_of(plan)
        case model.Join(match=match):
            left, right = width_of(node.left), width_of(node.right)
            if match in {Match.SEMI, Match.ANTI}:
                return left
            if match is Match.MARK:
                return None if left is None else left + 1
            return None if left is None or right is None else left + right
        case _:
            return None
