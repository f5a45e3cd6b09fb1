"""What a benchmark is. Each module here without a leading underscore has one, as `BENCHMARK`."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs

from benchmarks._figures import Amount, Ratio

S = TypeVar("S")


class CannotRun(Exception):
    """A benchmark cannot be run here; says what is lacking, and what would help."""


@attrs.frozen
class Request:
    """What was asked for. `options` are the benchmark's own; `peers`: those that are installed."""

    rounds: int
    peers: frozenset[str]
    options: argparse.Namespace


@attrs.frozen
class Outcome:
    """What one run found.

    Attributes:
        ratios: what goes on record.
        amounts: absolute figures, as context.
        checks: what was checked besides, and held; say that the coordinator's state is consistent.
        failures: what is wrong with the run: an answer that differs, say. It is then no success.
        notes: what a reader must know to read the figures.
    """

    ratios: Sequence[Ratio]
    amounts: Sequence[Amount] = ()
    checks: Sequence[str] = ()
    failures: Sequence[str] = ()
    notes: Sequence[str] = ()


def no_options(_parser: argparse.ArgumentParser) -> None:
    """Of a benchmark that has none of its own."""


@attrs.frozen
class Benchmark:
    """One question, and how it is answered.

    Attributes:
        question: in one sentence.
        baseline: the bare side that ours is measured against: what does the same with nothing of
            ours around it.
        peers: by the name that the tables give it, the package of each other system that `--peers`
            measures as well.
        measure: runs all sides, interleaved, as many rounds as asked for.
        rounds: where nothing else is asked for.
        packages: what of the environment the figures depend on.
        options: adds the benchmark's own.
    """

    question: str
    baseline: str
    measure: Callable[[Request], Outcome]
    peers: Mapping[str, str] = attrs.field(factory=dict)
    rounds: int = 5
    packages: Sequence[str] = ()
    options: Callable[[argparse.ArgumentParser], None] = no_options


def installed(peers: Mapping[str, str]) -> frozenset[str]:
    """Those of the peers whose packages can be imported here."""
    return frozenset(name for name, package in peers.items() if importlib.util.find_spec(package))


def in_turn(sides: Sequence[S], number: int) -> list[S]:
    """The sides in the order of that round: each begins as often as the others."""
    first = number % len(sides) if sides else 0
    return [*sides[first:], *sides[:first]]
