"""EXPLAIN: the query that it is about, and the rows that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ffq.errors import InvalidQuery
from ffq.plan.bound import Constant, Place, SqlType
from ffq.plan.explain import Estimate, explain_logical, explain_stages
from ffq.plan.model import Node, Project, Values
from ffq.plan.stages import cut
from ffq.plan.terms import Bound
from ffq.sql.text import Token, query_error, tokens

_VARCHAR: Final = SqlType("VARCHAR")
COLUMNS: Final = (("explain_key", "VARCHAR"), ("explain_value", "VARCHAR"))
_ANALYZE: Final = frozenset({"analyze", "analyse"})
_OPTIONS: Final = _ANALYZE | {"format"}


@attrs.frozen
class Explain:
    """What EXPLAIN is about.

    Attributes:
        query: at its own places in the text.
        analyze: the place of ANALYZE, with which it is to be run; None: it is not there.
    """

    text: bytes
    query: str
    analyze: Token | None

    def refused(self) -> InvalidQuery:
        """Of ANALYZE, where nothing is run."""
        return query_error(
            "EXPLAIN ANALYZE runs its query, and here it is planned only; right would be EXPLAIN, "
            "or ffq sql --analyze",
            self.text,
            None if self.analyze is None else self.analyze.start,
        )


def is_explain(sql: str) -> bool:
    """Whether the text begins as one."""
    text = sql.encode()
    return next((one.raw.lower() for one in tokens(text, 0, len(text))), b"") == b"explain"


def read_explain(sql: str) -> Explain:
    """Of a text that is one.

    Raises InvalidQuery: it has options that are not known; says where.
    """
    text = sql.encode()
    found = list(tokens(text, 0, len(text)))
    words = [token.value.lower() for token in found[1:3]]
    if words[:1] == ["("] and words[1:] and words[1] in _OPTIONS:
        raise query_error(
            "EXPLAIN has no options in brackets here; right would be EXPLAIN or EXPLAIN ANALYZE",
            text,
            found[1].start,
        )
    analyze = found[1] if words[:1] and words[0] in _ANALYZE else None
    end = (analyze or found[0]).end
    blank = "".join("\n" if sign == "\n" else " " for sign in text[:end].decode())
    return Explain(text, blank + text[end:].decode(), analyze)


def explained(plan: Node, sizes: Mapping[str, Estimate], choices: Sequence[str]) -> Node:
    """A plan whose rows tell of another: what it computes, and in which stages."""
    parts = {
        "logical_plan": explain_logical(plan, sizes),
        "physical_plan": explain_stages(cut(plan), sizes),
        **({"choices": "\n".join(choices)} if choices else {}),
    }
    rows = tuple((Constant(_VARCHAR, key), Constant(_VARCHAR, said)) for key, said in parts.items())
    named = ((Bound(Place(at)), name) for at, (name, _) in enumerate(COLUMNS))
    return Project(tuple(named), Values((_VARCHAR, _VARCHAR), rows))
