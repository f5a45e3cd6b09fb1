"""How code is changed for a while and mended: for mutants, and for bugs that strike midway."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import attrs

from ffq.core.walks import TABLES, WALKS

_MUTATED = ("ffq.core", "ffq.actors", "ffq.worker")

Function = Callable[..., Any]


@attrs.define
class Surgeon:
    """Replaces functions, and puts them back. `_undo`: how, for each that was replaced."""

    _undo: list[Callable[[], None]] = attrs.field(factory=list)

    def replace(self, owner: Any, name: str, new: Any) -> None:
        """Replace an attribute of a class or module."""
        old = vars(owner)[name]
        self._undo.append(lambda: setattr(owner, name, old))
        setattr(owner, name, new)

    def replace_everywhere(self, old: Function, new: Function) -> None:
        """Replace a function in every module and row of core, actors and worker that has it."""
        for table in TABLES:
            for message, row in list(table.rows.items()):
                if row.step is old:
                    self.replace_step(message, new)
        for module in _modules(_MUTATED):
            for name, value in list(vars(module).items()):
                if value is old:
                    self.replace(module, name, new)

    def replace_step(self, message: type, new: Function) -> None:
        """Replace the step that a machine takes for this message."""
        for table in TABLES:
            if message in table.rows:
                self._put(table.rows, message, attrs.evolve(table.rows[message], step=new))

    def replace_walk(self, message: type, new: Function) -> None:
        """Replace the walk of this message through the parties."""
        self._put(WALKS, message, new)

    def wrap_core(self, wrap: Callable[[Function], Function]) -> None:
        """Wrap every step, and every function and method that the core's modules define."""
        wrapped: dict[Function, Function] = {}

        def once(function: Function) -> Function:
            return wrapped.setdefault(function, wrap(function))

        for table in TABLES:
            for message, row in list(table.rows.items()):
                if row.step is not None:
                    self.replace_step(message, once(row.step))
        for module in _modules(("ffq.core",)):
            for name, value in list(vars(module).items()):
                if _is_of_core(value):
                    self.replace(module, name, once(value))
                elif isinstance(value, type) and value.__module__ == module.__name__:
                    for attribute, method in list(vars(value).items()):
                        if _is_of_core(method) and not attribute.startswith("__"):
                            self.replace(value, attribute, once(method))

    def _put(self, rows: dict[type, Any], message: type, new: Any) -> None:
        old = rows[message]
        self._undo.append(lambda: rows.__setitem__(message, old))
        rows[message] = new

    def mend(self) -> None:
        """Undo everything, the last first."""
        while self._undo:
            self._undo.pop()()


def _modules(prefixes: tuple[str, ...]) -> list[Any]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(prefixes)]


def _is_of_core(value: object) -> bool:
    return isinstance(value, FunctionType) and value.__module__.startswith("ffq.core")
