"""Whether ratios got worse: an older run's against a newer one's, beyond what noise explains.

A ratio is worse where the newer median is worse by more than the tolerance, and half of the newer
rounds lie beyond half of the older ones: the ranges between the quartiles do not meet. Where either
run has fewer than three rounds nothing is known of its noise, and nothing is said.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import attrs

from benchmarks._figures import Better, Ratio
from benchmarks._report import table

LEAST_ROUNDS = 3
TOLERANCE = 0.05


class Change(enum.Enum):
    """Of one ratio. What was there before and is not now was not measured: a peer that is not
    installed, say.
    """

    WORSE = "WORSE"
    BETTER = "better"
    SAME = ""
    UNKNOWN = "too few rounds"
    MISSING = "not measured"


@attrs.frozen
class Compared:
    """One ratio, before and after."""

    old: Ratio
    new: Ratio | None
    change: Change


def compare(
    old: Iterable[Ratio], new: Iterable[Ratio], tolerance: float = TOLERANCE
) -> list[Compared]:
    """Every ratio of the older run. New ones have nothing to be compared with.

    Args:
        tolerance: the share by which a median may be off, whatever the spread says.
    """
    now = {ratio.key: ratio for ratio in new}
    return [
        Compared(ratio, now.get(ratio.key), _change(ratio, now.get(ratio.key), tolerance))
        for ratio in old
    ]


def _change(old: Ratio, new: Ratio | None, tolerance: float) -> Change:
    if new is None:
        return Change.MISSING
    if min(old.spread.rounds, new.spread.rounds) < LEAST_ROUNDS:
        return Change.UNKNOWN
    if _beyond(old, new, tolerance):
        return Change.WORSE if old.better is Better.LOWER else Change.BETTER
    if _beyond(new, old, tolerance):
        return Change.BETTER if old.better is Better.LOWER else Change.WORSE
    return Change.SAME


def _beyond(less: Ratio, more: Ratio, tolerance: float) -> bool:
    return (
        more.spread.median > less.spread.median * (1 + tolerance)
        and more.spread.low > less.spread.high
    )


def shown(name: str, compared: Sequence[Compared]) -> str:
    """The table of one benchmark's ratios, before and after."""
    rows = [
        (
            each.old.figure,
            f"{each.old.side} / {each.old.over}",
            each.old.spread.median,
            None if each.new is None else each.new.spread.median,
            None if each.new is None else each.new.spread.median / each.old.spread.median,
            f"{each.old.better.value} is better",
            each.change.value,
        )
        for each in compared
    ]
    columns = ("ratio", "of", "old", "new", "new / old", "", "")
    return table(f"{name}: before and after", columns, rows)
