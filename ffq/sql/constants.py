"""The text of a query with its parameters' values in it, where it is to be a part of another."""

from __future__ import annotations

from ffq.sql.files import parameter_edits
from ffq.sql.parameters import load_parameters
from ffq.sql.parsing import QueryParser
from ffq.sql.text import Edited


def with_constants(sql: str, parameters: bytes) -> str:
    """
    Args:
        parameters: values, as they travel.

    Raises:
        InvalidQuery: it is no query; a parameter without a value, or a value without a parameter.
        InvalidRequest: no type of SQL holds a value.
    """
    parser = QueryParser()
    try:
        parsed = parser.parse(sql)
    finally:
        parser.close()
    edits = parameter_edits(parsed, load_parameters(parameters))
    return Edited.of(parsed.text, edits).text.decode()
