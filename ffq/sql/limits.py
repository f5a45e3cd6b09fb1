"""What planning a query may take."""

from __future__ import annotations

import attrs
from attrs import validators


@attrs.frozen
class PlanningLimits:
    """
    Attributes:
        time_ms: from when its process has begun with it.
        memory_bytes: of the process, beyond the files that it maps.
    """

    time_ms: int = attrs.field(default=10_000, validator=validators.ge(1))
    memory_bytes: int = attrs.field(default=1024 * 1024 * 1024, validator=validators.ge(1))
