"""The physical plan JSON, as other FFQ clients send it.

An enum variant with fields is `{"Variant": {...}}`, with one value `{"Variant": value}`, with
several `{"Variant": [a, b]}`, without any `"Variant"`. Unknown variants are refused, unknown
object keys ignored. Reading is bounded and never trusts its input; writing gives canonical JSON
that reads back as the same plan.
"""

from __future__ import annotations

import hashlib
import json

from ffq.errors import InvalidPlan
from ffq.plan.codec.cursor import Budget, Cursor, Json, check_size, load_json
from ffq.plan.codec.nodes import NODE
from ffq.plan.codec.types import SCHEMA, data_type
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.model import Node
from ffq.plan.terms import Schema

__all__ = ["data_type", "dump_plan", "parse_plan", "parse_schema", "plan_digest"]


def parse_plan(data: bytes, *, limits: PlanLimits = DEFAULT_LIMITS) -> Node:
    """Read a plan (R1).

    Raises:
        InvalidPlan: out of bounds, not JSON, or not a plan; the message holds the JSON path, as
            in `plan.Project.input.Filter.predicate: unknown expression 'Foo'; known: ...`.
    """
    return NODE.read(Cursor.root(load_json(data, limits), "plan", limits))


def dump_plan(node: Node, *, limits: PlanLimits = DEFAULT_LIMITS) -> bytes:
    """Write a plan as compact JSON, the same bytes for equal plans.

    Raises:
        InvalidPlan: the plan is out of bounds, so that no reader would take it.
    """
    try:
        value = NODE.write(node, Budget(limits))
    except RecursionError:  # a level of the plan takes several of the writer
        raise InvalidPlan(f"the plan nests deeper than {limits.max_depth} JSON levels") from None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode()
    except ValueError as error:  # NaN and infinity, or a lone surrogate
        raise InvalidPlan(f"the plan holds a value that JSON cannot carry: {error}") from None
    check_size(data, limits)
    return data


def plan_digest(data: bytes) -> bytes:
    """What tells one plan's bytes from another's: 32 bytes (R1). Takes about 1.3 ms a MiB."""
    return hashlib.blake2b(data, digest_size=32).digest()


def parse_schema(value: Json, name: str) -> Schema:
    """Read a schema from parsed JSON or TOML; `name` begins the path in errors.

    Raises:
        InvalidPlan: not a schema.
    """
    return SCHEMA.read(Cursor.root(value, name, DEFAULT_LIMITS))
