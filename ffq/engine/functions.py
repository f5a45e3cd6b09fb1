"""Scalar functions that plans may name, as SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ffq.errors import PlanningError, UnsupportedPlan

# name: (fewest arguments, most arguments, DuckDB's function)
_FUNCTIONS: Final[dict[str, tuple[int, int, str]]] = {
    "abs": (1, 1, "abs"),
    "ceil": (1, 1, "ceil"),
    "floor": (1, 1, "floor"),
    "round": (1, 2, "round"),
    "sqrt": (1, 1, "sqrt"),
    "exp": (1, 1, "exp"),
    "ln": (1, 1, "ln"),
    "power": (2, 2, "pow"),
    "lower": (1, 1, "lower"),
    "upper": (1, 1, "upper"),
    "trim": (1, 1, "trim"),
    "ltrim": (1, 1, "ltrim"),
    "rtrim": (1, 1, "rtrim"),
    "length": (1, 1, "length"),
    "character_length": (1, 1, "length"),
    "substr": (2, 3, "substr"),
    "substring": (2, 3, "substr"),
    "replace": (3, 3, "replace"),
    "starts_with": (2, 2, "starts_with"),
    "concat": (1, 64, "concat"),
    "coalesce": (1, 64, "coalesce"),
    "nullif": (2, 2, "nullif"),
    "year": (1, 1, "year"),
    "month": (1, 1, "month"),
    "day": (1, 1, "day"),
}


# function: {position of an argument: (types that SQL users pass there, what DuckDB wants)}
_WIDE: Final = frozenset({"UINTEGER", "BIGINT", "UBIGINT"})
_CASTS: Final[dict[str, dict[int, tuple[frozenset[str], str]]]] = {
    "round": {1: (_WIDE, "INTEGER")},
    "substr": {1: (_WIDE, "BIGINT"), 2: (_WIDE, "BIGINT")},
    **{part: {0: (frozenset({"VARCHAR", '"NULL"'}), "DATE")} for part in ("year", "month", "day")},
}


def function_sql(name: str, args: list[str], type_of: Callable[[str], str]) -> str:
    """A call of the function that plans call `name`, in any case.

    Args:
        type_of: DuckDB's type of an argument's SQL.

    Raises:
        UnsupportedPlan: no such function here.
        PlanningError: too few or too many arguments.
    """
    known = _FUNCTIONS.get(name.lower())
    if known is None:
        raise UnsupportedPlan(
            f"ScalarUdf {name!r}: this engine has no such function; it has {', '.join(_FUNCTIONS)}"
        )
    fewest, most, function = known
    if not fewest <= len(args) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise PlanningError(f"ScalarUdf {name!r} takes {wanted} arguments, not {len(args)}")
    given = list(args)
    for position, (kinds, wanted) in _CASTS.get(function, {}).items():
        if position < len(given) and type_of(given[position]) in kinds:
            given[position] = f"CAST({given[position]} AS {wanted})"
    if function == "length" and type_of(args[0]) == "BLOB":
        function = "octet_length"
    if (
        function == "round" and type_of(args[0]) == "UBIGINT"
    ):  # DuckDB's is a HUGEINT: no Arrow type
        return f"CAST(round({', '.join(given)}) AS UBIGINT)"
    return f"{function}({', '.join(given)})"
