"""Custom operators: Python code from batches to batches, by name.

    @ffq.operator("clean")
    def clean(batches):
        for batch in batches:
            yield batch.filter(pc.is_valid(batch["name"]))

    @ffq.operator("score", output_schema={"id": "BIGINT", "score": "DOUBLE"})
    class Score:
        def __init__(self, path: str, threshold: float = 0.5): ...
        def __call__(self, batch): ...

An operator sees its task's share of the rows, batch by batch. A function is given an iterator of
them, and at least one batch: an empty one when there are no rows. A class is set up once in a
process for each config, and called batch by batch; where it declares its output's schema, it is
neither set up nor called for no rows.

All batches that it yields must have one schema: the declared one, or that of the first batch. One
that yields no batch at all gives no rows of the declared schema, or else of its input's.

A function may read its input on threads of its own. When it has ended, these get an OperatorError.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
import pyarrow as pa

from ffq.engine.configs import Parameters, parameters_of
from ffq.engine.frames import FORMATS
from ffq.engine.instances import Instances
from ffq.engine.output_schemas import DeclaredSchema, read_schema, schema_for
from ffq.errors import StartupError
from ffq.messages import MAX_NAME_LENGTH

F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen(eq=False)
class Operator:
    """What was decorated, and what it says of itself.

    Attributes:
        code: a function of an iterator of batches that returns an iterable of them; or a class
            whose instances are functions of one batch. Runs on a worker's thread; may raise
            anything.
        parameters: how it takes its config.
        output_schema: what it gives out, or a function that says so of its input's schema.
        batch_format: a name of FORMATS.
        concurrent: an instance of the class takes several calls at once.
        module: where it was defined.
    """

    name: str
    code: Callable[..., Any]
    parameters: Parameters
    output_schema: pa.Schema | Callable[[pa.Schema], pa.Schema] | None
    batch_format: str
    concurrent: bool
    module: str

    @property
    def is_class(self) -> bool:
        """Whether it is set up once for each config; else it is a function."""
        return inspect.isclass(self.code)

    def schema_over(self, input_schema: pa.Schema) -> pa.Schema | None:
        """What it declares to give out over such an input; None: nothing.

        Raises:
            OperatorError: its function for that raised, or gave no schema.
        """
        return schema_for(self.name, self.output_schema, input_schema)


class OperatorRegistry:
    """Operators by name. Filled at start, then only read.

    Attributes:
        instances: of those that are classes.
    """

    def __init__(self) -> None:
        self._operators: dict[str, Operator] = {}
        self.instances = Instances()

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
        """None: there is none of that name."""
        return self._operators.get(name)

    def names(self) -> frozenset[str]:
        """Of all that are registered."""
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
    return operator.module, getattr(operator.code, "__qualname__", "")


REGISTRY = OperatorRegistry()
"""Where `@operator` registers: one per process."""


def declared_schema(
    name: str,
    config: Mapping[str, str],
    input_schema: pa.Schema,
    *,
    registry: OperatorRegistry = REGISTRY,
) -> pa.Schema | None:
    """What the operator of that name declares to give out; it is not run.

    Returns:
        None: it is not registered in this process, or declares nothing.

    Raises:
        PlanningError: a config that it does not take.
        OperatorError: its function of the input's schema raised, or gave no schema.
    """
    found = registry.get(name)
    if found is None:
        return None
    found.parameters.read(name, config)
    return found.schema_over(input_schema)


def operator(
    name: str,
    *,
    output_schema: DeclaredSchema | None = None,
    batch_format: str = "arrow",
    concurrent: bool = False,
    registry: OperatorRegistry = REGISTRY,
) -> Callable[[F], F]:
    """Register a function or a class as the operator that plans call `name`.

    Its config are its keyword parameters (of a class, those of `__init__`), read by their types:
    see `ffq.engine.configs`. A function whose second parameter is a mapping, or is not annotated,
    gets the config's texts there.

    Args:
        name: the `op_name` of Custom nodes; a worker advertises it as a capability (R10).
        output_schema: of what it gives out: a schema, a dict of types by column (in SQL's words, or
            Arrow's types), or a function of the input's schema. SQL needs it to plan.
        batch_format: "arrow" for record batches, "pandas" or "polars" for data frames.
        concurrent: an instance of the class may be called by several threads at once; if not,
            calls wait for each other.
        registry: for tests.

    Raises:
        StartupError: a name that cannot be one, or that another operator has; a schema, format or
            parameter that cannot be one; what is neither a function nor a class whose instances
            can be called.
    """
    _check_name(name)
    if batch_format not in FORMATS:
        raise StartupError(
            f"operator {name!r}: its batch_format is {batch_format!r}; right would be one of "
            f"{', '.join(map(repr, FORMATS))}"
        )
    schema = read_schema(name, output_schema)

    def register(code: F) -> F:
        _check_code(name, code, concurrent)
        registry.add(
            Operator(
                name,
                code,
                _parameters(name, code),
                schema,
                batch_format,
                concurrent,
                code.__module__,
            )
        )
        return code

    return register


def _parameters(name: str, code: Any) -> Parameters:
    if not inspect.isclass(code):
        return parameters_of(name, code, skip=1)
    set_up: Any = code.__init__
    if set_up is object.__init__:
        return Parameters(whole=False)
    return parameters_of(name, set_up, skip=1)


def _check_code(name: str, code: Any, concurrent: bool) -> None:
    if not callable(code):
        raise StartupError(
            f"operator {name!r} is a {type(code).__name__}; right would be a function of its "
            f"input's batches, or a class whose instances are functions of one batch"
        )
    is_class = inspect.isclass(code)
    if is_class and not any("__call__" in vars(base) for base in code.__mro__):
        raise StartupError(
            f"operator {name!r} is a class without __call__; right would be: def __call__(self, "
            f"batch)"
        )
    if concurrent and not is_class:
        raise StartupError(
            f"operator {name!r} is a function, whose calls share nothing: concurrent=True is for "
            f"classes"
        )


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
