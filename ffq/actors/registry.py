"""The registry actor: where map outputs are."""

from __future__ import annotations

from ffq.actors._machine import Clock, MachineActor, ValidateState
from ffq.core import Outcome, RegistryCore
from ffq.messages import (
    AdmitMapOutput,
    DropMapOutputs,
    DropQueryOutputs,
    OutputLocation,
    ReadMapOutput,
    RegisterMapOutput,
    RegisterReply,
)
from ffq.runtime import ActorRef, handles

RegistryRequest = (
    RegisterMapOutput | ReadMapOutput | DropMapOutputs | DropQueryOutputs | ValidateState
)


class RegistryActor(MachineActor[RegistryRequest]):
    """Owns the registry machine; asks scheduling before it stores anything (R13)."""

    def __init__(
        self, core: RegistryCore, clock: Clock, scheduling: ActorRef[AdmitMapOutput]
    ) -> None:
        super().__init__(core, clock)
        self._core = core
        self._scheduling = scheduling

    @handles(RegisterMapOutput)
    async def register(self, msg: RegisterMapOutput) -> RegisterReply:
        proposal = self.decide(self._core.propose, msg)
        admission = await self._scheduling.ask(proposal)

        def store(msg: RegisterMapOutput, now_ms: int) -> Outcome[RegisterReply]:
            return self._core.store(msg, admission, now_ms)

        return self.reply(store, msg)

    @handles(ReadMapOutput)
    def read(self, msg: ReadMapOutput) -> OutputLocation:
        return self.reply(self._core.read_map_output, msg)

    @handles(DropMapOutputs)
    def drop_outputs(self, msg: DropMapOutputs) -> None:
        return self.reply(self._core.drop_map_outputs, msg)

    @handles(DropQueryOutputs)
    def drop_query(self, msg: DropQueryOutputs) -> None:
        return self.reply(self._core.drop_query_outputs, msg)
