"""What goes in and what comes out: anything that is a plan to its bytes, a result to a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, get_args

import pyarrow as pa

from ffq.errors import ExecutionError, InvalidRequest, ShuffleInputError
from ffq.plan.builder import Relation
from ffq.plan.codec import dump_plan
from ffq.plan.model import Node
from ffq.shuffle.ipc import decode_stream

PlanLike: TypeAlias = bytes | str | Node | Relation
"""What may be submitted: plan bytes, JSON text, a plan, or a relation of the builder."""


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
