"""`ffq submit`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ffq.cli.options import (
    CoordinatorOption,
    FormatOption,
    OutputOption,
    QueryTimeoutOption,
    TaskTimeoutOption,
    TimeoutOption,
)
from ffq.cli.output.consoles import note
from ffq.cli.output.formats import ResultFormat, choose_format
from ffq.cli.target import Target, target_of
from ffq.errors import (
    InvalidPlan,
    InvalidRequest,
    PlanningError,
    Unavailable,
    UnknownId,
    UnsupportedPlan,
)


def submit(
    context: typer.Context,
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", help="A plan; - reads stdin.")],
    query_id: Annotated[
        str | None,
        typer.Option(help="The query's id; by default a new one.", show_default=False),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end and write the result.")
    ] = False,
    format_: FormatOption = None,
    output: OutputOption = None,
    query_timeout_ms: QueryTimeoutOption = 0,
    task_timeout_ms: TaskTimeoutOption = 0,
    coordinator: CoordinatorOption = None,
    timeout_ms: TimeoutOption = None,
) -> None:
    """Submit a query; print its id, or with --wait its result."""
    from ffq.cli.signals import run_command
    from ffq.messages import Timeouts

    if not wait and (format_ is not None or output is not None):
        raise InvalidRequest("--format and --output write the result: they need --wait")
    chosen = choose_format(format_, output)
    target = target_of(context)
    plan_bytes = read_plan(plan)
    timeouts = Timeouts(query_timeout_ms, task_timeout_ms)

    async def run() -> None:
        async with target.connect() as client:
            try:
                handle = await client.submit(plan_bytes, query_id, timeouts=timeouts)
            except (InvalidPlan, PlanningError, UnsupportedPlan) as error:
                raise type(error)(
                    f"{_name(plan)}: {error.message}", reason=error.stable_reason
                ) from error
        if not wait:
            typer.echo(handle)
            return
        await _wait(target, str(handle), plan, chosen, output)

    run_command(run)


async def _wait(
    target: Target, query_id: str, plan: Path, chosen: ResultFormat, output: Path | None
) -> None:
    """The query is on its way."""
    import trio

    from ffq.cli.output.writer import write_result
    from ffq.cli.progress import shown

    try:
        async with target.connect() as client:
            with shown(f"query {query_id}") as progress:
                await client.wait(query_id, progress)
            await client.read(query_id, partial(write_result, chosen=chosen, output=output))
    except (trio.Cancelled, KeyboardInterrupt):
        note(f"query {query_id} goes on: ffq fetch {query_id}, or ffq cancel {query_id}")
        raise
    except Unavailable:
        note(f"query {query_id} may go on: ffq fetch {query_id} when the coordinator is back")
        raise
    except UnknownId as error:
        if error.stable_reason == UnknownId.reason:  # not EXPIRED, which tells itself
            note(
                f"query {query_id} is not known any more: was the coordinator restarted? Then "
                f"submit {_name(plan)} again"
            )
        raise


def _name(path: Path) -> str:
    return "the plan from stdin" if str(path) == "-" else f"plan file {path}"


def read_plan(path: Path) -> bytes:
    """The bytes of a plan file.

    Raises:
        InvalidRequest: it cannot be read; names it.
    """
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{_name(path)}: {error.strerror}") from error
