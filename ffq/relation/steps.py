"""What a relation is made of: tables and queries, and what is done with their rows.

A step is a value. Which columns it has is known from the columns of its tables and queries alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import attrs

from ffq.errors import PlanningError, words
from ffq.relation.pieces import Pieces, columns_in, shown

_MOST_SHOWN: Final = 80
"""Characters of a condition in an error."""

How: TypeAlias = Literal["inner", "left", "right", "full", "semi", "anti", "cross"]
Outputs: TypeAlias = tuple[tuple[Pieces, str], ...]
"""Expressions, and the columns that they make."""


@attrs.frozen
class Table:
    """A table of the session's; or one of its own, which `source` says, under any name."""

    name: str
    source: Hashable = None


@attrs.frozen
class Query:
    """A text of SQL. parameters: the values of its parameters, as they travel."""

    text: str
    parameters: bytes = b""


@attrs.frozen
class Selected:
    input: Step
    outputs: Outputs


@attrs.frozen
class Extended:
    """All columns; those of `outputs` in the places of the ones they are called as, or after."""

    input: Step
    outputs: Outputs


@attrs.frozen
class Filtered:
    input: Step
    conditions: tuple[Pieces, ...]


@attrs.frozen
class Grouped:
    input: Step
    keys: Outputs
    aggregates: Outputs


@attrs.frozen
class Joined:
    """keys: pairs that are equal, over the left and the right side. shared: of columns of one name
    in both, each of which comes out once.
    """

    left: Step
    right: Step
    keys: tuple[tuple[Pieces, Pieces], ...]
    how: How
    suffix: str
    shared: tuple[str, ...] = ()


@attrs.frozen
class SortKey:
    pieces: Pieces
    descending: bool
    nulls_last: bool


@attrs.frozen
class Sorted:
    input: Step
    keys: tuple[SortKey, ...]


@attrs.frozen
class Cut:
    """`limit` rows (None: all) after the first `offset`."""

    input: Step
    limit: int | None
    offset: int


@attrs.frozen
class Distinct:
    """subset: columns of which each combination comes once; none: all."""

    input: Step
    subset: tuple[str, ...]


@attrs.frozen
class Dropped:
    input: Step
    names: tuple[str, ...]


@attrs.frozen
class Renamed:
    input: Step
    names: tuple[tuple[str, str], ...]


@attrs.frozen
class United:
    left: Step
    right: Step
    distinct: bool


@attrs.frozen
class Mapped:
    """What a custom operator makes of the rows; which columns, its planner knows alone.

    arguments: its config and the like, as SQL by name.
    """

    input: Step
    operator: str
    arguments: tuple[tuple[str, str], ...]


Leaf: TypeAlias = Table | Query | Mapped
Step: TypeAlias = (
    Table
    | Query
    | Selected
    | Extended
    | Filtered
    | Grouped
    | Joined
    | Sorted
    | Cut
    | Distinct
    | Dropped
    | Renamed
    | United
    | Mapped
)
Known: TypeAlias = Mapping[Leaf, tuple[str, ...]]
"""The columns of tables, queries and operators."""


def inputs_of(step: Step) -> tuple[Step, ...]:
    """The steps that it is over: none of a table or query, two of a join or union."""
    match step:
        case Table() | Query():
            return ()
        case Joined(left, right) | United(left, right):
            return left, right
        case _:
            return (step.input,)


def leaves(step: Step) -> list[Leaf]:
    """Tables, queries and operators in it, each once, and each after those below it."""
    found: dict[Leaf, None] = {}
    pending: list[Step] = [step]
    while pending:
        each = pending.pop()
        if isinstance(each, Mapped):
            found |= dict.fromkeys([*leaves(each.input), each])
        elif isinstance(each, Table | Query):
            found[each] = None
        else:
            pending += inputs_of(each)
    return list(found)


def number_of(step: Step) -> int:
    """Its place among the steps that were written one after the other; the first is 1."""
    return 1 + max(map(number_of, inputs_of(step)), default=0)


def called(step: Step) -> str:
    """What a program calls it: its method; of a filter, with its conditions."""
    if isinstance(step, Filtered):
        conditions = (
            shown(each).removeprefix("(\n").removesuffix("\n)") for each in step.conditions
        )
        return f"filter({words(', '.join(conditions), _MOST_SHOWN)})"
    return _called(step)


def with_leaves(step: Step, new: Mapping[Leaf, Leaf]) -> Step:
    """The same over other tables and queries."""
    if isinstance(step, Table | Query | Mapped) and step in new:
        return new[step]
    if isinstance(step, Joined | United):
        left, right = with_leaves(step.left, new), with_leaves(step.right, new)
        return attrs.evolve(step, left=left, right=right)
    assert not isinstance(step, Table | Query)  # those are all in `new`
    return attrs.evolve(step, input=with_leaves(step.input, new))


def columns_of(step: Step, known: Known) -> tuple[str, ...]:
    """The names of its columns, in their order.

    Raises:
        PlanningError: a column that is not there, with the nearest that is, or two of one name.
    """
    match step:
        case Table() | Query() | Mapped():
            names = known[step]
        case Selected(_, outputs):
            names = tuple(name for _, name in outputs)
        case Grouped(_, keys, aggregates):
            names = tuple(name for _, name in (*keys, *aggregates))
        case Extended(before, outputs):
            names = extended(columns_of(before, known), outputs)
        case Joined():
            names = tuple(name for *_, name in joined_columns(step, known))
        case Dropped(before, dropped):
            had = columns_of(before, known)
            require("drop", had, dropped)
            gone = lowered(dropped)
            names = tuple(name for name in had if name.lower() not in gone)
            if not names:
                raise PlanningError("drop: no column would be left")
        case Renamed(before, pairs):
            had = columns_of(before, known)
            check_once("rename", (old for old, _ in pairs))
            require("rename", had, [old for old, _ in pairs])
            new = {old.lower(): name for old, name in pairs}
            names = tuple(new.get(name.lower(), name) for name in had)
        case United(left, _, _):
            names = columns_of(left, known)
        case _:
            names = columns_of(step.input, known)
    check_once(_called(step), names)
    return names


def joined_columns(step: Joined, known: Known) -> list[tuple[str, str, str]]:
    """The side, the column there and the column that comes out, of a join."""
    left, right = columns_of(step.left, known), columns_of(step.right, known)
    shared = lowered(step.shared)
    found = [("both" if name.lower() in shared else "left", name, name) for name in left]
    if step.how in {"semi", "anti"}:
        return [("left", name, name) for name in left]
    taken = lowered(left)
    for name in right:
        if name.lower() not in shared:
            found.append(("right", name, name + step.suffix if name.lower() in taken else name))
    return found


def extended(had: tuple[str, ...], outputs: Outputs) -> tuple[str, ...]:
    """Columns, and those that take places among them or come after."""
    new = {name.lower(): name for _, name in outputs}
    kept = [new.pop(name.lower(), name) for name in had]
    return (*kept, *new.values())


def require(what: str, had: Iterable[str], wanted: Iterable[str]) -> None:
    """Raises PlanningError: a column that is not among them."""
    names = list(had)
    there = lowered(names)
    for name in wanted:
        if name.lower() not in there:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
            raise PlanningError(f"{what}: no column {name!r}; {hint}There are: {listed}")


def require_all(what: str, had: Iterable[str], parts: Iterable[Pieces]) -> None:
    """As `require`, of the columns in expressions."""
    names = list(had)
    for pieces in parts:
        require(what, names, columns_in(pieces))


def check_once(what: str, names: Iterable[str]) -> None:
    """Raises PlanningError: two columns of one name, whatever its case."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise PlanningError(
                f"{what}: two columns are called {name!r}; right would be .alias() for one"
            )
        seen.add(name.lower())


def lowered(names: Iterable[str]) -> frozenset[str]:
    """As SQL compares names."""
    return frozenset(name.lower() for name in names)


def _called(step: Step) -> str:
    return {
        Table: "table",
        Query: "query",
        Mapped: "map_batches",
        Selected: "select",
        Extended: "with_columns",
        Grouped: "agg",
        Joined: "join",
        Renamed: "rename",
        Filtered: "filter",
        Sorted: "sort",
        Cut: "limit",
        Dropped: "drop",
        United: "union",
    }.get(type(step), type(step).__name__.lower())
