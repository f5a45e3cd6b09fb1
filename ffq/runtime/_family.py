"""The children of one actor incarnation, or of the system: supervision and end (A4, A6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from ffq.runtime.errors import ActorFailed, SystemClosed
from ffq.runtime.supervision import RestartBudget, Strategy, Supervision

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell
    from ffq.runtime.system import ActorSystem


class Owner(Protocol):
    """Who owns a family: an actor's cell, or the system at the top."""

    def takes_children(self) -> bool:
        """False once the owner is stopping."""

    def fail(self, error: Exception, doing: str) -> None:
        """A failure of a child has gone up to this owner."""


class Family:
    """Children by name, in order of their start, and how their failures are treated."""

    __slots__ = (
        "_budgets",
        "_group_restart",
        "_policy",
        "children",
        "named",
        "nursery",
        "owner",
        "path",
        "system",
    )

    def __init__(
        self,
        system: ActorSystem,
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
        self._group_restart = trio.Lock()

    @classmethod
    def of_cell(cls, cell: Cell) -> Family:
        """The family of an actor's present incarnation. Raises SystemClosed when it has none."""
        if cell.nursery is None or cell.actor is None:
            raise SystemClosed(f"{cell.path} has ended: it can have no children or tasks")
        return cls(cell.system, cell, cell.path, cell.nursery, cell.actor.supervision)

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
        if cell.killed or cell.finished or self.nursery.cancel_scope.cancel_called:
            return False
        self.nursery.start_soon(self._restart, cell, policy.strategy, delay)
        return True

    def _escalate(self, cell: Cell) -> None:
        """The failure of a child goes up: its parent fails with it."""
        error = cell.error()
        failure = ActorFailed(
            f"{cell.path} failed after {cell.restarts} restarts: {error!r}", cell.path
        )
        failure.__cause__ = error
        self.owner.fail(failure, f"supervising {cell.name}")

    async def _restart(self, cell: Cell, strategy: Strategy, delay: float) -> None:
        if delay > 0:
            await trio.sleep(delay)
        if strategy is Strategy.ONE_FOR_ONE:
            await cell.resume()
            return
        async with self._group_restart:
            if not cell.parked:
                return
            group = list(self.children.values())
            if strategy is Strategy.REST_FOR_ONE:
                group = group[group.index(cell) :]
            for member in reversed(group):
                await member.suspend()
            for member in group:
                await member.resume()

    # End

    def forget(self, cell: Cell) -> None:
        """The child has ended: its name is free."""
        if self.children.get(cell.name) is cell:
            del self.children[cell.name]
        self._budgets.pop(cell, None)

    async def stop_all(self) -> None:
        """Stop the children one after another, the last started first (A4)."""
        while self.children:
            cell = next(reversed(self.children.values()))
            cell.stop()
            await cell.wait_ended()
