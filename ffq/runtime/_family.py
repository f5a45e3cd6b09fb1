"""The children of one actor incarnation, or of the system: supervision and end (A4, A6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import trio

from ffq.errors import words
from ffq.runtime._cell import Cell
from ffq.runtime._envelope import Envelope, busy_envelope
from ffq.runtime._life import Phase
from ffq.runtime._waits import enter
from ffq.runtime.errors import ActorFailed, SystemClosed, WaitCycle
from ffq.runtime.supervision import RestartBudget, Strategy, Supervision

if TYPE_CHECKING:
    from ffq.runtime._system_base import SystemBase


class Owner(Protocol):
    """Who owns a family: an actor's cell, or the system at the top."""

    def takes_children(self) -> bool:
        """False once the owner is stopping."""
        ...

    def fail(self, error: Exception, doing: str) -> None:
        """A failure of a child has gone up to this owner."""


class Family:
    """Children by name, in order of their start, and how their failures are treated."""

    __slots__ = (
        "_budgets",
        "_down",
        "_failed",
        "_moving",
        "_policy",
        "_restarting",
        "_turn",
        "children",
        "named",
        "nursery",
        "owner",
        "path",
        "system",
    )

    def __init__(
        self,
        system: SystemBase,
        owner: Owner,
        path: str,
        nursery: trio.Nursery,
        policy: Supervision,
    ) -> None:
        self.system = system
        self.owner = owner
        self.path = path
        self.nursery = nursery
        self.children: dict[str, Cell] = {}
        self._policy = policy
        self._budgets: dict[Cell | None, RestartBudget] = {}
        self.named: dict[str, int] = {}
        # Of a group restart: failures that call for one, who is still down, and whose turn it is.
        self._failed: list[tuple[Cell, Strategy]] = []
        self._down: list[Cell] = []
        self._turn: Envelope | None = None
        self._moving: Cell | None = None
        self._restarting = False

    # Failure

    def child_failed(self, cell: Cell) -> bool:
        """Decide on a failed child: True if it will be restarted.

        A failure within the policy's budget is absorbed, by a restart if the child has anything
        left to do: a stopping one has while there is mail, a killed one has not. A failure past
        the budget goes up.
        """
        policy = cell.options.supervision or self._policy
        key = cell if cell.options.supervision is not None else None
        if key not in self._budgets:
            self._budgets[key] = RestartBudget(policy)
        delay = self._budgets[key].spend(trio.current_time())
        if delay is None:
            self._escalate(cell)
            return False
        life = cell.life
        done = life.phase is Phase.FINISHING or (life.stopping and not cell.has_mail())
        if life.killed or done or self.nursery.cancel_scope.cancel_called:
            return False
        self.nursery.start_soon(self._restart, cell, policy.strategy, delay, cell.restarts)
        return True

    def _escalate(self, cell: Cell) -> None:
        """The failure of a child goes up: its parent fails with it."""
        error = cell.error()
        path, why, root = cell.path, "", error
        while isinstance(root, ActorFailed) and isinstance(root.__cause__, Exception):
            # Said once, however many parents it has passed; each of them is in the path.
            path, root = root.path, root.__cause__
            why = f"{path} failed: "
        failure = ActorFailed(
            f"{cell.path} failed after {cell.restarts} restarts: {why}{words(root)}", path
        )
        failure.__cause__ = error
        self.owner.fail(failure, f"supervising {cell.name}")

    async def _restart(self, cell: Cell, strategy: Strategy, delay: float, restarts: int) -> None:
        if delay > 0:
            await trio.sleep(delay)
        if not cell.life.down or cell.restarts != restarts:
            return  # it was stopped or killed meanwhile, or restarted together with a sibling
        if strategy is Strategy.ONE_FOR_ONE:
            cell.resume()
            return
        if cell in self._down[1:]:
            return  # its turn comes in the restart under way
        self._failed.append((cell, strategy))
        if not self._restarting:
            self._restarting = True
            await self._restart_groups()
            self._restarting = False

    async def _restart_groups(self) -> None:
        """Take groups down and start them again in order, until no failure is left over."""
        while self._failed:
            group = self._take_group()
            for member in reversed(group):
                down = member.suspend()
                if down is not None:
                    self._take_turn(member, member)
                    await down.wait()
            self._down = group
            while self._down and not self._failed:
                member = self._down[0]
                up = member.resume()
                if up is not None:
                    assert member.busy is not None
                    self._take_turn(member, member.busy)
                    await up.wait()
                if member.life.phase is not Phase.HELD:  # it was not taken down again
                    self._down.pop(0)
            if self._turn is not None:
                self._turn.waits = self._moving = None

    def _take_group(self) -> list[Cell]:
        """Who restarts together: what the failures say, and who is still down from before."""
        members = list(self.children.values())
        first = len(members)
        for cell, strategy in self._failed:
            if cell.life.down:
                first = 0 if strategy is Strategy.ONE_FOR_ALL else min(first, members.index(cell))
        for cell in self._down:
            if cell in members:
                first = min(first, members.index(cell))
        self._failed.clear()
        return members[first:]

    # A member that is down for a group restart waits for its turn: for whoever goes down or starts
    # just now. In the graph of waits its restart is a handler that waits for one envelope, the
    # turn, which in turn waits for that member.

    def wait_for_turn(self, cell: Cell) -> None:
        """A child is down. If it restarts in a group, add its wait to the graph."""
        policy = cell.options.supervision or self._policy
        if policy.strategy is Strategy.ONE_FOR_ONE and cell.life.phase is not Phase.HELD:
            return
        if self._turn is None:
            self._turn = busy_envelope(cell)
        assert cell.busy is not None
        try:
            enter(cell.busy, self._turn, "restart")
        except WaitCycle:
            # Whose turn it is waits for a message to this one, which would have been handled had
            # it not failed. No restart comes before that one gives up its start or its cleanup.
            cell.busy.waits = [self._turn]
            if self._moving is not None and self._moving is not cell:
                self._moving.give_up()

    def _take_turn(self, member: Cell, target: Cell | Envelope) -> None:
        self._moving = member
        if self._turn is None:
            self._turn = busy_envelope(member)
        self._turn.cell = member
        self._turn.waits = None
        try:
            enter(self._turn, target, "restart")
        except WaitCycle:  # it waited for one that is down before its own turn came
            self._turn.waits = [target]
            member.give_up()

    # End

    def forget(self, cell: Cell) -> None:
        """The child has ended: its name is free."""
        if self.children.get(cell.name) is cell:
            del self.children[cell.name]
        self._budgets.pop(cell, None)

    async def stop_all(self) -> None:
        """Stop the children one after another, the last started first (A4)."""
        while self.children:  # a stopping one that restarts may have had more
            for cell in reversed(tuple(self.children.values())):
                cell.stop()
                await cell.wait_ended()


def family_of(cell: Cell) -> Family:
    """The family of an actor's present incarnation. Raises SystemClosed when it has none."""
    if cell.family is None:
        if cell.nursery is None or cell.actor is None:
            raise SystemClosed(f"{cell.path} has ended: it can have no children or tasks")
        cell.family = Family(cell.system, cell, cell.path, cell.nursery, cell.actor.supervision)
    return cast("Family", cell.family)  # nobody else makes one; a cell knows what it asks of it
