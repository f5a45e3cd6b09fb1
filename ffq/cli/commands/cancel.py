"""`ffq cancel`."""

from __future__ import annotations

from typing import Annotated

import typer

from ffq.cli.options import CoordinatorOption, QueryIdArgument, TimeoutOption
from ffq.cli.target import target_of


def cancel(
    context: typer.Context,
    query_id: QueryIdArgument,
    reason: Annotated[
        str, typer.Option(help="Kept in the query's status.")
    ] = "canceled by the user",
    coordinator: CoordinatorOption = None,
    timeout_ms: TimeoutOption = None,
) -> None:
    """Cancel a query that is queued or running; of one that has ended, say how."""
    from ffq.cli.signals import run_command

    target = target_of(context)

    async def run() -> None:
        async with target.connect() as client:
            state = await client.cancel(query_id, reason)
        typer.echo(f"{query_id} {state.name}")

    run_command(run)
