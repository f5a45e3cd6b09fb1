"""`ffq fetch`."""

from __future__ import annotations

from functools import partial

import typer

from ffq.cli.options import (
    CoordinatorOption,
    FormatOption,
    OutputOption,
    QueryIdArgument,
    TimeoutOption,
)
from ffq.cli.output.formats import choose_format
from ffq.cli.target import target_of


def fetch(
    context: typer.Context,
    query_id: QueryIdArgument,
    format_: FormatOption = None,
    output: OutputOption = None,
    coordinator: CoordinatorOption = None,
    timeout_ms: TimeoutOption = None,
) -> None:
    """Write the result of a query that has succeeded."""

    from ffq.cli.output.writer import write_result
    from ffq.cli.signals import run_command

    chosen = choose_format(format_, output)
    target = target_of(context)

    async def run() -> None:
        async with target.connect() as client:
            await client.read(query_id, partial(write_result, chosen=chosen, output=output))

    run_command(run)
