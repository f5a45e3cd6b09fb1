"""Which column a name means. Pure: the engine, the exchanges and the builder all ask here.

A plan's `Column` means the column of exactly that name; where there is none, the column of that
qualifier (the table it was scanned from) and name; where there is none, the one whose last dotted
part is the name's last part. A `ColumnPath`, which our builder writes for a dotted name, has
another third step: a field of a struct column. In each step one candidate is the answer, and
several are ambiguous: none of them is ever picked.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import attrs

from ffq.errors import PlanningError
from ffq.plan.terms import ColumnName, ColumnPath

MAX_SHOWN: Final = 20
"""Columns that an error lists."""
_NEAREST: Final = 3
# What an exchange carries beside a column's name, as metadata of the Arrow field.
_QUALIFIER: Final = b"ffq.qualifier"
_MERGED: Final = b"ffq.merged"
_TYPE: Final = b"ffq.type"


class NamedColumn(Protocol):
    """What can be asked for by name.

    qualifier: the table it was scanned from, where it still is that table's column. merged: a join
    on equal names gave it out a second time, and the bare name means the other one.
    """

    @property
    def name(self) -> str: ...

    @property
    def qualifier(self) -> str | None: ...

    @property
    def merged(self) -> bool: ...


@attrs.frozen
class PlainColumn:
    """A `NamedColumn` and no more."""

    name: str
    qualifier: str | None = None
    merged: bool = False

    @classmethod
    def marked(cls, name: str, marks: Mapping[bytes, bytes] | None) -> PlainColumn:
        """From a field of an exchange's schema, and the metadata that `marks_of` gave it."""
        given = marks or {}
        qualifier = given.get(_QUALIFIER)
        return cls(
            name,
            None if qualifier is None else qualifier.decode(errors="replace"),
            _MERGED in given,
        )


def marks_of(column: NamedColumn) -> dict[bytes, bytes]:
    """What a column is found by beside its name, for an exchange to carry."""
    marks = {} if column.qualifier is None else {_QUALIFIER: column.qualifier.encode()}
    return marks | {_MERGED: b""} if column.merged else marks


def type_mark(kind: str) -> dict[bytes, bytes]:
    """The engine's type of a column, where an exchange carries it as another one."""
    return {_TYPE: kind.encode()}


def marked_type(marks: Mapping[bytes, bytes] | None) -> str | None:
    """What `type_mark` says; None: the column is carried as what it is."""
    kind = (marks or {}).get(_TYPE)
    return None if kind is None else kind.decode(errors="replace")


def text_of(name: ColumnName) -> str:
    """The name as it was written."""
    return name if isinstance(name, str) else name.name


StructFields: TypeAlias = Callable[[int], Mapping[str, object]]
"""Fields of the struct column at a position, and their fields in turn; empty for other columns."""


def find_column(name: ColumnName, columns: Sequence[NamedColumn], where: str) -> int:
    """Position of the column that a `Column` of this name means, or a `ColumnPath` that is whole.

    Args:
        where: who asks; begins the error.

    Raises:
        PlanningError: no such column, or several; or a field of one where only a column may stand.
    """
    if isinstance(name, ColumnPath):
        return _find_whole(name.name, columns, where)
    found = _named(name, columns, where)
    if found is not None:
        return found
    last = name.rpartition(".")[2]
    candidates = _exact(last, columns) or [
        at for at, column in enumerate(columns) if column.name.rpartition(".")[2] == last
    ]
    if not candidates:
        raise unknown_column(name, columns, where)
    return _only(name, candidates, columns, where)


def find_path(
    name: str, columns: Sequence[NamedColumn], fields: StructFields, where: str
) -> tuple[int, tuple[str, ...]]:
    """Position of the column that a `ColumnPath` means, and the struct fields to follow in it.

    Raises:
        PlanningError: no such column, or several.
    """
    found = _named(name, columns, where)
    if found is not None:
        return found, ()
    paths = list(dict.fromkeys(_in_structs(name, columns, fields)))
    if not paths:
        raise unknown_column(name, columns, where)
    if len(paths) > 1:
        shown = [".".join((_title(columns[at]), *path)) for at, path in paths]
        raise _ambiguous(name, shown, where)
    return paths[0]


def _named(name: str, columns: Sequence[NamedColumn], where: str) -> int | None:
    """By its exact name, else by qualifier and name."""
    for candidates in (_exact(name, columns), _qualified(name, columns)):
        if candidates:
            return _only(name, candidates, columns, where)
    return None


def _find_whole(name: str, columns: Sequence[NamedColumn], where: str) -> int:
    found = _named(name, columns, where)
    if found is not None:
        return found
    unknown = unknown_column(name, columns, where)
    owners = [head for head, _ in dotted_splits(name) if _exact(head, columns)]
    if not owners:
        raise unknown
    raise PlanningError(
        f"{unknown.message}; a field of {owners[0]!r} can stand here when a projection has given "
        f"it a name"
    )


def unknown_column(name: str, columns: Sequence[NamedColumn], where: str) -> PlanningError:
    """The error for a name that means nothing: with the nearest names, and those that exist."""
    names = list(dict.fromkeys(column.name for column in columns))
    wanted = (name, name.rpartition(".")[2])
    near = dict.fromkeys(
        each for one in wanted for each in difflib.get_close_matches(one, names, _NEAREST)
    )
    hint = f" (nearest: {', '.join(list(near)[:_NEAREST])})" if near else ""
    some = ", ".join(names[:MAX_SHOWN]) + (", …" if len(names) > MAX_SHOWN else "")
    return PlanningError(f"{where}: no column {name!r}{hint}; its input has {some or 'no columns'}")


def dotted_splits(name: str) -> Iterator[tuple[str, str]]:
    """What stands before and after each dot of a name."""
    at = name.find(".")
    while at >= 0:
        yield name[:at], name[at + 1 :]
        at = name.find(".", at + 1)


def _exact(name: str, columns: Sequence[NamedColumn]) -> list[int]:
    found = [at for at, column in enumerate(columns) if column.name == name]
    return [at for at in found if not columns[at].merged] or found


def _qualified(name: str, columns: Sequence[NamedColumn]) -> list[int]:
    splits = set(dotted_splits(name))
    return [
        at
        for at, column in enumerate(columns)
        if column.qualifier is not None and (column.qualifier, column.name) in splits
    ]


def _in_structs(
    name: str, columns: Sequence[NamedColumn], fields: StructFields
) -> Iterator[tuple[int, tuple[str, ...]]]:
    for head, rest in dotted_splits(name):
        for at in (*_exact(head, columns), *_qualified(head, columns)):
            for path in _field_paths(rest, fields(at)):
                yield at, path


def _field_paths(name: str, fields: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    if name in fields:
        yield (name,)
    for head, rest in dotted_splits(name):
        below = fields.get(head)
        if isinstance(below, Mapping):
            for path in _field_paths(rest, below):
                yield head, *path


def _only(name: str, candidates: Sequence[int], columns: Sequence[NamedColumn], where: str) -> int:
    if len(candidates) > 1:
        shown = [f"{_title(columns[at])} (column {at + 1})" for at in candidates]
        raise _ambiguous(name, shown, where)
    return candidates[0]


def _title(column: NamedColumn) -> str:
    return column.name if column.qualifier is None else f"{column.qualifier}.{column.name}"


def _ambiguous(name: str, candidates: Sequence[str], where: str) -> PlanningError:
    shown = ", ".join(candidates[:MAX_SHOWN]) + (", …" if len(candidates) > MAX_SHOWN else "")
    return PlanningError(
        f"{where}: column {name!r} is ambiguous: it may be {shown}; "
        f"right would be one name each: give them names with a projection before they meet"
    )
