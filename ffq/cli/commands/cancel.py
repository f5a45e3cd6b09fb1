"""`ffq cancel`."""

from __future__ import annotations

from typing import Annotated

import typer

from ffq.cli.options import PATIENCE_MS, CoordinatorOption, QueryIdArgument, coordinator_endpoint


def cancel(
    query_id: QueryIdArgument,
    reason: Annotated[
        str, typer.Option(help="Kept in the query's status.")
    ] = "canceled by the user",
    coordinator: CoordinatorOption = None,
) -> None:
    """Cancel a query that is queued or running; of one that has ended, say how."""
    import trio

    from ffq.client import connect

    endpoint = coordinator_endpoint(coordinator)

    async def run() -> None:
        async with connect(endpoint, timeout_ms=PATIENCE_MS) as client:
            state = await client.cancel(query_id, reason)
        typer.echo(f"{query_id} {state.name}")

    trio.run(run)
