"""`ffq sql`."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from ffq.cli.arguments import parameter_values, query_text, table_paths
from ffq.cli.options import FormatOption, OutputOption, TimeoutOption, setting
from ffq.cli.output.formats import ResultFormat, choose_format
from ffq.cli.target import target_of
from ffq.errors import InvalidRequest

if TYPE_CHECKING:
    from ffq.client import Client, QueryHandle
    from ffq.messages import SqlPlan

EXAMPLES = """\b
Examples:
  ffq sql "SELECT count(*) FROM 'data/*.parquet'"
  ffq sql "SELECT * FROM t WHERE k = \\$k" --table t=data/ --param k=3
  ffq sql --explain "SELECT k, sum(v) FROM 'data/*.parquet' GROUP BY k"
  ffq sql --file report.sql --coordinator host:50051 -o report.csv
  echo "FROM 't.parquet' LIMIT 5" | ffq sql - --format json"""


QueryArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[QUERY]",
        help="A query in DuckDB's SQL; - reads it from stdin. Without one, on a terminal: a shell.",
        show_default=False,
    ),
]
FileOption = Annotated[
    Path | None,
    typer.Option(help="Read the query from here.", metavar="FILE", show_default=False),
]
TableOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A table that the query may read: a file, folder or glob. May be given again.",
        metavar="NAME=PATH",
        show_default=False,
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        help="The value of $NAME: a number, true, false or null as in JSON; anything else, and "
        "what stands in double quotes, is a text. May be given again.",
        metavar="NAME=VALUE",
        show_default=False,
    ),
]
OperatorsOption = Annotated[
    str,
    typer.Option(
        help="Modules with custom operators, with commas between; the current folder is searched.",
        metavar="MODULES",
        show_default=False,
    ),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show what would be done, and do not run it.")
]
AnalyzeOption = Annotated[
    bool,
    typer.Option(
        "--analyze",
        help="Run it, and show what its stages and tasks did; the result only with -o.",
    ),
]
WorkersOption = Annotated[int, typer.Option(help="Workers, where no coordinator is named.", min=1)]
CoordinatorOrNoneOption = Annotated[
    str | None,
    setting(
        "The coordinator, as HOST:PORT or http://HOST:PORT.",
        "FFQ_COORDINATOR_ENDPOINT",
        "none, and the query runs here",
        metavar="HOST:PORT",
    ),
]


def sql(
    context: typer.Context,
    query: QueryArgument = None,
    file: FileOption = None,
    table: TableOption = None,
    param: ParamOption = None,
    operators: OperatorsOption = "",
    explain: ExplainOption = False,
    analyze: AnalyzeOption = False,
    workers: WorkersOption = 2,
    format_: FormatOption = None,
    output: OutputOption = None,
    coordinator: CoordinatorOrNoneOption = None,
    timeout_ms: TimeoutOption = None,
) -> None:
    """Run a query in SQL, and write its result.

    The coordinator named by --coordinator or FFQ_COORDINATOR_ENDPOINT plans and runs it, over its
    tables and those named here. Without one the query runs in this process, over files.
    """
    from ffq.cli.loading import load_operators_here

    if operators:
        load_operators_here(operators)
    context.with_resource(_planning_ahead(context))

    from ffq.cli.signals import run_command
    from ffq.sql.explained import is_explain, read_explain

    chosen = choose_format(format_, output)
    tables: dict[str, Any] = {**table_paths(table or [])}
    if query is None and file is None and sys.stdin.isatty():
        if explain or analyze or param or output is not None:
            raise InvalidRequest("--explain, --analyze, --param and -o need a query")
        run_command(partial(_shell, context, workers, tables, chosen))
        return
    text = query_text(query, file)
    if is_explain(text):
        said = read_explain(text)
        text, analyze = said.query, analyze or said.analyze is not None
        explain = explain or not analyze
    if explain and (analyze or output is not None or format_ is not None):
        raise InvalidRequest(
            "EXPLAIN and --explain run nothing: they take no --analyze, --format or -o"
        )
    parameters = parameter_values(param or [])
    shown = _Shown(explain, analyze, chosen, output)
    run_command(partial(_run, context, workers, text, parameters, tables, shown))


@attrs.frozen
class _Shown:
    """What of a query is shown, and how its result is written."""

    explain: bool
    analyze: bool
    chosen: ResultFormat
    output: Path | None

    async def use(self, client: Client, planned: SqlPlan, handle: QueryHandle) -> None:
        if self.analyze:
            from ffq.cli.output.explained import write_analyzed

            await write_analyzed(planned, handle)
        if self.output is not None or not self.analyze:
            from ffq.cli.output.writer import write_result

            write = partial(write_result, chosen=self.chosen, output=self.output)
            await client.read(handle, write)


async def _run(
    context: typer.Context,
    workers: int,
    text: str,
    parameters: dict[str, Any],
    tables: dict[str, Any],
    shown: _Shown,
) -> None:
    from ffq.cli.progress import run_shown

    async with _client(context, workers) as client:
        planned = await client.plan_sql(text, parameters, tables=tables)
        if shown.explain:
            from ffq.cli.output.explained import write_explained

            write_explained(planned)
        else:
            await run_shown(client, planned.plan_bytes, partial(shown.use, client, planned))


async def _shell(
    context: typer.Context, workers: int, tables: dict[str, Any], chosen: ResultFormat
) -> None:
    from ffq.cli.lines import line_reader
    from ffq.cli.shell import Shell

    async with _client(context, workers) as client:
        await Shell(client, tables, chosen, context.obj, line_reader()).run()


@asynccontextmanager
async def _client(context: typer.Context, workers: int) -> AsyncIterator[Client]:
    if _named(context):
        async with target_of(context).connect() as client:
            yield client
        return
    from ffq.client import LocalCluster

    async with LocalCluster(workers) as cluster:
        yield cluster.client


def _planning_ahead(context: typer.Context) -> AbstractContextManager[None]:
    """What plans here gets ready while this process imports what it needs itself."""
    from ffq.sql.interpreter import started_ahead

    return nullcontext() if _named(context) else started_ahead()


def _named(context: typer.Context) -> str | None:
    """The coordinator; None: the query runs here."""
    return context.params["coordinator"] or os.environ.get("FFQ_COORDINATOR_ENDPOINT")
