"""SQL with places for columns: written when it is known which relation they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs

from ffq.engine.sql import identifier
from ffq.errors import InvalidRequest, words

MOST_CHARACTERS: Final = 1 << 20
"""Of one expression. One that is added to itself doubles each time."""


@attrs.frozen
class Named:
    """A column, by its name."""

    name: str


@attrs.frozen
class Over:
    """Where the window of a function begins."""

    sql: str = " OVER ("


Pieces: TypeAlias = tuple[str | Named | Over, ...]


def joined(*parts: str | Over | Pieces) -> Pieces:
    """Parts one after the other. Raises InvalidRequest: an expression that grew without bound."""
    pieces: list[str | Named | Over] = []
    size = 0
    for part in parts:
        for piece in (part,) if isinstance(part, str | Over) else part:
            size += len(piece.name if isinstance(piece, Named) else _sql(piece))
            if pieces and isinstance(piece, str) and isinstance(pieces[-1], str):
                pieces[-1] += piece
            else:
                pieces.append(piece)
    if size > MOST_CHARACTERS:
        raise InvalidRequest(
            f"an expression has more than {MOST_CHARACTERS} characters of SQL; right would be "
            "with_columns for its parts"
        )
    return tuple(pieces)


def listed(parts: Sequence[Pieces]) -> Pieces:
    """With commas between."""
    found: list[str | Pieces] = []
    for at, part in enumerate(parts):
        found.extend((", ", part) if at else (part,))
    return joined(*found)


def written(pieces: Pieces, relation: str) -> str:
    """The SQL over the columns of a relation of this name in FROM."""
    return "".join(
        f"{relation}.{identifier(piece.name)}" if isinstance(piece, Named) else _sql(piece)
        for piece in pieces
    )


def shown(pieces: Pieces) -> str:
    """As `written`, for people: columns by their names alone."""
    return "".join(piece.name if isinstance(piece, Named) else _sql(piece) for piece in pieces)


def _sql(piece: str | Over) -> str:
    return piece if isinstance(piece, str) else piece.sql


def has_window(pieces: Pieces) -> bool:
    """Whether a window function is in it, as far as it was not written as SQL."""
    return any(isinstance(piece, Over) for piece in pieces)


def columns_in(pieces: Pieces) -> list[str]:
    """The names of the columns, as they come."""
    return [piece.name for piece in pieces if isinstance(piece, Named)]


def checked_column(name: object) -> str:
    """Raises InvalidRequest: no name of a column."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidRequest(
            f"a column is called {words(name, 80)}; right would be a text that is not empty"
        )
    return name
