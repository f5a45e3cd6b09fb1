"""Joins that ask of each row only whether it has a partner: what need not be computed for that.

A semi or anti join takes rows that are alike for one partner; so does IN. What keeps none but the
rows of which IN is true asks for no more than a semi join does.
"""

from __future__ import annotations

from typing import Final

import attrs

from ffq.plan.bound import Constant, Phase, Place
from ffq.plan.model import Aggregate
from ffq.sql.groups import is_of_columns
from ffq.sql.pieces import Rows, projected
from ffq.sql.serialized import BOOLEAN, Json

_PARTNERS: Final = {"SEMI": 1, "ANTI": 1, "MARK": 1, "RIGHT_SEMI": 0, "RIGHT_ANTI": 0}
"""Which side of a join is asked for partners, and nothing else."""
_JOINS: Final = frozenset({"LOGICAL_COMPARISON_JOIN", "LOGICAL_ANY_JOIN"})


@attrs.frozen
class Semi:
    """A filter that has not to ask for a mark any more, and the join that it is over."""

    filter: Json
    join: Json


def partners_of(found: Json) -> int | None:
    """Which child of a join is asked for partners alone; None: none is."""
    return _PARTNERS.get(str(found.get("join_type"))) if found["type"] in _JOINS else None


def with_alike(found: Json) -> Json:
    """Rows that give the same partners as a DISTINCT of them does, or a GROUP BY without more."""
    if _is_plain(found):
        (below,) = found["children"]
        made = with_alike(below)
        return found if made is below else {**found, "children": [made]}
    if not _is_distinct(found):
        return found
    (below,) = found["children"]
    if found["type"] == "LOGICAL_DISTINCT":
        return below  # type: ignore[no-any-return]
    own = {"table_index": found.get("group_index", 0), "expressions": found["groups"]}
    return {"type": "LOGICAL_PROJECTION", "children": [below], **own}


def _is_plain(found: Json) -> bool:
    """Whether it gives out columns of the rows that it is over."""
    return found["type"] == "LOGICAL_PROJECTION" and all(
        each["expression_class"] == "BOUND_REF" for each in found["expressions"]
    )


def _is_distinct(found: Json) -> bool:
    """Whether it makes groups, and nothing of each."""
    if found["type"] == "LOGICAL_DISTINCT":
        return is_of_columns(found)
    if found["type"] != "LOGICAL_AGGREGATE_AND_GROUP_BY":
        return False
    several = len(found.get("grouping_sets", [])) > 1 or found.get("grouping_functions")
    return bool(found.get("groups")) and not found.get("expressions") and not several


def fewer(rows: Rows) -> Rows:
    """Doubled rows with those of each task that are alike once: that few are exchanged."""
    if not rows.doubled or not rows.split:
        return rows
    places = tuple(map(Place, range(rows.width)))
    node = Aggregate(places, (), rows.node, phase=Phase.STATES)
    return attrs.evolve(rows, node=node, order=None, placed=False)


def as_semi(found: Json, join: Json, width: int) -> Semi | None:
    """A filter over a join that marks rows, without what asks for the mark, and the join as one
    that keeps the marked rows; None: the filter asks for something else.

    Args:
        width: columns of the join before the mark.
    """
    others = [each for each in found.get("expressions", []) if not _is_mark(each, width)]
    if len(others) == len(found.get("expressions", [])):
        return None
    return Semi({**found, "expressions": others}, {**join, "join_type": "SEMI"})


def _is_mark(found: Json, width: int) -> bool:
    return bool(found["expression_class"] == "BOUND_REF" and found.get("index", 0) == width)


def marked(rows: Rows) -> Rows:
    """The rows with the mark, which each of them has."""
    return projected(rows, [*map(Place, range(rows.width)), Constant(BOOLEAN, value=True)])
