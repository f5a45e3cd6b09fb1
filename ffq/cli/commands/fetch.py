"""`ffq fetch`."""

from __future__ import annotations

from ffq.cli.options import (
    PATIENCE_MS,
    CoordinatorOption,
    FormatOption,
    OutputOption,
    QueryIdArgument,
    coordinator_endpoint,
)
from ffq.cli.output.formats import choose_format


def fetch(
    query_id: QueryIdArgument,
    format_: FormatOption = None,
    output: OutputOption = None,
    coordinator: CoordinatorOption = None,
) -> None:
    """Write the result of a query that has succeeded."""
    import trio

    from ffq.cli.output.writer import write_result
    from ffq.client import connect

    chosen = choose_format(format_, output)
    endpoint = coordinator_endpoint(coordinator)

    async def run() -> None:
        async with connect(endpoint, timeout_ms=PATIENCE_MS) as client:
            result = await client.fetch(query_id)
        write_result(result, chosen, output)

    trio.run(run)
