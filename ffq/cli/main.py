"""The command `ffq`: its subcommands, and the one place where it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ffq.cli.commands.cancel import cancel
from ffq.cli.commands.conformance import conformance
from ffq.cli.commands.demo import demo
from ffq.cli.commands.fetch import fetch
from ffq.cli.commands.gateway import gateway
from ffq.cli.commands.sql import EXAMPLES, sql
from ffq.cli.commands.status import status
from ffq.cli.commands.submit import submit
from ffq.cli.commands.worker import worker
from ffq.cli.errors import EXIT_CODES, OK, Reporting
from ffq.cli.output.consoles import flushed, prepare_streams

app = typer.Typer(
    name="ffq",
    help="Distributed queries over Arrow data: one gateway, any number of workers.",
    epilog=EXIT_CODES,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (gateway, worker, submit, status, fetch, cancel, demo, conformance):
    app.command(epilog=EXIT_CODES)(_command)
app.command(epilog=f"{EXAMPLES}\n\n{EXIT_CODES}")(sql)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ffq {version('ffq-runtime')}")
        raise typer.Exit(OK)


@app.callback(invoke_without_command=True)
def _global(
    context: typer.Context,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="With an error, also show where it came from.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    context.obj.with_traceback = traceback
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; `sys.argv` by default. Returns the exit code, never raises."""
    reporting = Reporting()
    prepare_streams()
    try:
        code = app(args=arguments, prog_name="ffq", standalone_mode=False, obj=reporting)
        if (unwritten := flushed(sys.stdout)) is not None:
            return reporting.report(unwritten)
    except BaseException as error:  # noqa: BLE001 - the end of the line: everything becomes a code
        return reporting.report(error)
    finally:
        flushed(sys.stderr)
    return code if isinstance(code, int) else OK
