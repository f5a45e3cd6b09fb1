"""The columns that operators of this process declare, in the engine's words."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

_MOST_NAMED: Final = 20

Columns: TypeAlias = Sequence[tuple[str, str]]
"""Pairs of name and the engine's type."""


@attrs.frozen
class Declared:
    """What a process knows of an operator.

    Attributes:
        columns: that it gives out; None: it declares none.
        unknown: why nothing is known of it: it is not registered. Empty: it is.
    """

    columns: Columns | None = None
    unknown: str = ""


DeclaredColumns: TypeAlias = Callable[[str, Mapping[str, str], Columns], Declared]


def declared_columns(name: str, config: Mapping[str, str], columns: Columns) -> Declared:
    """What an operator gives out over an input of these columns; it is not run.

    Raises:
        PlanningError: a config that it does not take.
        OperatorError: its function of the input's schema raised, or gave no schema.
        UnsupportedPlan: it declares a type that the engine has not.
    """
    # Few processes are asked: a coordinator does without DuckDB until it is.
    from ffq.engine.arrow_types import arrow_schema, sql_columns  # noqa: PLC0415
    from ffq.engine.operators import REGISTRY, declared_schema  # noqa: PLC0415

    known = REGISTRY.names()
    if name not in known:
        return Declared(unknown=_unknown(name, sorted(known)))
    schema = declared_schema(name, config, arrow_schema(columns))
    return Declared(None if schema is None else sql_columns(f"operator {name!r}", schema))


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    more = ", ..." if len(known) > _MOST_NAMED else ""
    hint = (
        f": did you mean {near[0]!r}?"
        if near
        else f"; there are: {', '.join(known[:_MOST_NAMED]) or 'none'}{more}."
    )
    return f"no operator of this name is registered here{hint}"
