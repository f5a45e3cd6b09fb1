"""`ffq sql --explain` and `--analyze`: what a query does, and what it did."""

from __future__ import annotations

import typer

from ffq.cli.output.analysis import stages_analysis, tasks_analysis
from ffq.cli.output.consoles import stdout_console
from ffq.display.grid import print_grid, visible
from ffq.messages import AttemptStatus, QueryStatus, SqlPlan
from ffq.plan.codec import parse_plan
from ffq.plan.explain import Estimate, explain_logical, explain_stages
from ffq.plan.stages import StageGraph, cut


def write_explained(planned: SqlPlan) -> StageGraph:
    """Write both plans to stdout. Returns the stages."""
    plan = parse_plan(planned.plan_bytes)
    sizes = {one.name: Estimate(one.rows, one.bytes) for one in planned.sizes}
    graph = cut(plan)
    parts = (
        ("Logical plan", explain_logical(plan, sizes)),
        ("Distributed plan", explain_stages(graph, sizes)),
        ("Joins", "\n".join(planned.choices)),
    )
    for title, text in parts:
        if not text:
            continue
        typer.echo(title)
        typer.echo("=" * len(title))
        for line in text.splitlines():
            typer.echo(visible(line))
        typer.echo()
    return graph


def write_analyzed(
    graph: StageGraph, query: QueryStatus, attempts: tuple[AttemptStatus, ...]
) -> None:
    """Write what its stages and tasks did to stdout."""
    console = stdout_console()
    for grid in (stages_analysis(graph, query, attempts), tasks_analysis(graph, query, attempts)):
        print_grid(console, grid)
        typer.echo()
