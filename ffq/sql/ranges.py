"""Joins of rows that lie alike already: where each side's files are in an order of the key.

Tables are often written in the order of an id or of a time. Then a share of the one side needs few
row groups of the other one, and nothing is exchanged. Footers say whether that is so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import attrs

from ffq.catalog import columns_read
from ffq.catalog.ranges import Followed, GroupRange, intervals_of
from ffq.catalog.settings import DEFAULT_SCANS
from ffq.plan.bound import Conjunction, Form, Place, Special
from ffq.plan.distribution import Distribution, DistributionKind, distribution_of
from ffq.plan.model import Aggregate, Filter, Node, ParquetScan, Project
from ffq.plan.ranges import RangeColumn, scanned_column, ungrouped
from ffq.plan.terms import Bound
from ffq.plan.walk import stage_scans
from ffq.sql.exchanges import Exchanges
from ffq.sql.pieces import Equal, Rows, filtered
from ffq.sql.together import in_one_phase

_MOST_READ: Final = 1.25
"""How often a table that follows another one is read, over all tasks. What is read again costs as
much as reading it does, where an exchange of it would cost to write it and to read it once more;
but an exchange need carry few of its columns and rows."""
_MOST_UNEVEN: Final = 2
"""How many times as many row groups as in the mean, and one more, are read beside one share: keys
may lie where the other table has few."""
_ASSUMED_SLOTS: Final = 8
_FEWER: Final = 2
"""So many times fewer rows of one side, by estimate, are thought to be fewer."""

_Side: TypeAlias = tuple[ParquetScan, RangeColumn]


@attrs.frozen
class RangeKey:
    """What sides of a join lie by: a place of each.

    right_leads: the right side is shared out, else the left one. column: by which that one is.
    reads: how often the other one is read.
    """

    left: int
    right: int
    right_leads: bool
    column: str
    reads: float

    def mirrored(self) -> RangeKey:
        """Of the same join with its sides the other way round."""
        return attrs.evolve(
            self, left=self.right, right=self.left, right_leads=not self.right_leads
        )


def far_fewer(left: Rows, right: Rows) -> bool:
    """Whether the left rows are clearly fewer, by estimate: partners are looked up among few.

    The task that joins them cannot tell: how many of a file's rows conditions and other joins leave
    it does not estimate.
    """
    if left.count is None or right.count is None:
        return False
    return _FEWER * left.count < right.count


def range_key(
    left: Node, right: Node, equal: Sequence[Equal], exchanges: Exchanges, *, right_leads: bool
) -> RangeKey | None:
    """By which column one side's files may be read beside shares of the other's; None: there is
    none, or they would be read much more than once.

    Args:
        right_leads: the right side is to be shared out, else the left one. The other one has groups
            in one phase (`grouped_in_place`).
    """
    sides = (left, right)
    leads = 1 if right_leads else 0
    lies = [
        distribution_of(side if at == leads else ungrouped(side)) for at, side in enumerate(sides)
    ]
    follower = lies[1 - leads]
    if follower.follows or not follower.repeatable:
        return None
    for a, b, sign in equal:
        if not (sign == "=" and isinstance(a, Place) and isinstance(b, Place)):
            continue
        found = [
            _side(side, place, lie, grouped=at != leads)
            for at, (side, place, lie) in enumerate(zip(sides, (a, b), lies, strict=True))
        ]
        led, beside = found[leads], found[1 - leads]
        if led is None or beside is None:
            continue
        reads = _reads(led, beside, exchanges)
        if reads is not None and reads <= _MOST_READ:
            return RangeKey(a.index, b.index, right_leads, led[1].name, reads)
    return None


def _side(node: Node, place: Place, lies: Distribution, *, grouped: bool) -> _Side | None:
    """The scan that is shared out, where nothing else is, and the column of it at a place."""
    found = scanned_column(node, place.index, grouped=grouped)
    if found is None or lies.kind is not DistributionKind.SCAN or lies.reads:
        return None
    return (stage_scans(node)[found.leaf], found.column) if lies.scans == {found.leaf} else None


def grouped_in_place(node: Node) -> Node:
    """Rows whose groups are made where the rows are, as far as there is nothing but conditions and
    columns above. Right only beside rows of the same key, in a join by ranges."""
    match node:
        case Filter() | Project():
            below = grouped_in_place(node.input)
            return node if below is node.input else attrs.evolve(node, input=below)
        case Aggregate():
            return in_one_phase(node)
        case _:
            return node


def _reads(led: _Side, follower: _Side, exchanges: Exchanges) -> float | None:
    """How often the follower is read over all tasks; None: footers do not tell, some tasks would
    read most of it, or the other one has fewer row groups than it takes for each slot to have a
    task."""
    groups, others = (_ranges(*each, exchanges) for each in (led, follower))
    slots = exchanges.cluster.slots or _ASSUMED_SLOTS
    if not groups or not others or len(groups) < slots:
        return None
    scan = led[0]
    footers = exchanges.estimates[scan.table].footers
    stored = 0 if footers is None else footers.stored_bytes(columns_read(scan))
    rounds = max(1, -(-stored // (DEFAULT_SCANS.target_bytes * slots)))
    followed = Followed(others)
    shares = _shares(groups, min(rounds * slots, len(groups)))
    beside = [len(followed.within(intervals_of(share))) for share in shares]
    if max(beside) > _MOST_UNEVEN * sum(beside) / len(beside) + 1:
        return None
    return sum(beside) / len(others)


def _ranges(
    scan: ParquetScan, column: RangeColumn, exchanges: Exchanges
) -> Sequence[GroupRange] | None:
    """None: they are not known of all row groups."""
    known = exchanges.estimates.get(scan.table)
    if known is None or known.footers is None:
        return None
    groups = known.footers.ranges(column)
    return None if any(each.interval is None for each in groups) else groups


def _shares(groups: Sequence[GroupRange], count: int) -> list[list[GroupRange]]:
    """As scans are cut, about: row groups of a table are of about the same size."""
    ordered = sorted(groups, key=lambda each: each.interval or (0, 0))
    bounds = [at * len(ordered) // count for at in range(count + 1)]
    return [ordered[start:end] for start, end in pairwise(bounds)]


def without_null_check(node: Node, at: int) -> Node:
    """Rows with those whose column at this place is null, where conditions leave them out that are
    seen from here. To whoever joins by that column they are no rows.

    The engine takes such a condition, as its planner adds it to keys, for one that leaves a fifth:
    of two files it then takes the larger one for the smaller.
    """
    match node:
        case Filter(predicate=Bound(tree=tree)):
            below = without_null_check(node.input, at)
            check = Special(Form.IS_NOT_NULL, (Place(at),))
            whole = isinstance(tree, Conjunction) and not tree.any
            terms = tree.terms if whole and isinstance(tree, Conjunction) else (tree,)
            return filtered(below, [each for each in terms if each != check])
        case Project(exprs=exprs):
            expr = exprs[at][0]
            if isinstance(expr, Bound) and isinstance(expr.tree, Place):
                return attrs.evolve(node, input=without_null_check(node.input, expr.tree.index))
    return node
