"""The whole conformance run: directed scenarios, then random programs, then a verdict by rule."""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import Callable, Iterator

import attrs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from ffq.testing.adapter import CoordinatorAdapter
from ffq.testing.conformance.programs import programs
from ffq.testing.conformance.scenarios import Scenario, scenarios
from ffq.testing.conformance.trial import Bench, shorten
from ffq.testing.declared import DeclaredSettings
from ffq.testing.invariants import CHECKS, Violation
from ffq.testing.session import Clock, WallClock
from ffq.testing.steps import Step

RULES = tuple(f"R{number}" for number in range(1, 32))

UNSEEN = {
    "R17": "kinds of error are an extension; what holds without one is R14 and R16",
    "R24": "ranges and chunks: the fixed wire leaves the bytes to a folder that workers share",
    "R25": "what reducers read is up to the workers",
}
_NOT_TRIED = "nothing that was tried puts it to the test"
_UNSEEN_CHECKS = {
    "committed-output-served": "nothing was ever written of the outputs that are registered here",
    "incomplete-output-fails": "coordinators differ in when they look at what was registered",
    "unrunnable-ends": "unrunnable_timeout_ms is 0, or a wait for it too long",
}
_NO_RULES = frozenset({"books-are-consistent"})
"""Checks that are no part of their rule: only an adapter that checks itself makes them."""


class Verdict(enum.Enum):
    HOLDS = "holds"
    PARTLY = "holds in part"
    BROKEN = "broken"
    UNSEEN = "cannot be seen"


@attrs.frozen
class RuleReport:
    """One rule's row. `script`: the RPCs that break it, numbered."""

    rule: str
    verdict: Verdict
    note: str
    script: tuple[str, ...] = ()


@attrs.frozen
class ConformanceReport:
    rules: tuple[RuleReport, ...]

    @property
    def broken(self) -> tuple[RuleReport, ...]:
        return tuple(rule for rule in self.rules if rule.verdict is Verdict.BROKEN)


def report_lines(report: ConformanceReport) -> Iterator[str]:
    """For a terminal: a row for each rule, the script of what is broken below it."""
    for row in report.rules:
        yield f"{row.rule:<4} {row.verdict.value:<15} {row.note}"
        for line in row.script:
            yield f"       {line}"
    count = Counter(row.verdict for row in report.rules)
    yield ""
    yield (
        f"{count[Verdict.HOLDS]} rules hold, {count[Verdict.PARTLY]} hold in part, "
        f"{count[Verdict.BROKEN]} are broken, {count[Verdict.UNSEEN]} cannot be seen"
    )


@attrs.frozen(kw_only=True)
class RunOptions:
    """How long and how hard to try.

    Attributes:
        rules: only scenarios that are there for one of these, and no random programs.
        seed: of the random programs.
        examples: how many random programs.
        max_wait_ms: scenarios that have to wait longer than this are left out.
        shorten_ms: time spent on shortening one scenario that fails.
    """

    rules: frozenset[str] = frozenset(RULES)
    seed: int = 0
    examples: int = 100
    max_wait_ms: int = 30_000
    shorten_ms: int = 15_000


def run_conformance(
    adapter: CoordinatorAdapter,
    declared: DeclaredSettings,
    options: RunOptions,
    progress: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
) -> ConformanceReport:
    """Try everything on one coordinator; workers other than ours must not be attached to it.

    Args:
        declared: its settings. `alone`, `serves_outputs` and the like are set here.
        progress: is told what is being tried.
        clock: the one that the adapter's `advance` moves; the wall's by default.

    Raises:
        Unavailable: the coordinator cannot be reached, or went away.
    """
    # Settings of a run on a coordinator whose past and whose timers are not known.
    declared = attrs.evolve(
        declared,
        alone=False,
        serves_outputs=False,
        keeps_metrics=False,
        incomplete_output_fails=False,
    )
    # Ids are decimal and below 2^64, with 7 digits left for the trial's and the query's number.
    first = (random.SystemRandom().randrange(10**8, 10**9)) * 10**6
    bench = Bench(adapter, declared, WallClock() if clock is None else clock, first)
    found: dict[str, Violation] = {}
    skipped: dict[str, str] = {}
    for scenario in scenarios(declared):
        if options.rules.isdisjoint(scenario.rules):
            continue
        if scenario.waits_ms > options.max_wait_ms:
            for rule in scenario.rules:
                skipped.setdefault(rule, f"needs a wait of {scenario.waits_ms} ms")
            continue
        progress(scenario.name)
        _try_scenario(bench, scenario, options, found)
    if options.examples and options.rules == frozenset(RULES):
        progress(f"{options.examples} random programs, seed {options.seed}")
        _try_programs(bench, options, found)
    return _verdicts(bench, options, found, skipped)


def _try_scenario(
    bench: Bench, scenario: Scenario, options: RunOptions, found: dict[str, Violation]
) -> None:
    violation = bench.play(scenario.steps, scenario.wide)
    if violation is None or violation.rule in found:
        return
    found[violation.rule] = shorten(
        bench, scenario.steps, violation, scenario.wide, options.shorten_ms
    )


def _try_programs(bench: Bench, options: RunOptions, found: dict[str, Violation]) -> None:
    """Hypothesis draws programs, and shortens what fails in a way not seen before."""
    last: list[Violation] = []

    @seed(options.seed)
    @settings(
        max_examples=options.examples,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType]
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(programs())
    def attempt(steps: list[Step]) -> None:
        violation = bench.play(steps)
        if violation is not None and violation.rule not in found:
            last.append(violation)
            raise violation

    try:
        attempt()
    except (Violation, Flaky):
        # Flaky: what failed once did not fail again, as with a race; it did fail.
        violation = last[-1]
        found[violation.rule] = violation


def _verdicts(
    bench: Bench, options: RunOptions, found: dict[str, Violation], skipped: dict[str, str]
) -> ConformanceReport:
    tried = bench.log.counts
    rows = []
    for rule in RULES:
        violation = found.get(rule)
        if violation is None and rule not in options.rules:
            continue
        if violation is not None:
            note = f"{violation.check.name}: {violation.detail}"
            rows.append(RuleReport(rule, Verdict.BROKEN, note, violation.script))
            continue
        checks = [
            name for name, check in CHECKS.items() if check.rule == rule and name not in _NO_RULES
        ]
        missed = [name for name in checks if name not in tried]
        count = f"{sum(tried.get(name, 0) for name in checks)} checks"
        why = UNSEEN.get(rule, skipped.get(rule, _NOT_TRIED))
        if not checks or missed == checks:
            rows.append(RuleReport(rule, Verdict.UNSEEN, why))
        elif missed:
            unseen = (f"{name} ({_UNSEEN_CHECKS.get(name, why)})" for name in missed)
            note = f"{count}, but none of {', '.join(unseen)}"
            rows.append(RuleReport(rule, Verdict.PARTLY, note))
        else:
            rows.append(RuleReport(rule, Verdict.HOLDS, count))
    return ConformanceReport(tuple(rows))
