"""What goes in and what comes out: anything that is a plan to its bytes, a result to a table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias, get_args

import pyarrow as pa

from ffq.errors import ExecutionError, InvalidRequest, ShuffleInputError, words
from ffq.plan.builder import Relation
from ffq.plan.codec import dump_plan
from ffq.plan.model import Node
from ffq.shuffle.ipc import decode_stream

PlanLike: TypeAlias = bytes | str | Node | Relation
"""What may be submitted: plan bytes, JSON text, a plan, or a relation of the builder."""


TableLike: TypeAlias = str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, Any]
"""A path, folder or glob, or several of them; or all that an entry of a catalog file may say."""


def definitions(tables: Mapping[str, TableLike]) -> tuple[str, ...]:
    """Tables by name as entries of a catalog file, each in JSON; their paths are absolute.

    Raises:
        InvalidRequest: one that is none of these; it is named.
    """
    if not isinstance(tables, Mapping):
        raise InvalidRequest(f"tables: {words(tables)}; right would be a dict of names and paths")
    return tuple(_definition(name, where) for name, where in tables.items())


def _definition(name: str, where: TableLike) -> str:
    entry = dict(where) if isinstance(where, Mapping) else {"paths": where}
    found = entry.pop("uri", None) if not entry.get("paths") else entry.get("paths")
    paths = [found] if isinstance(found, str | PathLike) else found
    whole = isinstance(paths, Sequence) and all(isinstance(one, str | PathLike) for one in paths)
    if not isinstance(name, str) or not whole or not paths:
        raise InvalidRequest(
            f"tables[{words(name)}] is {words(where)}; right would be a path, with * if need be, "
            "a list of paths, or a dict as an entry of a catalog file"
        )
    try:
        return json.dumps({**entry, "name": name, "paths": list(map(_absolute, paths))})
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"tables[{words(name)}] is not JSON: {error}") from None


def _absolute(path: str | PathLike[str]) -> str:
    text = os.fspath(path)
    return text if "://" in text else os.path.abspath(text)


def plan_bytes(plan: PlanLike) -> bytes:
    """The JSON to submit; bytes and text go as they are, the coordinator checks them.

    Raises:
        InvalidPlan, PlanningError: a plan or relation that no coordinator would take.
        InvalidRequest: it is none of these.
    """
    match plan:
        case bytes():
            return plan
        case str():
            return plan.encode()
        case Relation():
            return plan.to_json()
        case _ if isinstance(plan, get_args(Node)):
            return dump_plan(plan)
        case _:
            raise InvalidRequest(
                f"a {type(plan).__name__} is no plan; right would be a relation of ffq.plan, such "
                f'as ffq.plan.scan("t"), or the JSON of a plan as bytes or text'
            )


def table_of(chunks: Sequence[bytes]) -> pa.Table:
    """The whole result; no bytes at all: no columns, no rows (R26).

    Raises:
        ExecutionError: it is no Arrow IPC stream.
    """
    if not any(chunks):
        return pa.table({})
    try:
        return decode_stream(chunks).read_all()
    except (ShuffleInputError, pa.ArrowInvalid, OSError) as error:
        raise ExecutionError(f"the result is no Arrow IPC stream: {error}") from error
