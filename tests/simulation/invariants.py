"""The checks of the simulated cluster: its own, and those it shares with the machine, by name."""

from __future__ import annotations

from collections.abc import Iterable

from ffq.testing.checks import Require
from ffq.testing.invariants import CHECKS, Check, Violation


def _own(*rows: tuple[str, str, str]) -> dict[str, Check]:
    return {name: Check(name, rule, text) for name, rule, text in rows}


SIMULATION_CHECKS: dict[str, Check] = CHECKS | _own(
    ("result-equals-oracle", "R25", "a result is that of a single process, as a multiset"),
    ("inputs-are-committed", "R25", "an assignment names the committed attempt of each map task"),
    ("commit-implies-output", "R22", "an attempt is committed only with its output registered"),
    ("success-implies-result", "R3", "SUCCEEDED only with the sink's results stored"),
    ("nothing-outlives-its-worker", "R19", "no attempt runs on after its worker's timeout"),
    ("restart-is-loss", "R19", "a new incarnation runs nothing that the old one ran"),
    ("lease-is-collected", "R19", "an attempt that its worker does not list is taken back"),
    ("suspects-run-apart", "R19", "a worker runs one at a time of what was lost in company"),
    ("fails-by-lone-loss", "R19", "a loss ends a query only by a task that ran alone"),
    ("lack-sends-elsewhere", "R17", "what a worker lacked sends a task to another that has it"),
    ("same-outcome-for-all", "R4", "clients never see an ended query change"),
    ("worker-keeps-going", "R18", "no worker loop ends by an error of its own"),
    ("coordinator-keeps-going", "R30", "the coordinator ends for the faults injected only"),
    ("inconsistent-stops", "R30", "a machine found inconsistent after a bug serves no more"),
    ("work-stops-at-the-end", "R5", "when all has ended, no worker runs anything any more"),
    ("files-return", "R5", "when all has ended, no shuffle file is left"),
    ("state-returns", "R30", "when all has ended and is forgotten, nothing is held"),
    ("mailboxes-drain", "R30", "when all has ended, no message waits"),
    ("no-livelock", "R30", "a run comes to its end within a bound of calls"),
    ("fails-only-for-cause", "R14", "a query fails for a cause that a fault explains"),
    ("eviction-comes", "R27", "ended queries are forgotten after their time"),
)


def violation(name: str, detail: str) -> Violation:
    """The check failed."""
    return Violation(SIMULATION_CHECKS[name], detail)


def require(name: str, holds: bool, detail: str, rule: str | None = None) -> None:
    """Raises Violation, when it does not hold."""
    if not holds:
        raise Violation(SIMULATION_CHECKS[name], detail, rule)


def inputs_committed(
    require: Require,
    attempt: object,
    named: Iterable[tuple[int, int, int]],
    committed: Iterable[tuple[int, int, int]],
    divisible: frozenset[int] = frozenset(),
) -> None:
    """What an assignment tells to read: stage, task and attempt of each input (R25).

    Of one stage among those that are divisible it may be a range of tasks, and not all.
    """
    told, right = sorted(named), sorted(committed)
    left_out = sorted(set(right) - set(told))
    stages = {stage_id for stage_id, _, _ in left_out}
    range_of = [each in told for each in right if each[0] in stages]
    is_range = "".join("x" if each else " " for each in range_of).strip() == "x" * sum(range_of)
    some = len(stages) == 1 and stages <= divisible and is_range and any(range_of)
    holds = sorted([*told, *left_out]) == right and (not left_out or some)
    found = f"{attempt} is told to read {told}, committed are {right}"
    require("inputs-are-committed", holds, found)
