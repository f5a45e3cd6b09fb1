"""What a run finds: samples of each side, round by round, and ratios of them with their spread.

All sides of a figure are measured in each round, one after the other, and a ratio is of two values
of one round. What slows the machine for a while slows both, and leaves the ratio about as it was.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from math import exp, log
from statistics import median, quantiles

import attrs


class Better(enum.Enum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"

    def meets(self, value: float, target: float) -> bool:
        return value <= target if self is Better.LOWER else value >= target

    def bound(self, target: float) -> str:
        return f"{'<=' if self is Better.LOWER else '>='} {target:.4g}"


@attrs.frozen
class Spread:
    """Of values, one a round. `low` and `high` are the quartiles: half of the rounds lie between.

    With one round all are that round's value, and nothing is known of the noise.
    """

    median: float
    low: float
    high: float
    least: float
    most: float
    rounds: int


def spread_of(values: Sequence[float]) -> Spread:
    """Raises ValueError: no values."""
    if not values:
        raise ValueError("a spread needs at least one value")
    low, middle, high = (
        quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    )
    return Spread(middle, low, high, min(values), max(values), len(values))


@attrs.frozen
class Ratio:
    """How many times `over` is `side`: what goes on record.

    Attributes:
        figure: what was measured.
        spread: of the ratios of each round.
        target: what is to be reached by the median; None: nothing is asked.
    """

    figure: str
    side: str
    over: str
    spread: Spread
    better: Better = Better.LOWER
    target: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.figure, self.side, self.over

    @property
    def met(self) -> bool | None:
        """None: nothing is asked."""
        return None if self.target is None else self.better.meets(self.spread.median, self.target)


@attrs.frozen
class Amount:
    """An absolute figure. It holds for this machine in this hour, and is context, not a verdict.

    Attributes:
        target: what the project wants on its own machine; shown, and not recorded.
    """

    figure: str
    side: str
    unit: str
    spread: Spread
    better: Better = Better.LOWER
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """None: nothing is asked."""
        return None if self.target is None else self.better.meets(self.spread.median, self.target)


@attrs.define
class Samples:
    """Values by figure and side, one a round, in the order of the rounds."""

    _values: dict[tuple[str, str], list[float]] = attrs.field(factory=dict)

    def add(self, figure: str, side: str, value: float) -> None:
        self._values.setdefault((figure, side), []).append(value)

    def values(self, figure: str, side: str) -> Sequence[float]:
        """Raises KeyError naming both: that was not measured."""
        found = self._values.get((figure, side))
        if found is None:
            raise KeyError(f"{figure} of {side} was not measured")
        return tuple(found)

    def has(self, figure: str, side: str) -> bool:
        return (figure, side) in self._values

    @property
    def figures(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(figure for figure, _ in self._values))

    def sides(self, figure: str) -> list[str]:
        """Those that the figure was measured of, in the order in which they came."""
        return [side for each, side in self._values if each == figure]

    def ratio(
        self,
        figure: str,
        side: str,
        over: str,
        *,
        better: Better = Better.LOWER,
        target: float | None = None,
    ) -> Ratio:
        """Of the values of each round.

        Raises KeyError: one of them was not measured. ValueError: they have not as many rounds.
        """
        return Ratio(
            figure, side, over, spread_of(self._rounds(figure, side, over)), better, target
        )

    def mean_ratio(
        self,
        name: str,
        figures: Sequence[str],
        side: str,
        over: str,
        *,
        target: float | None = None,
    ) -> Ratio:
        """The geometric mean over several figures, in each round. Raises as `ratio`."""
        by_figure = [self._rounds(figure, side, over) for figure in figures]
        means = [geometric_mean(ratios) for ratios in zip(*by_figure, strict=True)]
        return Ratio(name, side, over, spread_of(means), target=target)

    def amount(
        self,
        figure: str,
        side: str,
        unit: str,
        *,
        better: Better = Better.LOWER,
        target: float | None = None,
    ) -> Amount:
        """Raises KeyError: it was not measured."""
        return Amount(figure, side, unit, spread_of(self.values(figure, side)), better, target)

    def median(self, figure: str, side: str) -> float:
        """Raises KeyError: it was not measured."""
        return median(self.values(figure, side))

    def _rounds(self, figure: str, side: str, over: str) -> list[float]:
        pairs = zip(self.values(figure, side), self.values(figure, over), strict=True)
        return [value / base for value, base in pairs]


def geometric_mean(values: Sequence[float]) -> float:
    """Raises ValueError: one is not above 0, or there are none."""
    if not values:
        raise ValueError("a mean needs at least one value")
    return exp(sum(map(log, values)) / len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of them do not exceed, by the nearest rank.

    Raises ValueError: no values.
    """
    if not values:
        raise ValueError("a percentile needs at least one value")
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
