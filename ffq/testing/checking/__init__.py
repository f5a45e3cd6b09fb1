"""Comparing what a coordinator answers with what the model allows it to answer."""

from __future__ import annotations

from ffq.testing.checking.assignments import AssignmentChecker
from ffq.testing.checking.attempts import AttemptChecker
from ffq.testing.checking.outputs import OutputChecker
from ffq.testing.checking.queries import QueryChecker
from ffq.testing.declared import DeclaredSettings
from ffq.testing.invariants import CheckLog
from ffq.testing.model import World


class Checker:
    """The model and the checkers of each group of RPCs. They raise `Violation`.

    Attributes:
        world: what is believed.
        log: which checks were put to the test, how often.
    """

    def __init__(self, declared: DeclaredSettings, log: CheckLog | None = None) -> None:
        self.world = World(declared)
        self.log = CheckLog() if log is None else log
        self.queries = QueryChecker(self.world, self.log)
        self.assignments = AssignmentChecker(self.world, self.log)
        self.attempts = AttemptChecker(self.world, self.log)
        self.outputs = OutputChecker(self.world, self.log)
