"""What a planning process and its parent say to each other: frames over pipes, JSON in them.

A frame is its length in 4 bytes, the most significant one first, and as many bytes. The child says
READY; then each request is answered with a header, and where that is no error, with the plan.
Before that it may ask what operators declare: they are in its parent's process.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from ffq import errors
from ffq.errors import FfqError, InvalidQuery, InvariantViolated
from ffq.messages import ClusterSize, PlanSql, SqlColumn, SqlPlan, TableSize
from ffq.sql.declared import Columns, Declared, DeclaredColumns
from ffq.sql.kept import Basis

HEAD_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
READY: Final = b"ready"


@attrs.frozen
class Hello:
    """What a child is told when it starts.

    Attributes:
        tables: definitions of the catalog's tables, in JSON.
        client_tables: whether queries may bring tables, or name files.
        one_task_bytes: a query that reads less is one task; 0: none is.
    """

    tables: tuple[str, ...]
    client_tables: bool
    one_task_bytes: int

    def dump(self) -> bytes:
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Hello:
        found = json.loads(data)
        return cls(tuple(found["tables"]), found["client_tables"], found["one_task_bytes"])


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(HEAD_BYTES, "big") + data


def dump_request(message: PlanSql, cluster: ClusterSize, *, again: bool = False) -> bytes:
    """`again`: the answer may be kept, and says as what it found the tables' files."""
    return json.dumps(
        {
            "again": again,
            "sql": message.sql,
            "parameters": message.parameters_json.decode(errors="replace"),
            "tables": list(message.tables),
            "folder": message.folder,
            "partitions": message.partitions,
            "cluster": [cluster.slots, cluster.workers],
            "inline": [
                [each.name, base64.b64encode(each.parquet).decode()] for each in message.inline
            ],
        }
    ).encode()


def dump_reply(reply: SqlPlan, basis: Basis | None = None) -> bytes:
    """The header of an answer; `plan_bytes` goes after it, in a frame of its own."""
    return json.dumps(
        {
            "basis": basis and [basis.definitions, dict(basis.versions)],
            "columns": [[column.name, column.type] for column in reply.columns],
            "tables": list(reply.tables),
            "sizes": [[one.name, one.rows, one.bytes] for one in reply.sizes],
            "choices": list(reply.choices),
        }
    ).encode()


def dump_error(error: FfqError) -> bytes:
    place = (error.line, error.column) if isinstance(error, InvalidQuery) else (None, None)
    found = {
        "kind": type(error).__name__,
        "message": error.message,
        "reason": error.stable_reason,
        "place": place,
    }
    return json.dumps({"error": found}).encode()


def dump_question(name: str, config: Mapping[str, str], columns: Columns) -> bytes:
    """In place of an answer: what does an operator declare, over an input of these columns?"""
    return json.dumps({"operator": [name, dict(config), list(columns)]}).encode()


def answered(question: Sequence[Any], declared: DeclaredColumns) -> bytes:
    """The parent's answer: the operators are in its process."""
    name, config, columns = question
    try:
        found = declared(name, config, [(column, kind) for column, kind in columns])
    except FfqError as error:
        return dump_error(error)
    listed = None if found.columns is None else list(found.columns)
    return json.dumps({"declared": [listed, found.unknown]}).encode()


def load_declared(answer: bytes) -> Declared:
    """Raises the error that it tells of."""
    listed, unknown = load_header(answer)["declared"]
    return Declared(None if listed is None else [(name, kind) for name, kind in listed], unknown)


def load_header(header: bytes) -> Mapping[str, Any]:
    """Raises the error that it tells of."""
    found: Mapping[str, Any] = json.loads(header)
    if (told := found.get("error")) is None:
        return found
    kind = getattr(errors, told["kind"], InvariantViolated)
    if kind is InvalidQuery:
        line, column = told["place"]
        raise InvalidQuery(told["message"], line=line, column=column, reason=told["reason"])
    raise kind(told["message"], reason=told["reason"])


def load_basis(header: Mapping[str, Any]) -> Basis | None:
    """What an answer holds for; None: it may be another one each time."""
    if (found := header["basis"]) is None:
        return None
    definitions, versions = found
    return Basis(tuple(definitions), versions)


def load_reply(header: Mapping[str, Any], plan: bytes) -> SqlPlan:
    columns = tuple(SqlColumn(name, kind) for name, kind in header["columns"])
    sizes = tuple(TableSize(*each) for each in header["sizes"])
    return SqlPlan(plan, columns, tuple(header["tables"]), sizes, tuple(header["choices"]))
