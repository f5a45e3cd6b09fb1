"""The parties of a coordinator, and how each is reached."""

from __future__ import annotations

from math import inf
from typing import Any, TypeVar

import attrs

from ffq.core.machine import MAY_ASK, Party
from ffq.core.walks import OWNERS
from ffq.errors import InvariantViolated
from ffq.runtime import ActorRef, Request
from ffq.service import OnReply, Planner, Posted

R = TypeVar("R")


@attrs.frozen
class Parties:
    """`actors` is filled while the coordinator starts: some of them know each other."""

    planner: Planner
    actors: dict[Party, ActorRef[Any]] = attrs.field(factory=dict)

    async def ask(self, message: Request[R]) -> R:
        """Ask the party that answers this message. Raises what it raises."""
        party = OWNERS[type(message)]
        if party is Party.PLANNER:
            return await self.planner.ask(message)
        reply: R = await self.actors[party].ask(message)
        return reply

    def post(self, message: Request[Any], on_reply: OnReply, deadline: float) -> Posted:
        """As `ask` of an actor, without waiting for the reply: see `ActorRef.post`."""
        actor = self.actors[OWNERS[type(message)]]
        return actor.post(message, on_reply, deadline=deadline)

    async def ask_from(self, asker: Party, message: Request[R]) -> R:
        """As `ask`, by a machine that serves nobody meanwhile.

        Raises:
            InvariantViolated: MAY_ASK does not allow it: two could wait for each other.
        """
        _check(asker, message)
        return await self.ask(message)

    def post_from(self, asker: Party, message: Request[Any], on_reply: OnReply) -> Posted:
        """As `post`, by a machine that serves nobody until the reply. Raises as `ask_from`."""
        _check(asker, message)
        return self.post(message, on_reply, inf)


def _check(asker: Party, message: Request[Any]) -> None:
    if OWNERS[type(message)] not in MAY_ASK[asker]:
        raise InvariantViolated(
            f"{asker.value} may not ask {OWNERS[type(message)].value} "
            f"for {type(message).__name__} while it is held"
        )
