"""The text of a query in bytes: its tokens, changes of it, and places in it. Pure.

The engine's parser says where something stands, at times with what is beside it: the token itself
is found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs

from ffq.errors import InvalidQuery, UnsupportedPlan

# Nothing is gone back over: a text of 10 MB would take 1.6 GB of places to go back to.
_TOKEN: Final = re.compile(
    rb"""
      (?P<space>\s+|--[^\n\r]*|/\*(?:.*?)\*/)
    | (?P<text>'(?:[^']++|'')*+')
    | (?P<name>"(?:[^"]++|"")*+")
    | (?P<dollar>\$(?P<tag>[^\W\d]\w*)?\$.*?\$(?P=tag)?\$)
    | (?P<word>[\w\x80-\xff]++)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = frozenset({b"'", b'"'})
_PLACE: Final = re.compile(r"^line (\d+), column (\d+): ")
_SHOWN: Final = 120
"""Characters of a line that are shown around a place in it."""


@attrs.frozen
class Token:
    """kind: text ('...'), name ("..."), dollar, word or sign. Spaces and comments are none."""

    kind: str
    start: int
    end: int
    raw: bytes

    @property
    def value(self) -> str:
        """What a text or name says, without its quotes."""
        raw = self.raw
        if self.kind in {"text", "name"}:
            quote = raw[:1]
            raw = raw[1:-1].replace(quote * 2, quote)
        return raw.decode(errors="replace")


def tokens(text: bytes, start: int, end: int) -> Iterator[Token]:
    """Those of a part of the text, which begins with none of them half."""
    for found in _TOKEN.finditer(text, start, end):
        kind = found.lastgroup or "sign"
        if kind == "tag":
            kind = "dollar"
        if kind != "space":
            yield Token(kind, found.start(), found.end(), found[0])


def is_whole(sql: str) -> bool:
    """Whether a statement in it ends with a semicolon: not one in a text, a name or a comment."""
    text = sql.encode()
    found = list(tokens(text, 0, len(text)))
    if not found or found[-1].raw != b";":
        return False
    return not any(
        token.raw in _OPENING or text[token.start : token.start + 2] in {b"/*", b"$$"}
        for token in found
        if token.kind == "sign"
    )


@attrs.frozen
class Edit:
    """Bytes [start, end) of a text become others."""

    start: int
    end: int
    by: bytes


@attrs.frozen
class Edited:
    """A text with edits made, and the way back to places in the first one."""

    text: bytes
    first: bytes
    edits: Sequence[Edit] = ()

    @classmethod
    def of(cls, text: bytes, edits: Sequence[Edit]) -> Edited:
        """The edits do not overlap."""
        ordered = sorted(edits, key=lambda edit: edit.start)
        pieces, at = [], 0
        for edit in ordered:
            pieces += [text[at : edit.start], edit.by]
            at = edit.end
        return cls(b"".join((*pieces, text[at:])), text, ordered)

    def over(self, edits: Sequence[Edit]) -> Edited:
        """With other edits of the first text, which win where they hold one of these."""
        kept = [
            each
            for each in self.edits
            if not any(edit.start <= each.start < edit.end for edit in edits)
        ]
        return Edited.of(self.first, [*kept, *edits])

    def original(self, position: int) -> int:
        """The place in the first text; of what was put in, where it stands."""
        moved = 0
        for edit in self.edits:
            begin = edit.start + moved
            if position < begin:
                break
            moved += len(edit.by) - (edit.end - edit.start)
            if position < begin + len(edit.by):
                return edit.start
        return position - moved


def without_place(message: str) -> str:
    """What an error says, but where."""
    return _PLACE.sub("", message)


@contextmanager
def placeless() -> Iterator[None]:
    """Errors of a text that nobody wrote: a line and a column of it would tell nobody anything."""
    try:
        yield
    except (InvalidQuery, UnsupportedPlan) as error:
        raise type(error)(without_place(error.message), reason=error.stable_reason) from None


def before_edits(message: str, edited: Edited) -> InvalidQuery:
    """What is said of a place in an edited text, of that place in the first one."""
    found = _PLACE.match(message)
    if found is None:
        return InvalidQuery(message)
    line, column = int(found[1]), int(found[2])
    lines = edited.text.decode().split("\n")
    before = "".join(f"{each}\n" for each in lines[: line - 1]) + lines[line - 1][: column - 1]
    at = edited.original(len(before.encode()))
    return query_error(without_place(message), edited.first, at)


def place_of(text: bytes, position: int) -> tuple[int, int]:
    """Line and column of a byte, both from 1, in characters."""
    before = text[:position].decode(errors="replace")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def query_error(message: str, text: bytes, position: int | None) -> InvalidQuery:
    """An error about a place in the query's text."""
    if position is None:
        return InvalidQuery(message)
    line, column = place_of(text, position)
    return InvalidQuery(f"line {line}, column {column}: {message}", line=line, column=column)


def excerpt(sql: str, error: InvalidQuery) -> str:
    """The line that an error is about, and below it a caret at the place; of none it is empty."""
    if error.line is None or error.column is None:
        return ""
    lines = sql.split("\n")
    if error.line > len(lines):
        return ""
    line, at = lines[error.line - 1].rstrip("\r"), error.column - 1
    head = f"line {error.line}: "
    begin = max(0, at - _SHOWN // 2)
    shown = "".join(c if c.isprintable() else " " for c in line[begin : begin + _SHOWN])
    before = "…" if begin else ""
    after = "…" if begin + _SHOWN < len(line) else ""
    return f"{head}{before}{shown}{after}\n{' ' * (len(head) + len(before) + at - begin)}^"
