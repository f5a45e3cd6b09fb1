"""What a mutant is, and how code is broken for a while and mended again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from ffq.core.walks import TABLES, WALKS

_MUTATED = ("ffq.core", "ffq.actors", "ffq.worker")


@attrs.define
class Surgeon:
    """Replaces functions, and puts them back."""

    _undo: list[tuple[Any, str, Any]] = attrs.field(factory=list)
    _put_back: list[tuple[dict[type, Any], type, Any]] = attrs.field(factory=list)

    def replace(self, owner: Any, name: str, new: Any) -> None:
        """Replace an attribute of a class or module."""
        self._undo.append((owner, name, vars(owner)[name]))
        setattr(owner, name, new)

    def replace_everywhere(self, old: Callable[..., Any], new: Callable[..., Any]) -> None:
        """Replace a function in every module and row of core, actors and worker that has it."""
        for table in TABLES:
            for message, row in list(table.rows.items()):
                if row.step is old:
                    self.replace_step(message, new)
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith(_MUTATED):
                for name, value in list(vars(module).items()):
                    if value is old:
                        self.replace(module, name, new)

    def replace_step(self, message: type, new: Callable[..., Any]) -> None:
        """Replace the step that a machine takes for this message."""
        for table in TABLES:
            if message in table.rows:
                self._put(table.rows, message, attrs.evolve(table.rows[message], step=new))

    def replace_walk(self, message: type, new: Callable[..., Any]) -> None:
        """Replace the walk of this message through the parties."""
        self._put(WALKS, message, new)

    def _put(self, rows: dict[type, Any], message: type, new: Any) -> None:
        old = rows[message]
        self._put_back.append((rows, message, old))
        rows[message] = new

    def mend(self) -> None:
        """Undo everything, the last first."""
        while self._put_back:
            rows, message, old_row = self._put_back.pop()
            rows[message] = old_row
        while self._undo:
            owner, name, old = self._undo.pop()
            setattr(owner, name, old)


@attrs.frozen
class Mutant:
    """One rule broken. `first`: the harness that is tried first, "machine" or "simulation"."""

    name: str
    rule: str
    text: str
    first: str
    operate: Callable[[Surgeon], None]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the code is broken."""
        surgeon = Surgeon()
        try:
            self.operate(surgeon)
            yield
        finally:
            surgeon.mend()


MUTANTS: dict[str, Mutant] = {}

Operation = Callable[[Surgeon], None]


def mutant(
    name: str, rule: str, text: str, first: str = "machine"
) -> Callable[[Operation], Operation]:
    """Register a mutant."""

    def register(operate: Operation) -> Operation:
        MUTANTS[name] = Mutant(name, rule, text, first, operate)
        return operate

    return register
