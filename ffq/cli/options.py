"""Options that several commands share, and how help names a setting's variable."""

from __future__ import annotations

import enum
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ffq.cli.output.formats import ResultFormat
from ffq.endpoint import DEFAULT_COORDINATOR

if TYPE_CHECKING:
    from ffq.settings import SettingSource


class LogLevel(enum.StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Where nobody can be told any more that a record was not written, it is not told."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        with suppress(Exception):  # it complains on stderr, which an operator may have closed
            super().handleError(record)


def log_to_stderr(level: LogLevel) -> None:
    """Logs of ffq at this level, of other libraries from warnings on; one line each."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[_StderrHandler()]
    )
    logging.getLogger("ffq").setLevel(level.value.upper())


def setting(text: str, variable: str, default: str, *flags: str, metavar: str | None = None) -> Any:
    """An option that is parsed with its variable by `ffq.settings`: here it is only text.

    The parser there knows which of the two a bad value came from, and says so.
    """
    return typer.Option(
        *flags, help=f"{text} [{variable}; default: {default}]", metavar=metavar, show_default=False
    )


CoordinatorOption = Annotated[
    str | None,
    setting(
        "The coordinator, as HOST:PORT or http://HOST:PORT.",
        "FFQ_COORDINATOR_ENDPOINT",
        DEFAULT_COORDINATOR,
        metavar="HOST:PORT",
    ),
]
TimeoutOption = Annotated[
    str | None,
    setting(
        "How long to try to reach the coordinator, ms.",
        "FFQ_CLIENT_TIMEOUT_MS",
        "5000",
        metavar="N",
    ),
]
QueryTimeoutOption = Annotated[
    int,
    typer.Option(
        help="The query fails when it takes longer, ms; 0: as long as it takes.",
        min=0,
        metavar="N",
        show_default=False,
    ),
]
TaskTimeoutOption = Annotated[
    int,
    typer.Option(
        help="A task that takes longer fails and is tried again, ms; 0: as long as it takes.",
        min=0,
        metavar="N",
        show_default=False,
    ),
]
QueryIdArgument = Annotated[str, typer.Argument(metavar="QUERY_ID", show_default=False)]
FormatOption = Annotated[
    ResultFormat | None,
    typer.Option(
        "--format",
        help="How to write the result; by default as --output's name says, else table. "
        "csv and json are exact: dates in ISO 8601, decimals with all places, NULL empty or null.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the result here instead of stdout (-).",
        show_default=False,
    ),
]
LogLevelOption = Annotated[
    LogLevel, typer.Option(help="What is logged, on stderr.", case_sensitive=False)
]
StopWithStdinOption = Annotated[
    bool,
    typer.Option(
        "--stop-with-stdin",
        help="Stop when stdin closes: with a pipe from the process that starts this one, "
        "this one never outlives it.",
    ),
]


def settings_of(context: typer.Context) -> SettingSource:
    """The command's flags and this process's environment."""
    from ffq.settings import SettingSource

    return SettingSource(context.params, os.environ)


def coordinator_endpoint(flag: str | None) -> str:
    """Where the coordinator is, as `host:port`.

    Raises:
        InvalidRequest: no such address; names the flag or the variable it came from.
    """
    from ffq.settings import SettingSource

    source = SettingSource({"coordinator": flag}, os.environ)
    return source.endpoint("coordinator", "FFQ_COORDINATOR_ENDPOINT", DEFAULT_COORDINATOR)
