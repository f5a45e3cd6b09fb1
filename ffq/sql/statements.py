"""Statements that write: `COPY ... TO` and `INSERT INTO`, each a query and where its rows go.

The engine plans queries only. So a statement is taken apart by its tokens: the query is planned as
any other, under the places that it has in the whole text, and the rest is read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final, NoReturn

import attrs

from ffq.engine import stores
from ffq.engine.sql import identifier
from ffq.engine.writes import check_options
from ffq.errors import InvalidQuery, UnsupportedPlan
from ffq.plan.model import Node, ParquetWrite
from ffq.plan.terms import FileFormat, WriteMode, WriteTarget
from ffq.plan.writes import SUFFIXES, written
from ffq.sql.kinds import StatementKind
from ffq.sql.text import Token, query_error, tokens

_FORMATS: Final = {each.value.lower(): each for each in FileFormat}
_TRUE: Final = frozenset({"true", "1", "on"})
_FALSE: Final = frozenset({"false", "0", "off"})
_MODES: Final = {"append": WriteMode.APPEND, "overwrite": WriteMode.REPLACE}


@attrs.frozen
class CopyTo:
    """COPY ... TO: the rows into a file or folder."""

    target: WriteTarget
    format: FileFormat
    partition_by: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    def over(self, rows: Node) -> Node:
        """The plan that writes these rows."""
        return written(rows, self.target, self.format, self.partition_by, self.options)


@attrs.frozen
class InsertInto:
    """INSERT INTO a table. columns: those named; None: all, in their order."""

    table: str
    columns: tuple[str, ...] | None
    by_name: bool

    def over(self, rows: Node) -> Node:
        """The plan that adds these rows, which have the table's columns."""
        return ParquetWrite(self.table, rows)

    def query(self, query: str, given: Sequence[str], table: Sequence[tuple[str, str]]) -> str:
        """The query with the columns of the table: of its types, null where none is given.

        Args:
            given: names of the query's columns. table: names and types of the table's.

        Raises:
            InvalidQuery: the query's columns do not fit them.
        """
        known = {name.lower(): name for name, _ in table}
        listed = ", ".join(known.values())
        all_names = tuple(name for name, _ in table)
        named = given if self.by_name else self.columns or all_names
        if len(named) != len(given):
            raise InvalidQuery(
                f"INSERT INTO {self.table}: the query has {len(given)} columns, and there are "
                f"{len(named)}: {', '.join(named)}"
            )
        places: dict[str, int] = {}
        for at, name in enumerate(named):
            if name.lower() not in known:
                raise InvalidQuery(
                    f"INSERT INTO {self.table}: there is no column {name!r}; it has {listed}"
                )
            if places.setdefault(name.lower(), at) != at:
                raise InvalidQuery(f"INSERT INTO {self.table}: column {name!r} is named twice")
        columns = ", ".join(f"c{at}" for at in range(len(named)))
        outputs = ", ".join(
            f"CAST({_value(places.get(name.lower()))} AS {kind}) AS {identifier(name)}"
            for name, kind in table
        )
        return f"SELECT {outputs} FROM ({query}\n) AS given({columns})"


def _value(place: int | None) -> str:
    return "NULL" if place is None else f"c{place}"


@attrs.frozen
class Statement:
    """query: what is planned. write: None: its rows are the result."""

    query: str
    write: CopyTo | InsertInto | None = None


def read_statement(
    sql: str, kind: StatementKind | None, *, folder: str | None, paths: bool = True
) -> Statement:
    """
    Args:
        kind: of the text; None: it is none, which the parser of queries explains.
        folder: from where relative paths are meant; None: there are absolute ones only.
        paths: whether a query may name paths to write to.

    Raises:
        InvalidQuery: what is wrong with the text, and where.
        UnsupportedPlan: names what is not done.
        StorageError: a URI that is none, or holds credentials.
    """
    match kind:
        case StatementKind.COPY:
            if not paths:
                raise InvalidQuery("this coordinator writes no files that a query names")
            return _read_copy(_Tokens.of(sql), folder)
        case StatementKind.INSERT:
            return _read_insert(_Tokens.of(sql))
        case StatementKind.CREATE:
            raise UnsupportedPlan(
                "CREATE: tables are files; right would be COPY (SELECT ...) TO 'folder' "
                "(FORMAT parquet)"
            )
        case _:
            return Statement(sql)


# --- the text --------------------------------------------------------------------------------


@attrs.frozen
class _Tokens:
    text: bytes
    tokens: Sequence[Token]

    @classmethod
    def of(cls, sql: str) -> _Tokens:
        text = sql.encode()
        found = list(tokens(text, 0, len(text)))
        while found and found[-1].raw == b";":
            found.pop()
        return cls(text, found)

    def word(self, at: int) -> str:
        """The token in lower case; empty past the end."""
        return self.tokens[at].raw.decode().lower() if at < len(self.tokens) else ""

    def closing(self, at: int) -> int:
        """Where the bracket that opens at a token closes."""
        depth = 0
        for place, token in enumerate(self.tokens[at:], at):
            depth += (token.raw == b"(") - (token.raw == b")")
            if depth == 0:
                return place
        return self.refuse(at, "the bracket is not closed")

    def query(self, first: int, end: int) -> str:
        """The tokens [first, end) as a query, at their own places in the text."""
        if first >= end:
            self.refuse(first, "the query is missing")
        before = self.text[: self.tokens[first].start].decode()
        blank = "".join("\n" if sign == "\n" else " " for sign in before)
        return blank + self.text[self.tokens[first].start : self.tokens[end - 1].end].decode()

    def refuse(self, at: int, why: str) -> NoReturn:
        start = self.tokens[at].start if at < len(self.tokens) else len(self.text)
        raise query_error(why, self.text, start)

    def names(self, first: int, end: int) -> tuple[str, ...]:
        """Names with commas between: tokens [first, end)."""
        return tuple(self.tokens[at].value for at in range(first, end, 2))


def _read_copy(found: _Tokens, folder: str | None) -> Statement:
    at = 1
    if found.word(at) == "(":
        end = found.closing(at)
        query, at = found.query(at + 1, end), end + 1
    else:
        columns = "*"
        while found.word(at) not in {"to", "from", "(", ""}:
            at += 1
        table = found.query(1, at)
        if found.word(at) == "(":
            end = found.closing(at)
            columns = ", ".join(map(identifier, found.names(at + 1, end)))
            at = end + 1
        query = f"SELECT {columns} FROM {table.strip()}"
    if found.word(at) != "to":
        raise UnsupportedPlan(
            "COPY ... FROM: files are read where they are: SELECT ... FROM 'file'"
        )
    at += 1
    if at >= len(found.tokens) or found.tokens[at].kind != "text":
        found.refuse(at, "COPY: right would be a path in quotes")
    path = found.tokens[at].value
    at += 2 if found.word(at + 1) == "with" else 1
    options: dict[str, tuple[str, ...]] = {}
    if found.word(at) == "(":
        end = found.closing(at)
        options = dict(_options(found, at + 1, end))
        at = end + 1
    if at < len(found.tokens):
        found.refuse(at, "COPY: right would be options in brackets: (FORMAT parquet, ...)")
    return Statement(query, _copy_to(path, options, folder))


def _options(found: _Tokens, first: int, end: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and values of each option; none: it stands alone."""
    at = first
    while at < end:
        name, at = found.word(at), at + 1
        values: tuple[str, ...] = ()
        if found.word(at) == "(":
            close = found.closing(at)
            values, at = found.names(at + 1, close), close + 1
        elif at < end and found.word(at) != ",":
            values, at = (found.tokens[at].value,), at + 1
        if at < end and found.word(at) != ",":
            found.refuse(at, f"COPY: option {name.upper()} has more than one value")
        yield name, values
        at += 1


def _copy_to(path: str, options: Mapping[str, tuple[str, ...]], folder: str | None) -> CopyTo:
    path = _located(path, folder)
    left = dict(options)
    format_ = _format(path, left.pop("format", ()))
    partition_by = left.pop("partition_by", ())
    many = _flag("per_thread_output", left.pop("per_thread_output", ("false",)))
    asked = [mode for name, mode in _MODES.items() if _flag(name, left.pop(name, ("false",)))]
    if len(asked) > 1:
        raise InvalidQuery("COPY: APPEND and OVERWRITE; right would be one of them")
    single_file = PurePath(path).suffix.lower() in SUFFIXES and not partition_by and not many
    mode = asked[0] if asked else WriteMode.CREATE
    if single_file and mode is WriteMode.APPEND:
        raise UnsupportedPlan(f"COPY TO {path!r}: APPEND adds files to a folder; this is one file")
    values = tuple((name, _value_of(name, value)) for name, value in sorted(left.items()))
    check_options(format_, values)
    return CopyTo(WriteTarget(path, mode, single_file), format_, partition_by, values)


def _located(path: str, folder: str | None) -> str:
    """An absolute path, or the URI of a store."""
    if path.startswith("file://"):
        named = stores.file_path(path)
        if named is None:
            raise InvalidQuery(f"COPY TO {path!r}: right would be file:///path")
        path = named
    elif "://" in path:
        stores.check_writable(path)
        return path.rstrip("/")
    if not os.path.isabs(path):
        if folder is None:
            raise InvalidQuery(f"COPY TO {path!r}: right would be an absolute path")
        path = os.path.join(folder, path)
    return os.path.normpath(path)


def _format(path: str, given: tuple[str, ...]) -> FileFormat:
    if not given:
        by_suffix = SUFFIXES.get(PurePath(path).suffix.lower())
        if by_suffix is None:
            raise InvalidQuery(
                f"COPY TO {path!r}: the format is missing; right is (FORMAT parquet)"
            )
        return by_suffix
    name = given[0].lower()
    if name not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise UnsupportedPlan(f"COPY: format {given[0]!r} is not written; known: {known}")
    return _FORMATS[name]


def _flag(name: str, values: tuple[str, ...]) -> bool:
    value = _value_of(name, values).lower()
    if value not in _TRUE | _FALSE:
        raise InvalidQuery(f"COPY: {name.upper()} is {value!r}; right would be true or false")
    return value in _TRUE


def _value_of(name: str, values: tuple[str, ...]) -> str:
    if len(values) > 1:
        raise InvalidQuery(f"COPY: option {name.upper()} has more than one value")
    return values[0] if values else "true"


def _read_insert(found: _Tokens) -> Statement:
    if found.word(0) != "insert":
        found.refuse(0, "INSERT: right would be INSERT INTO t WITH ... SELECT")
    if found.word(1) != "into":
        raise UnsupportedPlan(f"INSERT {found.word(1).upper()}: right would be INSERT INTO")
    table, at = found.tokens[2].value, 3
    if found.word(at) in {".", "as"}:
        found.refuse(at, "INSERT INTO: right would be the bare name of a table")
    columns = None
    # A bracket also opens a query: INSERT INTO t (SELECT ...).
    if found.word(at) == "(" and found.word(at + 1) not in {"select", "from", "with", "values"}:
        end = found.closing(at)
        columns, at = found.names(at + 1, end), end + 1
    by_name = found.word(at) == "by" and found.word(at + 1) == "name"
    if found.word(at) == "by":
        at += 2
    if found.word(at) == "default":
        raise UnsupportedPlan("INSERT INTO ... DEFAULT VALUES: files have no defaults")
    return Statement(found.query(at, len(found.tokens)), InsertInto(table, columns, by_name))
