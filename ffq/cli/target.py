"""The coordinator that a command talks to."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import attrs
import typer

from ffq.cli.options import coordinator_endpoint, settings_of

if TYPE_CHECKING:
    from ffq.client import Client

PATIENCE_MS = 5_000


@attrs.frozen
class Target:
    """`patience_ms`: how long a call tries to reach it.

    Also while a query is waited for: a coordinator that was restarted knows it no more.
    """

    endpoint: str
    patience_ms: int

    def connect(self) -> AbstractAsyncContextManager[Client]:
        """A client; nothing is sent before its first call."""
        from ffq.client.connecting import open_client

        return open_client(self.endpoint, timeout_ms=self.patience_ms)


def target_of(context: typer.Context) -> Target:
    """Where the command's flags and variables say it is.

    Raises:
        InvalidRequest: a bad value; names the flag or the variable it came from.
    """
    patience_ms = settings_of(context).integer(
        "timeout_ms", "FFQ_CLIENT_TIMEOUT_MS", PATIENCE_MS, minimum=0
    )
    return Target(coordinator_endpoint(context.params["coordinator"]), patience_ms)
