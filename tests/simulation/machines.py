"""The core machines inside the actors: the harness looks at them, and changes nothing."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.actors import CoordinatorActors
from ffq.actors._machine import Machine, MachineActor
from ffq.actors.liveness import LivenessActor
from ffq.actors.registry import RegistryActor
from ffq.actors.results import ResultsActor
from ffq.actors.scheduling import SchedulingActor
from ffq.core import LivenessCore, RegistryCore, ResultsCore, SchedulingCore
from ffq.core.state import SchedulingState
from ffq.ids import AttemptKey
from ffq.runtime import ActorRef


@attrs.frozen
class Machines:
    """`actors`: scheduling, liveness, registry, results. `mail`: messages that wait for each."""

    actors: tuple[MachineActor[Any], ...]
    refs: tuple[ActorRef[Any], ...]
    scheduling: SchedulingCore
    liveness: LivenessCore
    registry: RegistryCore
    results: ResultsCore

    @classmethod
    def of(cls, facade: CoordinatorActors) -> Machines:
        """Of the actors' present incarnations: none of them is ever restarted in place."""
        refs = (facade.scheduling, facade.liveness, facade.registry, facade.results)
        scheduling, liveness, registry, results = (ref.cell.actor for ref in refs)
        assert isinstance(scheduling, SchedulingActor)
        assert isinstance(liveness, LivenessActor)
        assert isinstance(registry, RegistryActor)
        assert isinstance(results, ResultsActor)
        return cls(
            (scheduling, liveness, registry, results),
            refs,
            scheduling._core,
            liveness._core,
            registry._core,
            results._core,
        )

    def at(self, path: str) -> Machine:
        """The machine of the actor at this path."""
        return self.actors[[ref.path for ref in self.refs].index(path)]._machine

    @property
    def state(self) -> SchedulingState:
        return self.scheduling._state

    def has_output(self, key: AttemptKey) -> bool:
        """Whether the registry holds an output of this attempt."""
        return key in self.registry._queries.get(key.query_id, {})

    def has_result(self, key: AttemptKey) -> bool:
        """Whether the results store holds all of this attempt's result."""
        upload = self.results._queries.get(key.query_id, {}).get(key)
        return upload is not None and upload.complete

    def mail(self) -> dict[str, int]:
        """Messages that wait, by actor; and notices not delivered yet."""
        waiting = {
            ref.path: len(ref.cell.mailbox) + len(ref.cell.overflow or ()) for ref in self.refs
        }
        scheduling = self.actors[0]
        assert isinstance(scheduling, SchedulingActor)
        waiting["outbox"] = len(scheduling._outbox)
        return {name: count for name, count in waiting.items() if count}
