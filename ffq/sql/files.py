"""Files and parameters of a query, put where the planner of the engine can take them. Pure.

The planning instance reads no files, so each that FROM names gets the name of a table, and the
text that name; a parameter gets a literal of its value and type.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ffq.catalog.catalog import check_table
from ffq.engine.sql import identifier
from ffq.errors import InvalidQuery, InvalidRequest
from ffq.sql.literals import literal
from ffq.sql.parameters import Value
from ffq.sql.parsing import FileCall, ParameterRef, Parsed, TableRef
from ffq.sql.text import Edit, Edited, query_error

_MAGIC: Final = frozenset("*?[")
_MOST_NAMED: Final = 20


@attrs.frozen
class Named:
    """A query over tables that all have names.

    Attributes:
        sql: what is planned.
        described: the same, with its parameters where they were.
        tables: names of the tables that it reads, as the planner is to call them.
        files: definitions of those among them that are files named in FROM, as a catalog has them.
    """

    sql: Edited
    described: Edited
    tables: tuple[str, ...]
    files: tuple[str, ...]


def name_files(
    parsed: Parsed,
    known: Iterable[str],
    parameters: Mapping[str, Value],
    *,
    folder: str,
    allowed: bool = True,
) -> Named:
    """
    Args:
        known: names of tables; one of them is no file.
        folder: from where relative paths are meant.
        allowed: whether a query may name files at all.

    Raises:
        InvalidQuery: a table that is not known; a parameter without a value, or a value without a
            parameter; says where.
    """
    known = tuple(known)
    values = parameter_edits(parsed, parameters)
    naming = _Naming(parsed, known, folder, allowed, parameters)
    for table in parsed.tables:
        naming.table(table)
    for call in parsed.files:
        naming.call(call)
    edits = [*parsed.edits, *(each.edit(known) for each in parsed.lists), *naming.edits]
    return Named(
        Edited.of(parsed.text, [*edits, *(each for each in values if not _in_files(parsed, each))]),
        Edited.of(parsed.text, edits),
        tuple(naming.used),
        tuple(json.dumps(entry) for entry in naming.files.values()),
    )


def _in_files(parsed: Parsed, place: Edit | ParameterRef) -> bool:
    return any(call.start <= place.start < call.end for call in parsed.files)


def parameters_left(parsed: Parsed, parameters: Mapping[str, Value]) -> Mapping[str, Value]:
    """Those that the query has still where its files have names, under what it calls them then."""
    left = [each for each in parsed.parameters if not _in_files(parsed, each)]
    if len(left) == len(parsed.parameters):
        return parameters
    by_name = {name.lower(): (name, value) for name, value in parameters.items()}
    if all(parsed.text[each.start : each.end] == b"?" for each in left):
        ordered = sorted(left, key=lambda each: each.start)
        return {str(at): by_name[each.name][1] for at, each in enumerate(ordered, 1)}
    return dict(by_name[each.name.lower()] for each in left)


class _Naming:
    def __init__(
        self,
        parsed: Parsed,
        known: tuple[str, ...],
        folder: str,
        allowed: bool,
        parameters: Mapping[str, Value],
    ) -> None:
        self._parsed = parsed
        self._values = {name.lower(): value for name, value in parameters.items()}
        self._known = known
        self._folded: dict[str, list[str]] = {}
        for name in known:
            self._folded.setdefault(name.lower(), []).append(name)
        self._folder = folder
        self._allowed = allowed
        self._names: dict[str, str] = {}
        self.used: dict[str, None] = {}
        self.files: dict[str, dict[str, Any]] = {}
        self.edits: list[Edit] = []

    def table(self, table: TableRef) -> None:
        found = self._find(table)
        if found is not None:
            self._once(found, table)
            self.used[found] = None
        elif table.name.lower() in self._parsed.ctes:
            pass
        elif table.token is not None and _is_path(table):
            name = self._file((table.name,), {}, table.token.start)
            alias = "" if table.aliased else f" AS {identifier(_alias(table.name))}"
            by = f"{identifier(name)}{alias}".encode()
            self.edits.append(Edit(table.token.start, table.token.end, by))
        else:
            raise self._unknown(table)

    def call(self, call: FileCall) -> None:
        entry: dict[str, Any] = {"format": call.format}
        if call.options:
            entry["options"] = dict(call.options)
        paths = tuple(path for each in call.paths for path in self._paths(each))
        name = self._file(paths, entry, call.start)
        try:
            check_table(self.files[name])
        except InvalidRequest as error:
            raise query_error(error.message, self._parsed.text, call.start) from None
        alias = "" if call.aliased else f" AS {identifier(call.function)}"
        self.edits.append(Edit(call.start, call.end, f"{identifier(name)}{alias}".encode()))

    def _paths(self, given: str | ParameterRef) -> tuple[str, ...]:
        if isinstance(given, str):
            return (given,)
        value: object = self._values[given.name.lower()]
        listed = tuple(value) if isinstance(value, list | tuple) else (value,)
        texts = tuple(each for each in listed if isinstance(each, str))
        if not texts or len(texts) < len(listed):
            raise query_error(
                f"the parameter ${given.name} is {value!r}; right would be a path, or a list of "
                f"such",
                self._parsed.text,
                given.start,
            )
        return texts

    def _find(self, table: TableRef) -> str | None:
        """The one table of that name; in the text its case says nothing."""
        found = self._folded.get(table.name.lower(), [])
        if table.name in found:
            return table.name
        if len(found) > 1:
            raise self._fail(f"the table {table.name!r} may be {' or '.join(found)}", table)
        return found[0] if found else None

    def _once(self, found: str, table: TableRef) -> None:
        """Raises InvalidQuery: the query reads another table, which SQL takes for the same."""
        twin = next((name for name in self._folded[found.lower()] if name in self.used), found)
        if twin != found:
            raise self._fail(
                f"the tables {twin!r} and {found!r}, whose names differ in case alone, cannot be "
                "read in one query; right would be another name for one of them",
                table,
            )

    def _file(self, paths: tuple[str, ...], more: dict[str, Any], at: int) -> str:
        if not self._allowed:
            raise query_error(
                f"this coordinator reads no files that a query names, and so not {paths[0]!r}; its "
                f"tables: {self._listed()}",
                self._parsed.text,
                at,
            )
        located = [self._located(path, at) for path in paths]
        key = json.dumps([located, more], sort_keys=True)
        if key not in self._names:
            name = self._free(paths[0])
            self._names[key] = name
            self.files[name] = {"name": name, "paths": located, **more}
            self.used[name] = None
        return self._names[key]

    def _located(self, path: str, at: int) -> str:
        if not path or "\0" in path:
            raise query_error("the path of a file is empty", self._parsed.text, at)
        return path if "://" in path else os.path.join(self._folder, path)

    def _free(self, wanted: str) -> str:
        taken = {*self._folded, *self._parsed.ctes, *(name.lower() for name in self.used)}
        name, number = wanted, 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted} ({number})"
        return name

    def _unknown(self, table: TableRef) -> InvalidQuery:
        near = difflib.get_close_matches(
            table.name.lower(), [*self._folded, *self._parsed.ctes], n=1
        )
        hint = f": did you mean {self._folded.get(near[0], near)[0]!r}?" if near else ""
        listed = "" if near else f"; there are: {self._listed()}"
        if not near and table.name and table.token is not None and table.token.kind == "text":
            listed += f"; of a folder, right would be {table.name + '/'!r}"
        return self._fail(f"no such table: {table.name!r}{hint}{listed}", table)

    def _listed(self) -> str:
        more = ", ..." if len(self._known) > _MOST_NAMED else ""
        return ", ".join(self._known[:_MOST_NAMED]) + more if self._known else "none"

    def _fail(self, message: str, table: TableRef) -> InvalidQuery:
        at = None if table.token is None else table.token.start
        return query_error(message, self._parsed.text, at)


def _is_path(table: TableRef) -> bool:
    quoted = table.token is not None and table.token.kind in {"text", "name"}
    return quoted and bool(_MAGIC.union("/.") & set(table.name))


def _alias(path: str) -> str:
    """What the engine calls a file that has no other name in the query."""
    return path if _MAGIC & set(path) else os.path.basename(path).partition(".")[0] or path


def parameter_edits(parsed: Parsed, parameters: Mapping[str, Value]) -> list[Edit]:
    """What puts a literal of its value in the place of each parameter.

    Raises:
        InvalidQuery: a parameter without a value, or a value without a parameter; says where.
        InvalidRequest: no type of SQL holds a value.
    """
    text = parsed.text
    by_name = {name.lower(): value for name, value in parameters.items()}
    edits = []
    for each in parsed.parameters:
        name = each.name.lower()
        if name not in by_name:
            given = ", ".join(f"${name}" for name in parameters) or "none"
            raise query_error(
                f"the parameter ${each.name} has no value; given: {given}", text, each.start
            )
        value = literal(by_name[name], f"parameter ${each.name}")
        edits.append(Edit(each.start, each.end, f" {value} ".encode()))
    wanted = {each.name.lower() for each in parsed.parameters}
    if unused := [name for name in parameters if name.lower() not in wanted]:
        there = ", ".join(f"${name}" for name in sorted(wanted)) or "none"
        raise InvalidQuery(f"the query has no parameter ${unused[0]}; it has: {there}")
    return edits
