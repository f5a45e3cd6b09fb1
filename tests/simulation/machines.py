"""The core machines inside the actors: the harness looks at them, and changes nothing."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.actors import ActorCoordinator
from ffq.actors.machine import MachineActor
from ffq.core.machine import Machine, Party
from ffq.core.state import SchedulingState
from ffq.ids import AttemptKey
from ffq.runtime import ActorRef


@attrs.frozen
class Machines:
    """The coordinator's actors, by what they are."""

    refs: dict[Party, ActorRef[Any]]
    owners: dict[Party, MachineActor]

    @classmethod
    def of(cls, door: ActorCoordinator) -> Machines:
        """Of the actors' present incarnations: none of them is ever restarted in place."""
        refs = door.parties.actors
        return cls(refs, {party: _owner(ref) for party, ref in refs.items()})

    @property
    def actors(self) -> tuple[MachineActor, ...]:
        return tuple(self.owners.values())

    def at(self, path: str) -> Machine[Any]:
        """The machine of the actor at this path."""
        return self.owners[Party(path.removeprefix("/"))]._machine

    @property
    def scheduling(self) -> Machine[Any]:
        return self.owners[Party.SCHEDULING]._machine

    @property
    def registry(self) -> Machine[Any]:
        return self.owners[Party.REGISTRY]._machine

    @property
    def results(self) -> Machine[Any]:
        return self.owners[Party.RESULTS]._machine

    @property
    def state(self) -> SchedulingState:
        state: SchedulingState = self.scheduling.state
        return state

    def cut_small(self) -> None:
        """What is too much for one step is done in slices: so small ones that it happens here."""
        self.scheduling.state.slice = self.registry.state.slice = 2

    def has_output(self, key: AttemptKey) -> bool:
        """Whether the registry holds an output of this attempt."""
        return key in self.registry.state.queries.get(key.query_id, {})

    def has_result(self, key: AttemptKey) -> bool:
        """Whether the results store holds all of this attempt's result."""
        upload = self.results.state.queries.get(key.query_id, {}).get(key)
        return upload is not None and upload.complete

    def mail(self) -> dict[str, int]:
        """Messages that wait, by actor; and notices not delivered yet."""
        waiting = {
            ref.path: len(ref.cell.mailbox) + len(ref.cell.overflow or ())
            for ref in self.refs.values()
        }
        waiting["outbox"] = sum(len(actor._outbox) for actor in self.actors)
        return {name: count for name, count in waiting.items() if count}


def _owner(ref: ActorRef[Any]) -> MachineActor:
    actor = ref.cell.actor
    assert isinstance(actor, MachineActor)
    return actor
