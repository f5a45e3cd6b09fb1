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
    """Show one query with its stages and attempts; without an id, all workers and queries.

    A coordinator of another make is asked for what it knows: one query and its stages.
    """

    from ffq.cli.output.consoles import stdout_console
    from ffq.cli.output.queries import queries_grid, status_json, workers_grid
    from ffq.cli.signals import run_command
    from ffq.display.grid import print_grid
    from ffq.errors import UnsupportedPlan

    require_stdout()
    target = target_of(context)
    console = stdout_console()

    async def run() -> None:
        async with target.connect() as client:
            if query_id is not None:
                query = await client.status(query_id)
                attempts, lacking = None, ""
                try:
                    attempts = await client.attempts(query_id)
                except UnsupportedPlan as error:
                    lacking = f"no attempts: {error.message}"
                if format_ is StatusFormat.JSON:
                    typer.echo(status_json(query=query, attempts=attempts))
                else:
                    _show(query, attempts, lacking)
                return
            try:
                workers, queries = await client.workers(), await client.queries()
            except UnsupportedPlan as error:
                raise UnsupportedPlan(
                    f"{error.message}; right would be the id of a query: ffq status QUERY_ID"
                ) from None
        if format_ is StatusFormat.JSON:
            typer.echo(status_json(workers=workers, queries=queries))
            return
        print_grid(console, workers_grid(workers))
        typer.echo()
        print_grid(console, queries_grid(queries))

    run_command(run)


def _show(query: QueryStatus, attempts: tuple[AttemptStatus, ...] | None, lacking: str) -> None:
    """`attempts` None: the coordinator cannot tell, and `lacking` says why."""
    from ffq.cli.output.attempts import attempts_grid
    from ffq.cli.output.consoles import stdout_console
    from ffq.cli.output.queries import decisions_text, duration, local_time, stages_grid
    from ffq.display.grid import print_grid, visible

    console = stdout_console()
    typer.echo(f"{query.query_id} {query.state.name}")
    typer.echo(f"submitted {local_time(query.submitted_at_ms)}")
    if query.finished_at_ms is not None:
        typer.echo(f"took {duration(query)} ms")
    if query.message:
        typer.echo(f"message: {visible(query.message)}")
    grids = [stages_grid(query.stages)]
    if attempts is not None:
        grids.append(attempts_grid(attempts, "Attempts"))
    for grid in grids:
        typer.echo()
        print_grid(console, grid)
    if decided := decisions_text(query):
        typer.echo(f"\n{visible(decided)}")
    if lacking:
        typer.echo(f"\n{lacking}")
