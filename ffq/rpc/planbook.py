"""The plans that a worker's stream has spoken of: each goes over it once, and is named after that.

Both ends keep the last ones, in the order in which they were named. An end that has less room than
the other one lacks a plan now and then, and asks for it again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

MAX_PLANS: Final = 256
MAX_PLAN_BYTES: Final = 32 << 20
"""Of all plans together; one that is larger is kept alone."""


@attrs.define
class PlanBook:
    """Plans by digest, the one that was named longest ago first. Sizes in bytes."""

    max_plans: int = MAX_PLANS
    max_bytes: int = MAX_PLAN_BYTES
    _plans: OrderedDict[bytes, bytes] = attrs.field(factory=OrderedDict)
    _digests: dict[bytes, bytes] = attrs.field(factory=dict)
    """By plan: most are looked for by the very bytes that are here."""
    _bytes: int = 0

    def plan(self, digest: bytes) -> bytes | None:
        """The plan that is named; None: it is not here (any more)."""
        plan = self._plans.get(digest)
        if plan is not None:
            self._plans.move_to_end(digest)
        return plan

    def digest(self, plan: bytes) -> bytes | None:
        """How a plan is named that was spoken of; None: it was not, or too long ago."""
        digest = self._digests.get(plan)
        if digest is not None:
            self._plans.move_to_end(digest)
        return digest

    def put(self, digest: bytes, plan: bytes) -> None:
        """It is spoken of. Others go, where there is no room."""
        before = self._plans.pop(digest, None)
        if before is not None:
            self._forget(before)
        self._plans[digest] = plan
        self._digests[plan] = digest
        self._bytes += len(plan)
        while len(self._plans) > self.max_plans or (
            self._bytes > self.max_bytes and len(self._plans) > 1
        ):
            self._forget(self._plans.popitem(last=False)[1])

    def _forget(self, plan: bytes) -> None:
        del self._digests[plan]
        self._bytes -= len(plan)
