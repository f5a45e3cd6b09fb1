"""`ffq status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ffq.cli.options import CoordinatorOption, TimeoutOption
from ffq.cli.target import target_of

if TYPE_CHECKING:
    from ffq.messages import AttemptStatus, QueryStatus


def status(
    context: typer.Context,
    query_id: Annotated[
        str | None, typer.Argument(metavar="[QUERY_ID]", show_default=False)
    ] = None,
    coordinator: CoordinatorOption = None,
    timeout_ms: TimeoutOption = None,
) -> None:
    """Show one query with its stages and attempts; without an id, all workers and queries.

    A coordinator of another make is asked for what it knows: one query and its stages.
    """
    import trio

    from ffq.cli.output.consoles import stdout_console
    from ffq.cli.output.grid import print_grid
    from ffq.cli.output.queries import queries_grid, workers_grid
    from ffq.errors import UnsupportedPlan

    target = target_of(context)
    console = stdout_console()

    async def run() -> None:
        async with target.connect() as client:
            if query_id is not None:
                query = await client.status(query_id)
                try:
                    attempts = await client.attempts(query_id)
                except UnsupportedPlan as error:
                    _show(query, None)
                    typer.echo(f"\nno attempts: {error.message}")
                else:
                    _show(query, attempts)
                return
            try:
                workers, queries = await client.workers(), await client.queries()
            except UnsupportedPlan as error:
                raise UnsupportedPlan(
                    f"{error.message}; right would be the id of a query: ffq status QUERY_ID"
                ) from None
        print_grid(console, workers_grid(workers))
        typer.echo()
        print_grid(console, queries_grid(queries))

    trio.run(run)


def _show(query: QueryStatus, attempts: tuple[AttemptStatus, ...] | None) -> None:
    """`attempts` None: the coordinator cannot tell."""
    from ffq.cli.output.attempts import attempts_grid
    from ffq.cli.output.consoles import stdout_console
    from ffq.cli.output.grid import print_grid
    from ffq.cli.output.queries import duration, local_time, stages_grid

    console = stdout_console()
    typer.echo(f"{query.query_id} {query.state.name}")
    typer.echo(f"submitted {local_time(query.submitted_at_ms)}")
    if query.finished_at_ms is not None:
        typer.echo(f"took {duration(query)} ms")
    if query.message:
        typer.echo(f"message: {query.message}")
    grids = [stages_grid(query.stages)]
    if attempts is not None:
        grids.append(attempts_grid(attempts, "Attempts"))
    for grid in grids:
        typer.echo()
        print_grid(console, grid)
