"""Bounds on what a plan may be (R30): checked while it is read, written and cut."""

from __future__ import annotations

import attrs
from attrs import validators

# Every nested JSON container costs the recursive readers a few Python frames, and the interpreter
# allows 1,000 of them: a larger bound would turn an honest error into a RecursionError.
MAX_SAFE_DEPTH = 256


@attrs.frozen
class PlanLimits:
    """Bounds of one plan.

    Attributes:
        max_bytes: length of the JSON text, in bytes.
        max_depth: nesting of JSON objects and arrays, at most 256. (Rust's reader stops at 128.)
        max_nodes: plan nodes and expressions together.
        max_partitions: partitions of one exchange.
        max_stages: stages that the plan is cut into.
    """

    max_bytes: int = attrs.field(default=4 * 1024 * 1024, validator=validators.ge(1))
    max_depth: int = attrs.field(
        default=MAX_SAFE_DEPTH, validator=[validators.ge(1), validators.le(MAX_SAFE_DEPTH)]
    )
    max_nodes: int = attrs.field(default=100_000, validator=validators.ge(1))
    max_partitions: int = attrs.field(default=10_000, validator=validators.ge(1))
    max_stages: int = attrs.field(default=1_000, validator=validators.ge(1))


DEFAULT_LIMITS = PlanLimits()
