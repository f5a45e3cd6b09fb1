"""What a scenario is, and how long it waits for what."""

from __future__ import annotations

import attrs

from ffq.testing.declared import DeclaredSettings
from ffq.testing.steps import Step
from ffq.testing.wire import TaskState

OK = TaskState.SUCCEEDED
BAD = TaskState.FAILED

MAX_WIDTH = 100
MAX_THRESHOLD = 12


@attrs.frozen
class Scenario:
    """A list of steps.

    Attributes:
        rules: what it is there for.
        waits_ms: how long it waits by itself, if the coordinator is quick.
        wide: map stages of the plan "wide".
    """

    name: str
    rules: tuple[str, ...]
    steps: tuple[Step, ...]
    waits_ms: int = 0
    wide: int = 3


def patience_ms(declared: DeclaredSettings) -> int:
    """How long something that is due at once may take."""
    return 2 * declared.slack_ms


def retry_ms(declared: DeclaredSettings, failures: int = 1) -> int:
    """How long the retry after so many failures may take."""
    return declared.backoff_ms(failures) + patience_ms(declared)
