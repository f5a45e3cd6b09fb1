"""The rounds of a benchmark whose sides are queries: each is run, timed, and its answer judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar

from benchmarks._benchmark import in_turn
from benchmarks._figures import Samples

Answer = TypeVar("Answer")


def run_rounds(
    samples: Samples,
    figure: str,
    rounds: int,
    sides: Sequence[str],
    run: Callable[[str], Answer],
    is_right: Callable[[str, Answer], bool],
) -> list[str]:
    """Every side once in each round, and before the first one to warm up; milliseconds of each.

    Args:
        samples: where they go, as `figure`.
        rounds: how many are kept.
        sides: their names; they take turns to begin.
        run: runs a side once.
        is_right: whether a side may give this answer; it is not timed.

    Returns: the sides that ever gave a wrong answer.
    """
    wrong = set[str]()
    for number in range(-1, rounds):
        for side in in_turn(list(sides), number):
            began = perf_counter()
            answer = run(side)
            took_ms = (perf_counter() - began) * 1_000
            if not is_right(side, answer):
                wrong.add(side)
            if number >= 0:
                samples.add(figure, side, took_ms)
    return sorted(wrong)
