"""One judge of everything that a coordinator answers."""

from __future__ import annotations

from ffq.testing.invariants import CheckLog
from ffq.testing.judging.assignments import AssignmentJudge
from ffq.testing.judging.attempts import AttemptJudge
from ffq.testing.judging.outputs import OutputJudge
from ffq.testing.judging.queries import QueryJudge
from ffq.testing.model import World
from ffq.testing.told import ToldSettings


class Judge:
    """The model and the judges of each group of RPCs. They raise `Violation`.

    Attributes:
        world: what is believed.
        log: which checks were put to the test, how often.
    """

    def __init__(self, told: ToldSettings, log: CheckLog | None = None) -> None:
        self.world = World(told)
        self.log = CheckLog() if log is None else log
        self.queries = QueryJudge(self.world, self.log)
        self.assignments = AssignmentJudge(self.world, self.log)
        self.attempts = AttemptJudge(self.world, self.log)
        self.outputs = OutputJudge(self.world, self.log)
