"""The columns that operators of this process declare, in the engine's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ffq.engine.arrow_types import arrow_schema, sql_columns
from ffq.engine.operators import declared_schema

Columns: TypeAlias = Sequence[tuple[str, str]]
"""Pairs of name and the engine's type."""
DeclaredColumns: TypeAlias = Callable[[str, Mapping[str, str], Columns], Columns | None]


def declared_columns(name: str, config: Mapping[str, str], columns: Columns) -> Columns | None:
    """What an operator gives out over an input of these columns; it is not run.

    Returns:
        None: it is not registered in this process, or declares nothing.

    Raises:
        PlanningError: a config that it does not take.
        OperatorError: its function of the input's schema raised, or gave no schema.
        UnsupportedPlan: it declares a type that the engine has not.
    """
    schema = declared_schema(name, config, arrow_schema(columns))
    return None if schema is None else sql_columns(f"operator {name!r}", schema)
