"""EXPLAIN, `ffq sql --explain` and `--analyze`: what a query does, and what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ffq.cli.output.analysis import stages_analysis, tasks_analysis
from ffq.cli.output.consoles import stdout_console
from ffq.cli.output.queries import decisions_text
from ffq.display.grid import print_grid, visible
from ffq.messages import SqlPlan
from ffq.plan.codec import parse_plan
from ffq.plan.explain import Estimate, explain_logical, explain_stages
from ffq.plan.stages import StageGraph, cut

if TYPE_CHECKING:
    from ffq.client import QueryHandle


def write_explained(planned: SqlPlan) -> StageGraph:
    """Write both plans to stdout. Returns the stages."""
    plan = parse_plan(planned.plan_bytes)
    sizes = {one.name: Estimate(one.rows, one.bytes) for one in planned.sizes}
    graph = cut(plan)
    parts = (
        ("Logical plan", explain_logical(plan, sizes)),
        ("Distributed plan", explain_stages(graph, sizes)),
        ("Choices", "\n".join(planned.choices)),
    )
    for title, text in parts:
        _write_part(title, text)
    return graph


def _write_part(title: str, text: str) -> None:
    if not text:
        return
    typer.echo(title)
    typer.echo("=" * len(title))
    for line in text.splitlines():
        typer.echo(visible(line))
    typer.echo()


async def write_analyzed(planned: SqlPlan, handle: QueryHandle) -> None:
    """Write both plans of a query that has succeeded, and what its stages and tasks did."""
    graph = write_explained(planned)
    query, attempts = await handle.status(), await handle.attempts()
    _write_part("Decided by size", decisions_text(query))
    console = stdout_console()
    for grid in (stages_analysis(graph, query, attempts), tasks_analysis(graph, query, attempts)):
        print_grid(console, grid)
        typer.echo()
