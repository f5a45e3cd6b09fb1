"""What kind of statement a text is."""

from __future__ import annotations

import enum
from typing import Final

import duckdb

from ffq.errors import InvalidQuery
from ffq.sql.text import query_error, tokens

ENGINE_ERRORS: Final = (duckdb.Error, UnicodeDecodeError)
"""What the engine raises of a text: at times its own words are cut within a character."""

_STATEMENT: Final = duckdb.StatementType


class StatementKind(enum.Enum):
    """Of the statements that there are, those that this engine may be asked for."""

    QUERY = "query"
    COPY = "COPY"
    INSERT = "INSERT"
    CREATE = "CREATE"
    EXPLAIN = "EXPLAIN"


_KINDS: Final = {
    _STATEMENT.SELECT: StatementKind.QUERY,
    _STATEMENT.COPY: StatementKind.COPY,
    _STATEMENT.INSERT: StatementKind.INSERT,
    _STATEMENT.CREATE: StatementKind.CREATE,
    _STATEMENT.EXPLAIN: StatementKind.EXPLAIN,
}


def statement_kind(sql: str) -> StatementKind | None:
    """The kind of the one statement in the text; None: it cannot be read as any.

    Raises:
        InvalidQuery: there is none, or several, or one of a kind that is not for this engine.
    """
    try:
        found = duckdb.extract_statements(sql)
    except ENGINE_ERRORS:
        return None  # where, and why, the parser of queries says better
    if not found:
        raise InvalidQuery("the text holds no query")
    if len(found) > 1:
        where = len(found[0].query.encode())
        raise query_error(
            f"one query at a time: the text has {len(found)} statements; the second begins here",
            sql.encode(),
            _first_token(sql.encode(), where),
        )
    kind = _KINDS.get(found[0].type)
    if kind is None:
        if found[0].type == _STATEMENT.MULTI:
            text = sql.encode()
            words = (each for each in tokens(text, 0, len(text)) if each.kind == "word")
            pivot = next((each for each in words if each.value.lower().startswith("pivot")), None)
            raise query_error(
                "PIVOT over values that are only in the data is not planned here; right would be a "
                "list of them: PIVOT t ON x IN ('a', 'b') ...",
                text,
                None if pivot is None else pivot.start,
            )
        raise refused(sql)
    return kind


def refused(sql: str) -> InvalidQuery:
    """A statement by its first word."""
    text = sql.encode()
    first = next(tokens(text, 0, len(text)), None)
    word = first.value.upper() if first is not None else "this statement"
    return query_error(
        f"{word} is no query: what may be asked is a SELECT, WITH, FROM or VALUES, and what may be "
        "written is COPY ... TO or INSERT INTO",
        text,
        None if first is None else first.start,
    )


def _first_token(text: bytes, start: int) -> int:
    found = next(tokens(text, start, len(text)), None)
    return start if found is None else found.start
