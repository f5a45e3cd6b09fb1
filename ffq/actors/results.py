"""The results actor: uploads of sink attempts."""

from __future__ import annotations

from ffq.actors._machine import Clock, MachineActor, ValidateState
from ffq.core import Outcome, ResultsCore
from ffq.messages import (
    AdmitResult,
    DropQueryResults,
    DropResults,
    ReadResult,
    RegisterQueryResults,
    RegisterReply,
    ResultParts,
)
from ffq.runtime import ActorRef, handles

ResultsRequest = RegisterQueryResults | ReadResult | DropResults | DropQueryResults | ValidateState


class ResultsActor(MachineActor[ResultsRequest]):
    """Owns the results machine; asks scheduling before it stores anything (R13)."""

    def __init__(self, core: ResultsCore, clock: Clock, scheduling: ActorRef[AdmitResult]) -> None:
        super().__init__(core, clock)
        self._core = core
        self._scheduling = scheduling

    @handles(RegisterQueryResults)
    async def register(self, msg: RegisterQueryResults) -> RegisterReply:
        proposal = self.decide(self._core.propose, msg)
        admission = await self._scheduling.ask(proposal)

        def store(msg: RegisterQueryResults, now_ms: int) -> Outcome[RegisterReply]:
            return self._core.store(msg, admission, now_ms)

        return self.reply(store, msg)

    @handles(ReadResult)
    def read(self, msg: ReadResult) -> ResultParts:
        return self.reply(self._core.read_result, msg)

    @handles(DropResults)
    def drop_results(self, msg: DropResults) -> None:
        return self.reply(self._core.drop_results, msg)

    @handles(DropQueryResults)
    def drop_query(self, msg: DropQueryResults) -> None:
        return self.reply(self._core.drop_query_results, msg)
