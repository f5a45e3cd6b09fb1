"""SQL as a client asks for it: checked, with all that it brings; and told where it is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ffq.client.conversions import TableLike, definitions
from ffq.errors import InvalidQuery, InvalidRequest, words
from ffq.messages import PlanSql
from ffq.plan.inline import InlineTable
from ffq.sql.parameters import Parameters, dump_parameters
from ffq.sql.text import excerpt


def plan_message(
    sql: str,
    parameters: Parameters | None,
    tables: Mapping[str, TableLike],
    inline: Sequence[InlineTable],
    partitions: int = 0,
) -> PlanSql:
    """Of what `Client.plan_sql` takes. Raises InvalidRequest: what is none of it."""
    if not isinstance(sql, str):
        raise InvalidRequest(f"a {type(sql).__name__} is no SQL; right would be a text")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("the query is no text that UTF-8 has") from None
    if not all(isinstance(each, InlineTable) for each in inline):
        raise InvalidRequest(f"inline: {words(inline, 80)}; right would be InlineTables")
    return PlanSql(
        sql,
        dump_parameters(parameters),
        definitions(tables),
        os.getcwd(),
        partitions,
        tuple(inline),
    )


@contextmanager
def place_shown(sql: str) -> Iterator[None]:
    """What is said to be wrong with the text has a note that shows the place."""
    try:
        yield
    except InvalidQuery as error:
        if shown := excerpt(sql, error):
            error.add_note(shown)
        raise
