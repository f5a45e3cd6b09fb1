"""Joins: both sides exchanged by what must be equal, or one side whole in every task."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Final

import attrs

from ffq.plan.bound import BoundExpr, Call, Match, Place
from ffq.plan.explain import bytes_text
from ffq.plan.model import AdaptiveJoin, Join, Node, RangeJoin, ReducedJoin, Sort
from ffq.plan.ranges import RANGED
from ffq.sql.defined import Definition, in_one_order
from ffq.sql.exchanges import BROADCAST_BYTES, MOST_BROADCAST, Exchanges
from ffq.sql.partners import fewer
from ffq.sql.pieces import (
    Equal,
    Rows,
    all_of,
    is_plain,
    mapped,
    numbered,
    over,
    project,
    shifted,
    swapped,
)
from ffq.sql.ranges import RangeKey, far_fewer, grouped_in_place, range_key, without_null_check
from ffq.sql.serialized import BOOLEAN, COMPARISONS, ExpressionReader, Json, refuse

_MATCHES: Final = {
    "INNER": Match.INNER,
    "LEFT": Match.LEFT,
    "RIGHT": Match.RIGHT,
    "OUTER": Match.FULL,
    "FULL": Match.FULL,
    "SEMI": Match.SEMI,
    "ANTI": Match.ANTI,
    "MARK": Match.MARK,
    "SINGLE": Match.SINGLE,
}
_ASOF: Final = {"INNER": Match.ASOF, "LEFT": Match.ASOF_LEFT}
_SAME: Final = frozenset({"COMPARE_EQUAL", "COMPARE_NOT_DISTINCT_FROM"})
"""Comparisons by which rows that match hash alike; so do nulls."""
_FLIPPED: Final = {"RIGHT_SEMI": "SEMI", "RIGHT_ANTI": "ANTI"}
_ONE_SIDED: Final = frozenset({Match.SEMI, Match.ANTI, Match.MARK})
_WHOLE_RIGHT: Final = frozenset(
    {Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI, Match.MARK, Match.SINGLE}
)
"""Matches of which every left row's answer is known where the right side is whole."""

_REDUCED: Final = frozenset({Match.LEFT, Match.SEMI, Match.ANTI})
"""Matches that make nothing of a right row without a partner, and of which the left side cannot be
whole in every task."""
_KEYED: Final = frozenset({Match.INNER, Match.SEMI})
"""Matches that make nothing of a left row without a partner."""
_MUCH_LARGER: Final = 4


class _Way(enum.Enum):
    """How a join is run: ADAPTIVE and REDUCED are decided by the size of a side when that is
    finished."""

    BROADCAST = "broadcast"
    SHUFFLE = "shuffle"
    ADAPTIVE = "adaptive"
    REDUCED = "reduced"


@attrs.frozen
class _Sides:
    """A join as it was planned.

    equal: over either side's columns. others: conditions over both sides' columns.
    """

    match: Match
    left: Rows
    right: Rows
    equal: tuple[Equal, ...]
    others: tuple[BoundExpr, ...]

    @property
    def fits(self) -> dict[str, bool]:
        """Which side may be whole in every task of the other one."""
        return {
            "right": self.left.split and self.match in _WHOLE_RIGHT,
            "left": self.right.split and self.match is Match.INNER,
        }

    @property
    def rows(self) -> dict[str, Rows]:
        return {"right": self.right, "left": self.left}

    def bounds(self, exchanges: Exchanges) -> dict[str, int]:
        """Of each side, the bytes up to which it is broadcast."""
        return {
            "right": exchanges.broadcast_bytes(self.left.size),
            "left": exchanges.broadcast_bytes(self.right.size),
        }

    def keys(self, side: str) -> list[BoundExpr]:
        return [b if side == "right" else a for a, b, _ in self.equal]

    def mirrored(self, match: Match) -> _Sides:
        return _Sides(
            match,
            self.right,
            self.left,
            tuple((b, a, sign) for a, b, sign in self.equal),
            tuple(swapped(each, self.left.width, self.right.width) for each in self.others),
        )


def join(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    left, right = inputs
    if found["type"] == "LOGICAL_CROSS_PRODUCT" and right.count == 1:
        return _beside_one_row(left, right, exchanges)
    sides, kept = read(found, left, right)
    return mapped(joined(sides, exchanges), kept)


def read(found: Json, left: Rows, right: Rows) -> tuple[_Sides, list[int]]:
    """A join as it was planned, and which of the columns that it makes are given out."""
    name = found.get("join_type", "INNER")
    equal, others = _conditions(found, left, right)
    match = _MATCHES.get(str(_FLIPPED.get(name, name)))
    if found["type"] == "LOGICAL_ASOF_JOIN":
        match = _ASOF.get(name)
        if match is None:  # the engine loses rows of the right side, where the left has no such key
            kind = {"OUTER": "FULL"}.get(name, name)
            refuse(
                f"an ASOF {kind} JOIN; right would be ASOF LEFT JOIN, and UNION ALL with the rows "
                "of the right side that none of it is paired with",
                found,
            )
    if match is None:
        refuse(f"a join of kind {name}", found)
    sides = _Sides(match, left, right, tuple(equal), tuple(others))
    maps = [found.get("left_projection_map"), found.get("right_projection_map")]
    if name in _FLIPPED:
        sides = sides.mirrored(match)
        maps.reverse()
    kept = list(maps[0] or range(sides.left.width))
    if match is Match.MARK:
        kept.append(sides.left.width)
    elif match not in _ONE_SIDED:
        kept += [sides.left.width + at for at in (maps[1] or range(sides.right.width))]
    return sides, kept


def _beside_one_row(left: Rows, right: Rows, exchanges: Exchanges) -> Rows:
    """As a scalar subquery stands beside rows: an order that these have is theirs still."""
    below = numbered(left)
    rows = joined(_Sides(Match.INNER, below, right, (), ()), exchanges)
    if not left.split and below.order:
        node = Sort(below.order, None, 0, partial=False, input=rows.node)
        rows = attrs.evolve(rows, node=node, order=below.order)
    kept = [*range(left.width), *range(below.width, rows.width)]
    return mapped(rows, kept) if below.width > left.width else rows


def positional(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    """Rows by their places, which only rows in an order have."""
    left, right = inputs
    if any(side.order is None and not side.placed for side in inputs):
        refuse("a POSITIONAL JOIN of rows that are in no order; right would be ORDER BY", found)
    left, right = exchanges.gather(left), exchanges.gather(right)
    node = Join(left.node, right.node, Match.POSITIONAL, None, ())
    return attrs.evolve(left.made(node, left.width + right.width), order=left.order)


def _conditions(found: Json, left: Rows, right: Rows) -> tuple[list[Equal], list[BoundExpr]]:
    equal: list[Equal] = []
    others: list[BoundExpr] = []
    of_left = ExpressionReader(left.width, left.bindings)
    of_right = ExpressionReader(right.width, right.bindings)
    bindings = both_bindings(left, right)
    of_both = ExpressionReader(left.width + right.width, bindings)
    for each in found.get("conditions", []):
        comparison = each.get("comparison", "INVALID")
        if comparison == "INVALID":
            others.append(of_both(each["left"]))
            continue
        a, b = of_left(each["left"]), of_right(each["right"])
        if comparison in _SAME:
            equal.append((a, b, COMPARISONS[comparison]))
        elif comparison in COMPARISONS:
            others.append(Call(COMPARISONS[comparison], (a, shifted(b, left.width)), BOOLEAN))
        else:
            refuse(f"a join by {comparison}", found)
    for key in ("predicate", "condition"):
        if key in found:
            others.append(of_both(found[key]))
    return equal, others


def both_bindings(left: Rows, right: Rows) -> tuple[tuple[int, int], ...] | None:
    """The planner's numbers of both sides' columns."""
    if left.bindings is None or right.bindings is None:
        return None
    return left.bindings + right.bindings


def inner(
    left: Rows,
    right: Rows,
    equal: Sequence[Equal],
    others: Sequence[BoundExpr],
    exchanges: Exchanges,
) -> Rows:
    """An INNER join that was not planned so. equal: over either side; others: over both."""
    return joined(_Sides(Match.INNER, left, right, tuple(equal), tuple(others)), exchanges)


def joined_by_hash(sides: _Sides, exchanges: Exchanges) -> Rows:
    """As `joined`. Both sides are exchanged, whatever their sizes turn out to be, and the rows lie
    by keys that whoever asks for it knows."""
    exchanges.choices.append(
        f"{sides.match.value} join: both sides are shuffled, and its rows are grouped where they "
        f"meet"
    )
    return _by_hash(sides, exchanges)


def joined(sides: _Sides, exchanges: Exchanges) -> Rows:
    """The join's rows: left columns, then right ones or the mark, as the match gives them out."""
    if sides.match is Match.MARK:  # its right side is read for what is true, and for what is null
        sides = attrs.evolve(sides, right=exchanges.steady(sides.right))
    if not (sides.left.split or sides.right.split):
        return _together(sides, sides.left.node, sides.right.node, split=False)
    if sides.match is Match.RIGHT:  # all that is done for a LEFT join is done for this one
        return _turned(joined(sides.mirrored(Match.LEFT), exchanges), sides)
    # MARK: what is not known of one row, all rows of the right side decide.
    by_keys = sides.match is not Match.MARK and bool(sides.equal)
    key = range_of(sides, exchanges) if by_keys else None
    if key is not None:
        exchanges.choices.append(
            f"{sides.match.value} join: nothing is exchanged, the files of both sides go by "
            f"{key.column}; those of one are read {key.reads:.2f} times"
        )
        return _by_range(sides, key)
    chosen = _defined(sides, exchanges) if by_keys else None
    if chosen is None:
        sides = attrs.evolve(sides, right=fewer(sides.right))
    if not by_keys:
        return _beside_whole(sides, exchanges)
    way, side = chosen or _choice(sides, exchanges)
    if side == "left":
        return _turned(_run(way, sides.mirrored(Match.INNER), exchanges), sides)
    return _run(way, sides, exchanges)


def _by_range(sides: _Sides, key: RangeKey) -> Rows:
    """The right side's rows are those among which the left one's partners are looked up."""
    if sides.match is Match.INNER and far_fewer(sides.left, sides.right):
        return _turned(_by_range(sides.mirrored(Match.INNER), key.mirrored()), sides)
    nodes = _grouped(sides.left, sides.right, right_leads=key.right_leads)
    return _together(sides, *nodes, split=True, key=key)


def _turned(mirrored: Rows, sides: _Sides) -> Rows:
    """Rows of a join whose sides have changed places, with the columns as they were before."""
    first, second = sides.left.width, sides.right.width
    return mapped(mirrored, [*range(second, second + first), *range(second)])


def _run(way: _Way, sides: _Sides, exchanges: Exchanges) -> Rows:
    if way is _Way.BROADCAST:
        return _beside_whole(sides, exchanges)
    if way is _Way.SHUFFLE:
        return _by_hash(sides, exchanges)
    if way is _Way.REDUCED:
        return _by_hash(sides, exchanges, ReducedJoin, exchanges.broadcast_bytes(sides.right.size))
    return _by_hash(sides, exchanges, AdaptiveJoin, exchanges.broadcast_bytes(sides.left.size))


def range_of(sides: _Sides, exchanges: Exchanges) -> RangeKey | None:
    """By what each task can have a share of one side, and of the other one what may meet that.

    None: their files do not lie so, or one is so tiny that each task may as well read all of it.
    """
    both = sides.left, sides.right
    if exchanges.whole or sides.match not in RANGED or not all(each.split for each in both):
        return None
    if any(map(exchanges.is_tiny, both)):
        return None
    leads = [False]
    if sides.match is Match.INNER:  # the larger table is shared out, so that shares are alike
        larger = (sides.right.base or 0.0) > (sides.left.base or 0.0)
        leads = [larger, not larger]
    keys = (
        range_key(*_grouped(*both, right_leads=each), sides.equal, exchanges, right_leads=each)
        for each in leads
    )
    return next((key for key in keys if key is not None), None)


def _grouped(left: Rows, right: Rows, *, right_leads: bool) -> tuple[Node, Node]:
    """Both sides' nodes; that of the one that follows makes its groups where its rows are."""
    if right_leads:
        return grouped_in_place(left.node), right.node
    return left.node, grouped_in_place(right.node)


def _defined(sides: _Sides, exchanges: Exchanges) -> tuple[_Way, str] | None:
    """As `_choice`, where a side is what a WITH defines, and other joins read it by the same keys:
    that stage is there anyway, and is no other one's probe. None: it is no such join."""
    if exchanges.repeats:
        return None
    fits, bounds, orders = sides.fits, sides.bounds(exchanges), {}
    for side, other in (("right", "left"), ("left", "right")):
        small = fits[other] and _is_small(sides.rows[other], bounds[other], waits=True)
        if fits[side] and not small:
            exchanges.defined.ask(sides.rows[side], sides.keys(side))
            order = exchanges.defined.order(sides.rows[side], sides.keys(side))
            orders.update({} if order is None else {side: order})
    if not orders:
        return None
    title = f"{sides.match.value} join"
    if len(orders) == 2 and orders["left"] == orders["right"]:
        exchanges.choices.append(f"{title}: both sides are shuffled, as for other joins")
        return _Way.SHUFFLE, ""
    build = next(iter(orders))
    exchanges.choices.append(
        f"{title}: decided when its {build} side is finished, as other joins have it: broadcast up "
        f"to {bytes_text(bounds[build])}, else both sides are shuffled"
    )
    return _Way.ADAPTIVE, build


def _choice(sides: _Sides, exchanges: Exchanges) -> tuple[_Way, str]:
    """How it is run, and of which side that depends; says why."""
    fits, rows, bounds = sides.fits, sides.rows, sides.bounds(exchanges)
    # A side of one task has an exchange behind it already, or is what the query itself says.
    sizes = {side: each.size for side, each in rows.items() if fits[side]}
    known = {side: size for side, size in sizes.items() if size is not None}
    small = min(known, key=lambda side: known[side], default=None)
    title = f"{sides.match.value} join"
    unsure = [side for side in sizes if side not in known or not is_plain(rows[side].node)]
    waits = bool(unsure) and not exchanges.repeats
    if small is not None and _is_small(rows[small], bounds[small], waits=waits):
        way = "read by each task" if exchanges.is_tiny(rows[small]) else "broadcast"
        exchanges.choices.append(
            f"{title}: {way}, its {small} side has about {bytes_text(known[small])}"
        )
        return _Way.BROADCAST, small
    if _reduces(sides, bounds["left"]) and not exchanges.repeats:
        exchanges.choices.append(
            f"{title}: decided when its left side is finished (about "
            f"{bytes_text(sides.left.size or 0)}): up to {bytes_text(bounds['left'])} rows of the "
            f"right side with other keys are left out before both are shuffled"
        )
        return _Way.REDUCED, "right"
    if not waits:
        why = (
            "each needs both"
            if small is None
            else f"the smaller has about {bytes_text(known[small])}"
        )
        exchanges.choices.append(f"{title}: both sides are shuffled, {why}")
        return _Way.SHUFFLE, ""
    build = min(unsure, key=lambda side: known.get(side, math.inf))
    about = f"about {bytes_text(known[build])}" if build in known else "nothing is known of it"
    exchanges.choices.append(
        f"{title}: decided when its {build} side is finished ({about}): broadcast up to "
        f"{bytes_text(bounds[build])}, else both sides are shuffled"
    )
    return _Way.ADAPTIVE, build


def _reduces(sides: _Sides, bound: int) -> bool:
    """Whether the right side is thought to be so much larger that the left one's keys go first.

    All rows of a table have few keys less than others refer to: they would leave out nothing.
    """
    left, right = sides.left.size, sides.right.size
    known = left is not None and right is not None and not is_plain(sides.left.node)
    return (
        known
        and sides.match in _REDUCED
        and _MUCH_LARGER * (left or 0) <= (right or 0)
        and (left or 0) <= bound
    )


def _is_small(rows: Rows, bound: int, *, waits: bool) -> bool:
    """Whether a side is broadcast before any true size is known.

    Args:
        bound: the bytes up to which it is by its true size.
        waits: there is a true size to wait for. That one may be far smaller than the estimate, of
            this side or of the other: worth waiting for, where this one is not small anyway. And it
            may be far larger, where conditions leave more than estimated: never more than all rows.
    """
    size, most = rows.size, rows.most_bytes
    if size is None:
        return False
    if not waits:
        return size <= bound
    return size <= min(bound, BROADCAST_BYTES) and (most is None or most <= MOST_BROADCAST)


def _together(
    sides: _Sides, left: Node, right: Node, *, split: bool, key: RangeKey | None = None
) -> Rows:
    """Joined where both nodes' rows are in the same task. key: by which the right side's are."""
    width = sides.left.width
    conditions: list[BoundExpr] = [
        Call(sign, (a, shifted(b, width)), BOOLEAN) for a, b, sign in sides.equal
    ]
    condition = all_of([*conditions, *sides.others])
    node = Join(left, right, sides.match, condition, ())
    if key is not None:
        by = ((f"c{key.left}", f"c{key.right}"),)
        right = without_null_check(right, key.right)
        if sides.match in {Match.INNER, Match.SEMI}:  # of others such a left row is given out
            left = without_null_check(left, key.left)
        node = RangeJoin(left, right, sides.match, condition, by, key.right_leads)
    return _made(sides, node, split=split)


def _made(sides: _Sides, node: Node, *, split: bool) -> Rows:
    left, right = sides.left, sides.right
    width, bindings = left.width, left.bindings
    widths = tuple(left.bytes_of(Place(at)) for at in range(left.width))
    if sides.match is Match.MARK:
        width += 1
        bindings = None if bindings is None else (*bindings, (-1, -1))
        widths += (1.0,)
    elif sides.match not in _ONE_SIDED:
        width += right.width
        bindings = both_bindings(left, right)
        widths += tuple(right.bytes_of(Place(at)) for at in range(right.width))
    return Rows(
        node,
        width,
        split,
        bindings=bindings,
        count=_count(sides),
        most=_most(sides),
        base=None if left.base is None or right.base is None else max(left.base, right.base),
        widths=widths,
    )


def _most(sides: _Sides) -> float | None:
    left, right = sides.left.most, sides.right.most
    if sides.match in _ONE_SIDED or sides.match is Match.SINGLE:
        return left
    if left is None or right is None:
        return None
    return max(left, right) if sides.equal else left * right


def _count(sides: _Sides) -> float | None:
    """By estimate. Of each side that is kept whole there are as many rows at least.

    Of two tables, the one with fewer rows is taken to have one for each key: conditions that leave
    a part of it leave that part of the pairs.
    """
    left, right = sides.left.count, sides.right.count
    if sides.match in _ONE_SIDED or sides.match is Match.SINGLE:
        return left
    if left is None or right is None:
        return None
    if not sides.equal:
        return left * right
    keys = min(sides.left.base or left, sides.right.base or right)
    pairs = min(left * right / max(keys, 1.0), max(left, right))
    kept = [0.0]
    if sides.match in {Match.LEFT, Match.FULL}:
        kept.append(left)
    if sides.match in {Match.RIGHT, Match.FULL}:
        kept.append(right)
    return max(pairs, *kept)


def _beside_whole(sides: _Sides, exchanges: Exchanges) -> Rows:
    """The right side whole in every task of the left one, or both in one task."""
    if sides.left.split and sides.match in _WHOLE_RIGHT:
        right = exchanges.broadcast(sides.right)
        return _together(sides, sides.left.node, right, split=True)
    left, right_rows = exchanges.gather(sides.left), exchanges.gather(sides.right)
    return _together(sides, left.node, right_rows.node, split=False)


def _by_hash(
    sides: _Sides,
    exchanges: Exchanges,
    decided: type[AdaptiveJoin | ReducedJoin] | None = None,
    broadcast_bytes: int = 0,
) -> Rows:
    """
    Args:
        decided: what it is where the size of a side decides.
        broadcast_bytes: of that side, up to which all tasks of the other one read it whole.
    """
    equal, (left, right) = in_one_order(
        exchanges.defined,
        sides.equal,
        sides.left if decided is None else None,
        None if decided is ReducedJoin else sides.right,
    )
    keys_bytes = 0
    if decided is AdaptiveJoin and sides.match in _KEYED and not (right or exchanges.repeats):
        keys_bytes = exchanges.keys_bytes(sides.left, sides.right, [b for _, b, _ in equal])
    if keys_bytes:
        exchanges.choices[-1] += (
            f", the other one without rows that have none of its keys, if those have up to "
            f"{bytes_text(keys_bytes)}"
        )
    left, right = left or Definition(sides.left), right or Definition(sides.right)
    left_node, left_keys, width = exchanges.by_keys(left.rows, left.over([a for a, *_ in equal]))
    others = right.over([b for _, b, _ in equal])
    right_node, right_keys, _ = exchanges.by_keys(right.rows, others, keys_bytes)
    columns = [*left.places, *(shifted(each, width) for each in right.places)]
    conditions: list[BoundExpr] = [
        Call(sign, (a, Place(b.index + width)), BOOLEAN)
        for a, b, (*_, sign) in zip(left_keys, right_keys, equal, strict=True)
    ]
    conditions += [over(each, columns) for each in sides.others]
    keys = tuple((f"c{a.index}", f"c{b.index}") for a, b in zip(left_keys, right_keys, strict=True))
    condition = all_of(conditions)
    node = Join(left_node, right_node, sides.match, condition, keys)
    if decided is not None:
        node = decided(left_node, right_node, sides.match, condition, keys, broadcast_bytes)
    kept = columns[: sides.left.width] if sides.match in _ONE_SIDED else columns
    return _made(sides, project(node, kept), split=True)
