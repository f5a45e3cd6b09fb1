"""Custom operators: Python functions from Arrow batches to Arrow batches, by name.

    @ffq.operator("clean")
    def clean(batches, config):
        for batch in batches:
            yield batch.filter(pc.is_valid(batch["name"]))

An operator sees its task's share of the rows, batch by batch, and at least one batch: an empty one
when there are no rows. All batches that it yields must have one schema: the declared one, or that
of the first batch. One that yields no batch at all gives no rows of the declared schema, or else
of its input's.

It may read its input on threads of its own. When it has ended, these get an OperatorError.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

import attrs
import pyarrow as pa

from ffq.errors import StartupError
from ffq.messages import MAX_NAME_LENGTH


class OperatorFunction(Protocol):
    """`config` holds the Custom node's strings. Runs on a worker's thread; may raise anything."""

    def __call__(
        self, batches: Iterator[pa.RecordBatch], config: Mapping[str, str], /
    ) -> Iterable[pa.RecordBatch]: ...


F = TypeVar("F", bound=Callable[..., Iterable[pa.RecordBatch]])


@attrs.frozen
class Operator:
    name: str
    function: OperatorFunction
    schema: pa.Schema | None
    module: str


class OperatorRegistry:
    """Operators by name. Filled at start, then only read."""

    def __init__(self) -> None:
        self._operators: dict[str, Operator] = {}

    def add(self, operator: Operator) -> None:
        """Raises StartupError: another function of that name is registered already."""
        known = self._operators.get(operator.name)
        if known is not None and _home(known) != _home(operator):
            raise StartupError(
                f"operator {operator.name!r} is defined twice, in {known.module} and in "
                f"{operator.module}: names must differ"
            )
        self._operators[operator.name] = operator

    def get(self, name: str) -> Operator | None:
        return self._operators.get(name)

    def names(self) -> frozenset[str]:
        return frozenset(self._operators)

    def of_module(self, module: str) -> frozenset[str]:
        """Those defined in a module, or in the modules of a package."""
        return frozenset(
            name
            for name, one in self._operators.items()
            if f"{one.module}.".startswith(f"{module}.")
        )


def _home(operator: Operator) -> tuple[str, str]:
    # A module that is loaded again defines the same functions anew.
    return operator.module, getattr(operator.function, "__qualname__", "")


REGISTRY = OperatorRegistry()
"""Where `@operator` registers: one per process."""


def operator(
    name: str, *, schema: pa.Schema | None = None, registry: OperatorRegistry = REGISTRY
) -> Callable[[F], F]:
    """Register a function as the operator that plans call `name`.

    Args:
        name: the `op_name` of Custom nodes; a worker advertises it as a capability (R10).
        schema: of what it yields, where the input's schema would be wrong for no rows.
        registry: for tests.

    Raises:
        StartupError: a name that cannot be one, or that another function has; no schema, or no
            function.
    """
    _check_name(name)
    if not isinstance(schema, pa.Schema | None):
        raise StartupError(
            f"operator {name!r}: its schema is a {type(schema).__name__}; right would be a "
            f'pyarrow.Schema, as pa.schema([("a", pa.int64())])'
        )

    def register(function: F) -> F:
        if not callable(function):
            raise StartupError(
                f"operator {name!r} is a {type(function).__name__}; right would be a function of "
                f"its input's batches and its config"
            )
        registry.add(Operator(name, function, schema, function.__module__))
        return function

    return register


def _check_name(name: object) -> None:
    """Raises StartupError: no worker could advertise it."""
    if not isinstance(name, str):
        raise StartupError(
            f"an operator's name is a {type(name).__name__}; right would be a text, as "
            f'@ffq.operator("clean")'
        )
    if not name:
        raise StartupError("an operator needs a name that is not empty")
    if len(name) > MAX_NAME_LENGTH:
        raise StartupError(
            f"operator {name[:40]!r}...: its name has {len(name)} characters; at most "
            f"{MAX_NAME_LENGTH} are allowed"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StartupError(
            f"operator {name!r}: a lone surrogate is not text; right would be a name that UTF-8 has"
        ) from None


def load_operators(modules: str, *, registry: OperatorRegistry = REGISTRY) -> frozenset[str]:
    """Import the modules and return the operators they registered.

    Args:
        modules: dotted module names with commas between: "shop.operators,shop.more".
        registry: for tests.

    Raises:
        StartupError: a module does not import, or registers no operator; names it and the cause.
    """
    names: set[str] = set()
    for module in filter(None, (part.strip() for part in modules.split(","))):
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise StartupError(
                f"operators module {module!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        found = registry.of_module(module)
        if not found:
            raise StartupError(
                f"operators module {module!r} registers no operator: "
                f'decorate a function in it with @ffq.operator("name")'
            )
        names |= found
    return frozenset(names)
