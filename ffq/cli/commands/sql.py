"""`ffq sql`."""

from __future__ import annotations

from typing import Annotated

import typer

from ffq.cli.options import FormatOption, OutputOption
from ffq.cli.output.formats import choose_format
from ffq.errors import InvalidRequest


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A query in DuckDB's SQL.")],
    table: Annotated[
        list[str] | None,
        typer.Option(help="A table that the query may read.", metavar="NAME=PATH"),
    ] = None,
    workers: Annotated[int, typer.Option(help="Workers of the embedded cluster.", min=1)] = 2,
    format_: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Run a query over files, distributed over workers of an embedded cluster."""
    from ffq.cli.output.writer import write_result
    from ffq.cli.signals import run_command
    from ffq.client import LocalCluster
    from ffq.sql.prepare import prepare

    chosen = choose_format(format_, output)
    prepared = prepare(query, dict(map(_table, table or [])))

    async def run() -> None:
        async with LocalCluster(workers, tables=prepared.tables) as cluster:
            write_result(await cluster.run(prepared.plan), chosen, output)

    run_command(run)


def _table(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise InvalidRequest(f"--table {text!r}: right would be NAME=PATH")
    return name, path
