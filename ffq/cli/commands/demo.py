"""`ffq demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    scale: Annotated[float, typer.Option(help="TPC-H scale factor; 1 is about 1 GB.")] = 0.1,
    workers: Annotated[int, typer.Option(min=2, max=16, help="Worker processes.")] = 2,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the temporary folder: logs and shuffle files.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the processes log.")
    ] = False,
    write_files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run nothing: write TPC-H data, tables.json, q1.json and q3.json into DIR.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """See a query survive the death of a worker.

    Writes TPC-H data (kept in the cache for the next time), starts a gateway and workers as
    separate processes, runs Q1, Q3 and a query with a custom operator that only one worker has,
    kills a worker while it runs a task of Q3, and compares every answer with DuckDB's.
    Exits with 0 only if all answers match and the killed worker's task was seen to be retried.
    """
    from ffq.cli.demo.data import check_scale

    check_scale(scale)
    if write_files is not None:
        from ffq.cli.demo.files import write_example

        write_example(write_files, scale)
        return
    from ffq.cli.demo.run import DemoSettings, run_demo

    raise typer.Exit(run_demo(DemoSettings(scale, workers, keep, verbose)))
