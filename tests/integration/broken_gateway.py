"""`python -m tests.integration.broken_gateway ...`: the command line, with one rule broken.

FFQ_TEST_BREAK says which.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from ffq.cli.main import main
from ffq.core import lifecycle, reporting
from ffq.core.workers import WorkerTable
from ffq.messages import CancelReply, QueryState, TaskState


def cancel_overwrites_success() -> None:
    def cancel_query(state: Any, msg: Any, now_ms: int) -> CancelReply:
        query = state.query(msg.query_id)
        if query.state is QueryState.SUCCEEDED:
            query.state = QueryState.CANCELED
            return CancelReply(query.query_id, query.state)
        return sound(state, msg, now_ms)

    sound = lifecycle.cancel_query
    lifecycle.cancel_query = cancel_query


def exclusion_is_forgotten() -> None:
    WorkerTable.is_excluded = lambda *_: False  # type: ignore[method-assign]


def layouts_are_not_compared() -> None:
    def counts(at: Any, *_: Any) -> bool:
        return bool(at.attempt.state is TaskState.RUNNING)

    reporting._counts = counts


BREAKS: dict[str, Callable[[], None]] = {
    "cancel overwrites success": cancel_overwrites_success,
    "exclusion is forgotten": exclusion_is_forgotten,
    "layouts are not compared": layouts_are_not_compared,
}

if __name__ == "__main__":
    BREAKS[os.environ["FFQ_TEST_BREAK"]]()
    sys.exit(main())
