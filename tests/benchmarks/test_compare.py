"""Which changes of a ratio are beyond the noise."""

from __future__ import annotations

import pytest

from benchmarks._compare import Change, compare, shown
from benchmarks._figures import Better, Ratio, spread_of

QUIET = (2.0, 2.02, 2.04, 2.02, 2.0)


def ratio(*rounds: float, better: Better = Better.LOWER, figure: str = "call") -> Ratio:
    return Ratio(figure, "ours", "bare", spread_of(rounds), better)


def change(old: Ratio, new: Ratio, tolerance: float = 0.05) -> Change:
    (found,) = compare([old], [new], tolerance)
    return found.change


@pytest.mark.parametrize(
    ("better", "slower", "faster"),
    [
        (Better.LOWER, Change.WORSE, Change.BETTER),
        (Better.HIGHER, Change.BETTER, Change.WORSE),
    ],
)
def test_a_clear_change_has_the_direction_of_its_figure(
    better: Better, slower: Change, faster: Change
) -> None:
    old, more = ratio(*QUIET, better=better), ratio(2.5, 2.6, 2.5, 2.5, 2.6, better=better)
    assert change(old, more) is slower
    assert change(more, old) is faster


def test_what_lies_within_the_older_run_s_noise_is_no_change() -> None:
    noisy = ratio(1.5, 2.0, 2.0, 2.8, 3.0)
    assert change(noisy, ratio(2.5, 2.6, 2.5, 2.5, 2.6)) is Change.SAME


def test_what_lies_within_the_newer_run_s_noise_is_no_change() -> None:
    assert change(ratio(*QUIET), ratio(1.8, 2.0, 2.6, 2.9, 3.0)) is Change.SAME


def test_a_change_within_the_tolerance_is_none_however_quiet_the_rounds() -> None:
    slightly = ratio(2.09, 2.1, 2.1, 2.1, 2.11)
    assert change(ratio(*QUIET), slightly) is Change.SAME
    assert change(ratio(*QUIET), slightly, tolerance=0.01) is Change.WORSE


def test_two_rounds_say_nothing_of_noise() -> None:
    assert change(ratio(2.0, 2.0), ratio(*[9.0] * 5)) is Change.UNKNOWN
    assert change(ratio(*QUIET), ratio(9.0)) is Change.UNKNOWN


def test_ratios_are_found_by_figure_and_sides() -> None:
    old = [ratio(*QUIET, figure="a"), ratio(*QUIET, figure="b")]
    new = [ratio(*QUIET, figure="c"), ratio(*[9.0] * 5, figure="b")]
    found = compare(old, new)
    assert [each.change for each in found] == [Change.MISSING, Change.WORSE]
    text = shown("gateway", found)
    assert "not measured" in text
    assert "WORSE" in text
