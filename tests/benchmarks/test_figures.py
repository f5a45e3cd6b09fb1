"""Ratios of rounds, and their spread."""

from __future__ import annotations

import pytest

from benchmarks._benchmark import in_turn
from benchmarks._figures import Better, Samples, percentile, spread_of


def test_a_ratio_is_of_values_of_one_round() -> None:
    samples = Samples()
    # The machine was ten times slower in the second round: for both.
    for ours, bare in ((2.0, 1.0), (30.0, 10.0), (4.0, 1.0)):
        samples.add("call", "ours", ours)
        samples.add("call", "bare", bare)
    spread = samples.ratio("call", "ours", "bare").spread
    assert (spread.median, spread.least, spread.most, spread.rounds) == (3.0, 2.0, 4.0, 3)
    assert (spread.low, spread.high) == (2.5, 3.5)


def test_sides_must_have_been_measured_in_the_same_rounds() -> None:
    samples = Samples()
    samples.add("call", "ours", 1.0)
    samples.add("call", "ours", 2.0)
    samples.add("call", "bare", 1.0)
    with pytest.raises(ValueError, match="shorter"):
        samples.ratio("call", "ours", "bare")
    with pytest.raises(KeyError, match="call of peer was not measured"):
        samples.ratio("call", "ours", "peer")


def test_one_round_has_no_spread() -> None:
    spread = spread_of([7.0])
    assert (spread.low, spread.median, spread.high, spread.rounds) == (7.0, 7.0, 7.0, 1)
    with pytest.raises(ValueError, match="at least one"):
        spread_of([])


def test_a_mean_ratio_is_the_geometric_one_of_each_round() -> None:
    samples = Samples()
    for name, ours in (("q1", (2.0, 3.0)), ("q2", (8.0, 12.0))):
        for value in ours:
            samples.add(name, "ours", value)
            samples.add(name, "bare", 1.0)
    mean = samples.mean_ratio("mean", ["q1", "q2"], "ours", "bare")
    assert mean.spread.least == pytest.approx(4.0)
    assert mean.spread.most == pytest.approx(6.0)
    assert mean.key == ("mean", "ours", "bare")


def test_a_target_is_met_from_its_own_side() -> None:
    samples = Samples()
    for side, value in (("ours", 1.5), ("bare", 1.0)):
        samples.add("call", side, value)
    lower, higher = Better.LOWER, Better.HIGHER
    found = {
        (better, target): samples.ratio("call", "ours", "bare", better=better, target=target).met
        for better in (lower, higher)
        for target in (1.25, 1.5, 2.0, None)
    }
    assert found == {
        (lower, 1.25): False,
        (lower, 1.5): True,
        (lower, 2.0): True,
        (lower, None): None,
        (higher, 1.25): True,
        (higher, 1.5): True,
        (higher, 2.0): False,
        (higher, None): None,
    }


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(each) for each in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (
        50.0,
        99.0,
        100.0,
    )
    assert percentile([3.0], 99) == 3.0
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 50)


def test_each_side_begins_as_often_as_the_others() -> None:
    orders = [in_turn(["a", "b", "c"], number) for number in range(3)]
    assert [order[0] for order in orders] == ["a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert in_turn([], 5) == []
