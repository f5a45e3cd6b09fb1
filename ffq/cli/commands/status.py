"""`ffq status`."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from ffq.cli.options import CoordinatorOption, TimeoutOption
from ffq.cli.output.formats import require_stdout
from ffq.cli.target import target_of

if TYPE_CHECKING:
    from ffq.messages import AttemptStatus, QueryStatus


class StatusFormat(enum.StrEnum):
    TABLE = "table"
    JSON = "json"


def status(
    context: typer.Context,
    query_id: Annotated[
        str | None, typer.Argument(metavar="[QUERY_ID]", show_default=False)
    ] = None,
    format_: Annotated[
        StatusFormat,
        typer.Option("--format", help="For people, or one JSON object; its times are unix ms."),
    ] = StatusFormat.TABLE,
    coordinator: CoordinatorOption = None,
    timeout_ms: TimeoutOption = None,
) -> None:
    """Show one query with its stages and attempts; without an id, all workers and queries."""
    import trio

    from ffq.cli.output.consoles import stdout_console
    from ffq.cli.output.grid import print_grid
    from ffq.cli.output.queries import queries_grid, status_json, workers_grid

    require_stdout()
    target = target_of(context)
    console = stdout_console()

    async def run() -> None:
        async with target.connect() as client:
            if query_id is not None:
                query, attempts = await client.status(query_id), await client.attempts(query_id)
                if format_ is StatusFormat.JSON:
                    typer.echo(status_json(query=query, attempts=attempts))
                else:
                    _show(query, attempts)
                return
            workers, queries = await client.workers(), await client.queries()
        if format_ is StatusFormat.JSON:
            typer.echo(status_json(workers=workers, queries=queries))
            return
        print_grid(console, workers_grid(workers))
        typer.echo()
        print_grid(console, queries_grid(queries))

    trio.run(run)


def _show(query: QueryStatus, attempts: tuple[AttemptStatus, ...]) -> None:
    from ffq.cli.output.attempts import attempts_grid
    from ffq.cli.output.consoles import stdout_console
    from ffq.cli.output.grid import print_grid, visible
    from ffq.cli.output.queries import duration, local_time, stages_grid

    console = stdout_console()
    typer.echo(f"{query.query_id} {query.state.name}")
    typer.echo(f"submitted {local_time(query.submitted_at_ms)}")
    if query.finished_at_ms is not None:
        typer.echo(f"took {duration(query)} ms")
    if query.message:
        typer.echo(f"message: {visible(query.message)}")
    for grid in (stages_grid(query.stages), attempts_grid(attempts, "Attempts")):
        typer.echo()
        print_grid(console, grid)
