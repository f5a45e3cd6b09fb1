"""Shows what a run's seed makes Hypothesis draw: for property/test_seeds.py, else not collected."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(), min_size=4))
def test_shows_what_is_drawn(drawn: list[int]) -> None:
    print(f"drawn: {drawn}")


def test_fails() -> None:
    raise AssertionError("this one fails, to see what becomes of its output")
