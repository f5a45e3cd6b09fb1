"""Expressions as the engine's own planner has bound them: typed trees over columns by position.

What SQL says beyond the vocabulary of plans travels so: a function by the name that was bound, its
arguments, constants with their type, casts that were written or implied. Nothing is SQL text: a
worker writes that itself, and refuses a function that it does not run. Pure data.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs


@attrs.frozen
class SqlType:
    """A type of the engine.

    Attributes:
        name: as the engine calls it: BIGINT, DECIMAL, LIST, STRUCT, ...
        arguments: of a DECIMAL width and scale; of a LIST the type of its items, of an ARRAY also
            how many it has; of a STRUCT or UNION pairs of name and type; of a MAP the types of key
            and value; of an ENUM its values.
    """

    name: str
    arguments: tuple[TypeArgument, ...] = ()


TypeArgument: TypeAlias = "int | str | SqlType | tuple[str, SqlType]"

PLAIN_TYPES: Final = frozenset(
    {
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "VARCHAR",
        "BLOB",
        "BIT",
        "UUID",
        "DATE",
        "TIME",
        "TIME_NS",
        "TIME WITH TIME ZONE",
        "TIMESTAMP",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "TIMESTAMP WITH TIME ZONE",
        "INTERVAL",
        "JSON",
        "NULL",
    }
)
"""Types without arguments."""

Scalar: TypeAlias = "bool | int | float | str | tuple[Scalar, ...] | None"
"""A constant's value. What the engine counts is an int, in its own unit: a DECIMAL in units of its
last place, a DATE in days, a TIMESTAMP in its unit; an INTERVAL is (months, days, micros)."""


@attrs.frozen
class Place:
    """A column of the input, by position."""

    index: int


@attrs.frozen
class Constant:
    type: SqlType
    value: Scalar


@attrs.frozen
class Call:
    """A scalar function or operator, by the name that it was bound under; `type`: of its result.

    names: of the last arguments, where they say what the function does.
    """

    name: str
    args: tuple[BoundExpr, ...]
    type: SqlType
    names: tuple[str, ...] = ()


@attrs.frozen
class Conversion:
    """A cast; `tries`: null where it cannot be."""

    expr: BoundExpr
    to: SqlType
    tries: bool = False


@attrs.frozen
class Conjunction:
    """All of them, or `any` of them."""

    terms: tuple[BoundExpr, ...]
    any: bool


@attrs.frozen
class Choice:
    """CASE WHEN ... THEN ... ELSE ... END."""

    branches: tuple[tuple[BoundExpr, BoundExpr], ...]
    otherwise: BoundExpr


class Form(enum.Enum):
    """What has a syntax of its own in SQL, and no function's name."""

    IN = "In"
    NOT_IN = "NotIn"
    NOT = "Not"
    IS_NULL = "IsNull"
    IS_NOT_NULL = "IsNotNull"
    COALESCE = "Coalesce"
    NULLIF = "NullIf"
    TRY = "Try"
    ITEM = "Item"
    FIELD = "Field"
    BETWEEN = "Between"


@attrs.frozen
class Special:
    form: Form
    args: tuple[BoundExpr, ...]


@attrs.frozen
class Lambda:
    """A function of list functions. Its body stands over its parameters, then over `captures`."""

    parameters: int
    body: BoundExpr
    captures: tuple[BoundExpr, ...]


BoundExpr: TypeAlias = (
    Place | Constant | Call | Conversion | Conjunction | Choice | Special | Lambda
)


@attrs.frozen
class BoundKey:
    """One key of an order."""

    expr: BoundExpr
    asc: bool
    nulls_first: bool


@attrs.frozen
class BoundAggregate:
    """An aggregate function, by the name that it was bound under.

    Attributes:
        filter: which rows count for it; None: all.
        order: the order in which it takes them.
        type: of its result.
        arg_types: of its arguments, as they were bound: a state is of the function for these.
    """

    name: str
    args: tuple[BoundExpr, ...]
    type: SqlType
    distinct: bool = False
    filter: BoundExpr | None = None
    order: tuple[BoundKey, ...] = ()
    arg_types: tuple[SqlType, ...] = ()


class Phase(enum.Enum):
    """What an aggregation makes: results of rows, states of rows, or results of states.

    SHARE: results of the rows of each task, which are rows for what stands above.
    """

    WHOLE = "Whole"
    SHARE = "Share"
    STATES = "States"
    MERGED = "Merged"


class Match(enum.Enum):
    """How rows of two sides are matched.

    MARK gives out each left row once, and whether one of the right side matches it: null where that
    is not known. SINGLE is LEFT, and an error where more than one row matches. ASOF takes of the
    rows that match the nearest one by the one condition that is no equality. POSITIONAL pairs rows
    by their places, and gives out nulls where one side has no more.
    """

    INNER = "Inner"
    LEFT = "Left"
    RIGHT = "Right"
    FULL = "Full"
    SEMI = "Semi"
    ANTI = "Anti"
    MARK = "Mark"
    SINGLE = "Single"
    ASOF = "Asof"
    ASOF_LEFT = "AsofLeft"
    POSITIONAL = "Positional"


class FrameEdge(enum.Enum):
    """Where a window's frame begins or ends."""

    UNBOUNDED_PRECEDING = "UnboundedPreceding"
    PRECEDING = "Preceding"
    CURRENT_ROW = "CurrentRow"
    FOLLOWING = "Following"
    UNBOUNDED_FOLLOWING = "UnboundedFollowing"


@attrs.frozen
class BoundFrame:
    """units: ROWS, RANGE or GROUPS. The distances stand beside PRECEDING and FOLLOWING."""

    units: str
    start: FrameEdge
    end: FrameEdge
    start_distance: BoundExpr | None = None
    end_distance: BoundExpr | None = None
    exclusion: str = ""


@attrs.frozen
class BoundWindow:
    """A window function, or an aggregate over a window."""

    function: BoundAggregate
    partitions: tuple[BoundExpr, ...]
    order: tuple[BoundKey, ...]
    frame: BoundFrame | None
    ignore_nulls: bool = False
