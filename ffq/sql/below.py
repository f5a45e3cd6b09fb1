"""Aggregates below joins: one side's rows are grouped within each task before they are exchanged.

A GROUP BY over a join, whose aggregates are all of one side's columns, is the same over rows of
that side that are grouped by what the rest of the query looks at: its join keys, and those of its
columns that are grouped by. Each such group meets as many rows of the other side as its rows would
have: sums of sums are the sums, sums of counts the counts, extremes of extremes the extremes.
Nothing needs to be known of the other side, not even that its keys are unique.

Where the groups hold the join keys, rows of a group meet where the sides do. Then they are grouped
there, without an exchange of what the join makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    Constant,
    Form,
    Match,
    Phase,
    Place,
    Special,
    SqlType,
)
from ffq.plan.model import Aggregate
from ffq.plan.volatile import is_volatile
from ffq.sql import groups, joins
from ffq.sql.exchanges import Exchanges
from ffq.sql.pieces import Equal, Rows, places_of, renumbered
from ffq.sql.serialized import ExpressionReader, Json, dicts

_BIGINT: Final = SqlType("BIGINT")
_EXACT: Final = SqlType("DECIMAL", (38, 0))
_DECOMPOSABLE: Final = frozenset({"count", "max", "min", "sum"})
_KEYS: Final = groups.PLAIN_TYPES - {"DOUBLE", "FLOAT"}
"""Types whose equal values no function tells apart, as some do zeros of either sign."""
_ROWS_A_GROUP: Final = 2
"""So many a task may have, for its rows to be grouped before they are joined."""


@attrs.frozen
class _Over:
    """What is grouped, over the columns of both sides of a join; those of the left side come first.

    Attributes:
        groups: by what. aggregates: of columns of the right side.
        keys: that must be equal, over either side's columns. others: further conditions.
        width: of the left side.
    """

    groups: tuple[BoundExpr, ...]
    aggregates: tuple[BoundAggregate, ...]
    keys: tuple[Equal, ...]
    others: tuple[BoundExpr, ...]
    width: int

    @property
    def used(self) -> tuple[int, ...]:
        """Columns of the right side that are looked at besides what is aggregated."""
        of_both = places_of(self.groups + self.others)
        used = {at - self.width for at in of_both if at >= self.width}
        return tuple(sorted(used | places_of(tuple(b for _, b, _ in self.keys))))

    @property
    def moved_to(self) -> dict[int, int]:
        """Where columns of both sides are when the right one has those that are used."""
        left = {at: at for at in range(self.width)}
        return left | {at + self.width: new + self.width for new, at in enumerate(self.used)}

    def holds_keys(self, match: Match) -> bool:
        """Whether rows of a group have equal join keys, by which sides can be exchanged."""
        return all(
            isinstance(a, Place)
            and isinstance(b, Place)
            and (
                a in self.groups
                or (match is Match.INNER and Place(b.index + self.width) in self.groups)
            )
            for a, b, _ in self.keys
        )


def aggregate(found: Json, join: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows | None:
    """Rows of an aggregate over a join; None: it is none of which that can be told, or pays."""
    if exchanges.repeats or exchanges.whole or not _may_be(found, join):
        return None
    sides, kept = joins.read(join, *inputs)
    bindings = joins.both_bindings(*inputs)
    reader = ExpressionReader(len(kept), bindings and [bindings[at] for at in kept])
    by = reader.all(found["groups"])
    aggregates = tuple(map(reader.aggregate, found["expressions"]))
    if sides.match is Match.INNER and all(
        kept[at] < sides.left.width for at in places_of(aggregates)
    ):
        # From here on it is the right side whose rows are grouped.
        first, second = sides.left.width, sides.right.width
        kept = [at + second if at < first else at - first for at in kept]
        sides = sides.mirrored(Match.INNER)
    left, right = sides.left, sides.right
    over = _Over(
        renumbered(by, kept), renumbered(aggregates, kept), sides.equal, sides.others, left.width
    )
    if not _can_be(over, left) or not _pays(sides.match, left, right, exchanges):
        return None
    if joins.range_of(sides, exchanges) is not None:
        return None  # nothing is exchanged before the join
    exchanges.choices.append(
        f"{sides.match.value} join: rows of the side that is aggregated are grouped in each task "
        f"before they are joined"
    )
    fewer = _grouped_first(over, left, right, exchanges)
    to = over.moved_to
    of_right = {at: new for new, at in enumerate(over.used)}
    sides = attrs.evolve(
        sides,
        right=fewer,
        equal=tuple((a, renumbered(b, of_right), sign) for a, b, sign in over.keys),
        others=renumbered(over.others, to),
    )
    meet = over.holds_keys(sides.match) and not _may_be_broadcast(fewer, left, exchanges)
    rows = (joins.joined_by_hash if meet else joins.joined)(sides, exchanges)
    results = tuple(
        _of_results(one, Place(left.width + at), nulls=sides.match is Match.LEFT)
        for at, one in enumerate(aggregates, len(over.used))
    )
    return groups.grouped(found, rows, renumbered(over.groups, to), results, exchanges)


# --- whether it can be, and pays -------------------------------------------------------------


def _may_be(found: Json, join: Json) -> bool:
    """As far as the plan of the engine says it: groups and conditions are of types that it can be
    told of."""
    several = len(found.get("grouping_sets", [])) > 1 or found.get("grouping_functions")
    if join["type"] != "LOGICAL_COMPARISON_JOIN" or several:
        return False
    if not found.get("groups") or not found.get("expressions"):
        return False
    if join.get("join_type", "INNER") not in {"INNER", "LEFT"}:
        return False
    conditions = [value for key, value in join.items() if key != "children"]
    kinds = [
        each["return_type"]
        for each in dicts([found["groups"], conditions])
        if "return_type" in each
    ]
    plain = all(kind.get("id") in _KEYS for kind in kinds)
    return plain and not groups.is_collated([found["groups"], found["expressions"], conditions])


def _can_be(over: _Over, left: Rows) -> bool:
    exprs = (*over.groups, *(key for a, b, _ in over.keys for key in (a, b)), *over.others)
    return (
        bool(over.keys)
        and all(map(_is_decomposable, over.aggregates))
        and all(at >= over.width for at in places_of(over.aggregates))
        and not is_volatile(Aggregate(exprs, (), left.node))
    )


def _is_decomposable(one: BoundAggregate) -> bool:
    """Of bare columns: what is computed of them may be an error, of rows that have no partner."""
    counts_rows = one.name == "count" and not one.args
    of_column = len(one.args) == 1 and isinstance(one.args[0], Place)
    plain = all(kind.name in groups.PLAIN_TYPES for kind in one.arg_types)
    bare = not one.distinct and not one.order and one.filter is None
    return one.name in _DECOMPOSABLE and (counts_rows or of_column) and plain and bare


def _pays(match: Match, left: Rows, right: Rows, exchanges: Exchanges) -> bool:
    """Whether the right side's rows would be exchanged, and have few keys.

    As elsewhere, a table is taken to have one row for each key that a larger one refers to. Of a
    part of it, the join alone leaves fewer rows.
    """
    if not right.split or right.most is None or not left.base or left.count is None:
        return False
    stays = match is Match.INNER and _may_be_broadcast(left, right, exchanges)
    whole = left.count * _ROWS_A_GROUP >= left.base
    return not stays and whole and right.most >= _ROWS_A_GROUP * _most_groups(left, exchanges)


def _may_be_broadcast(rows: Rows, other: Rows, exchanges: Exchanges) -> bool:
    return rows.size is None or rows.size <= exchanges.broadcast_bytes(other.size)


def _most_groups(left: Rows, exchanges: Exchanges) -> float:
    """Of all tasks together, by estimate."""
    return (left.base or 0.0) * (exchanges.cluster.slots or exchanges.partitions)


# --- what it is then -------------------------------------------------------------------------


def _grouped_first(over: _Over, left: Rows, right: Rows, exchanges: Exchanges) -> Rows:
    """The right side's rows in the groups that each task makes of its own."""
    keys = tuple(map(Place, over.used))
    to = {at + over.width: at for at in range(right.width)}
    shares = tuple(map(_of_share, renumbered(over.aggregates, to)))
    node = Aggregate(keys, shares, right.node, phase=Phase.SHARE)
    return attrs.evolve(
        right.made(node, len(keys) + len(shares)),
        count=right.count and min(right.count, _most_groups(left, exchanges)),
        widths=tuple(map(right.bytes_of, (*keys, *shares))),
    )


def _of_share(one: BoundAggregate) -> BoundAggregate:
    """Over the rows of a task. A sum of integers is of a type that comes through Arrow as it is."""
    whole = one.name == "sum" and one.type.name == "HUGEINT"
    return attrs.evolve(one, type=_EXACT) if whole else one


def _of_results(one: BoundAggregate, share: Place, *, nulls: bool) -> BoundAggregate:
    """Over what tasks have made of their rows.

    nulls: there are rows without any, which are null; COUNT(*) counts each of these.
    """
    kind = _of_share(one).type
    if one.name != "count":
        return attrs.evolve(one, args=(share,), arg_types=(kind,))
    counted: BoundExpr = share
    if nulls:
        alone = Constant(_BIGINT, 0 if one.args else 1)
        counted = Special(Form.COALESCE, (share, alone))
    return attrs.evolve(one, name="sum", args=(counted,), arg_types=(kind,))
