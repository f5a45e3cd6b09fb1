"""Scenarios: how large a cluster, which queries, what goes wrong when, and how it ends."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from tests.simulation.choices import Chooser, chooser_of
from tests.simulation.faults import MESSAGES, Fault, FaultKind
from tests.simulation.queries import PLAN_NAMES

MAX_WORKERS = 4
MAX_QUERIES = 4
MAX_FAULTS = 6
_METHODS = (
    "",
    "GetTask",
    "ReportTaskStatus",
    "RegisterMapOutput",
    "Heartbeat",
    "RegisterQueryResults",
    "SubmitQuery",
)
_KINDS = tuple(FaultKind)
_MIXES: tuple[tuple[FaultKind, ...], ...] = (
    _KINDS,
    tuple(kind for kind in _KINDS if kind in MESSAGES),
    tuple(kind for kind in _KINDS if kind not in MESSAGES),
)


@attrs.frozen
class Query:
    """`cancel_after_ms`: from its submission; None: nobody cancels it."""

    plan: str
    at_ms: int
    shares: int
    cancel_after_ms: int | None


@attrs.frozen
class Scenario:
    """One simulation, fully told.

    Attributes:
        seed: replays it.
        schedule: seed of the order of tasks and of all delays.
        workers: slots of each worker.
        capable: numbers of the workers that have the custom operator.
        frozen: at the end standing faults stay as they are; otherwise all is healed.
        kept: how many finished queries the coordinator keeps.
        speculates: slow tasks get second attempts.
        skews: most rows are of one key, so that a partition of a join is divided.
    """

    seed: int
    schedule: int
    workers: tuple[int, ...]
    capable: frozenset[int]
    queries: tuple[Query, ...]
    faults: tuple[Fault, ...]
    frozen: bool
    kept: int = 20
    speculates: bool = False
    skews: bool = False

    def describe(self) -> tuple[str, ...]:
        """For people, line by line."""
        return (
            f"workers with {', '.join(map(str, self.workers))} slots; with the operator: "
            f"{', '.join(map(str, sorted(self.capable))) or 'none'}; schedule {self.schedule}",
            *(
                f"query {number}: {query.plan} in {query.shares} shares at {query.at_ms} ms"
                + (
                    ""
                    if query.cancel_after_ms is None
                    else f", canceled {query.cancel_after_ms} ms later"
                )
                for number, query in enumerate(self.queries)
            ),
            *(f"fault: {fault}" for fault in self.faults),
            f"keeps {self.kept} finished queries; "
            f"ends {'with its faults frozen' if self.frozen else 'healed'}"
            f"{'; slow tasks get second attempts' if self.speculates else ''}"
            f"{'; most rows are of one key' if self.skews else ''}",
        )


def _query(choose: Chooser) -> Query:
    return Query(
        plan=choose.one_of(PLAN_NAMES),
        at_ms=choose.one_of((0, 0, 100, 700, 2_000, 5_000)),
        shares=choose.one_of((1, 2, 3, 4)),
        cancel_after_ms=choose.one_of((None, None, None, None, 0, 150, 600, 3_000)),
    )


def _fault(choose: Chooser, mix: tuple[FaultKind, ...], workers: int) -> Fault:
    kind = choose.one_of(mix)
    return Fault(
        kind=kind,
        at_ms=choose.one_of((0, 50, 150, 250, 400, 700, 1_200, 2_000, 4_000)),
        worker=choose.below(workers),
        for_ms=choose.one_of((500, 2_000, 4_000, 7_000)),
        count=choose.one_of((1, 2, 3, 8)),
        method=choose.one_of(_METHODS) if kind in MESSAGES else "",
    )


def build(choose: Chooser) -> Scenario:
    """A scenario from choices."""
    workers = tuple(choose.one_of((2, 1, 3)) for _ in range(2 + choose.below(MAX_WORKERS - 1)))
    operators = choose.one_of(("all", "all", "first", "last", "none"))
    queries = tuple(_query(choose) for _ in range(1 + choose.below(MAX_QUERIES)))
    mix = choose.one_of(_MIXES)
    faults = tuple(_fault(choose, mix, len(workers)) for _ in range(choose.below(MAX_FAULTS + 1)))
    frozen = choose.one_of((False, False, True))
    schedule = choose.below(1 << 16)
    capable = {
        "all": frozenset(range(len(workers))),
        "first": frozenset({0}),
        "last": frozenset({len(workers) - 1}),
        "none": frozenset[int](),
    }[operators]
    kept = choose.one_of((20, 20, 1, 2))
    speculates = choose.one_of((False, True))
    skews = choose.one_of((False, True))
    return Scenario(
        choose.seed, schedule, workers, capable, queries, faults, frozen, kept, speculates, skews
    )


def scenario_of(seed: int) -> Scenario:
    """The scenario that a seed stands for, whether chosen at random or spelled out."""
    return attrs.evolve(build(chooser_of(seed)), seed=seed)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """All scenarios; shrinks to few workers, few queries and few faults."""
    return build(Chooser(lambda bound: draw(st.integers(0, bound - 1))))
