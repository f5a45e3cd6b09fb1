"""DESCRIBE, SUMMARIZE and SHOW: where they stand in the text, and the query that each is. Pure.

The engine's parser makes tables in FROM of them, and says of none where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ffq.engine.sql import text
from ffq.sql.text import Edit, Token, query_error, tokens

_KEYWORDS: Final = frozenset({"describe", "desc", "summarize", "show"})
_TABLES: Final = '"tables"'
"""What the parser calls the list of all tables."""


@attrs.frozen
class TableList:
    """`SHOW TABLES`: bytes [start, end) of the text."""

    start: int
    end: int

    def edit(self, names: Iterable[str]) -> Edit:
        """The tables as rows of the query itself."""
        listed = ", ".join(map(text, sorted(names)))
        query = f"SELECT unnest(CAST([{listed}] AS VARCHAR[])) AS name ORDER BY ALL"
        return Edit(self.start, self.end, query.encode())


class ShownTables:
    """Finds each in turn, in the order of the text."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        found = list(tokens(text, 0, len(text)))
        pairs = zip(found, [*found[1:], None], strict=True)
        self._left = [pair for pair in pairs if pair[0].value.lower() in _KEYWORDS]
        self.lists: list[TableList] = []
        self.edits: list[Edit] = []

    def named(self, name: str) -> Token | None:
        """Where the table stands that one of them names; None: none does."""
        _, token = self._take(name)
        return token

    def read(self, node: Mapping[str, Any]) -> tuple[str, Token | None] | None:
        """The table of `SHOW t`, which then reads DESCRIBE; None: what is shown is told otherwise.

        Raises InvalidQuery: what is shown is none of tables.
        """
        if "query" in node:
            return None
        name: str = node.get("table_name", "")
        is_list = node["show_type"] == "SHOW_SPECIAL" and name == _TABLES
        keyword, token = self._take("tables" if is_list else name)
        if node["show_type"] == "SHOW":
            if keyword is not None:
                self.edits.append(Edit(keyword.start, keyword.end, b"DESCRIBE"))
            return name, token
        if not is_list or keyword is None or token is None:
            raise query_error(
                "of all that the engine shows there are the tables: right would be SHOW TABLES, "
                "or DESCRIBE with a table, a query or a file",
                self._text,
                self._left[0][0].start if self._left else None,
            )
        self.lists.append(TableList(keyword.start, token.end))
        return None

    def _take(self, name: str) -> tuple[Token, Token] | tuple[None, None]:
        for at, (keyword, token) in enumerate(self._left):
            if token is not None and token.value.lower() == name.lower():
                del self._left[at]
                return keyword, token
        return None, None


def as_query(text: bytes) -> tuple[Edit, Edit]:
    """What makes a query of a statement that is one of these."""
    found = list(tokens(text, 0, len(text)))
    while found[-1].raw == b";":
        found.pop()
    end = found[-1].end
    return Edit(0, 0, b"FROM ("), Edit(end, end, b")")
