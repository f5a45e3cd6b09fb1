"""`ffq gateway`."""

from __future__ import annotations

from typing import Annotated

import typer

from ffq.cli.options import (
    LogLevel,
    LogLevelOption,
    StopWithStdinOption,
    setting,
    settings_of,
)
from ffq.endpoint import DEFAULT_COORDINATOR


def _tuning(text: str, name: str, default: int) -> object:
    return setting(text, f"FFQ_{name.upper()}", str(default), metavar="N")


BindOption = Annotated[
    str | None,
    setting(
        "Where to listen; port 0 picks a free one.",
        "FFQ_COORDINATOR_BIND",
        DEFAULT_COORDINATOR,
        metavar="HOST:PORT",
    ),
]
CatalogOption = Annotated[
    str | None,
    setting("The tables, as JSON or TOML.", "FFQ_COORDINATOR_CATALOG_PATH", "none", metavar="FILE"),
]
BlacklistFailureThresholdOption = Annotated[
    str | None,
    _tuning("Failures in a row that exclude a worker.", "blacklist_failure_threshold", 3),
]
BlacklistTtlMsOption = Annotated[
    str | None, _tuning("How long a worker stays excluded, ms.", "blacklist_ttl_ms", 60000)
]
MaxConcurrentTasksPerWorkerOption = Annotated[
    str | None,
    _tuning("Tasks a worker runs at once.", "max_concurrent_tasks_per_worker", 8),
]
MaxConcurrentTasksPerQueryOption = Annotated[
    str | None,
    _tuning("Tasks of one query that run at once.", "max_concurrent_tasks_per_query", 32),
]
MaxTaskAttemptsOption = Annotated[
    str | None, _tuning("Failures of one task that fail its query.", "max_task_attempts", 3)
]
RetryBackoffBaseMsOption = Annotated[
    str | None,
    _tuning("Wait before the first retry, ms; doubles.", "retry_backoff_base_ms", 250),
]
WorkerLivenessTimeoutMsOption = Annotated[
    str | None,
    _tuning("Silence after which a worker is lost, ms.", "worker_liveness_timeout_ms", 15000),
]
UnrunnableTimeoutMsOption = Annotated[
    str | None,
    _tuning(
        "How long a query waits for a worker that can run it, ms; 0 = forever.",
        "unrunnable_timeout_ms",
        0,
    ),
]
SpeculationOption = Annotated[
    str | None,
    _tuning(
        "A task that runs longer than so many percent of its stage's median gets a second attempt "
        "beside it; 0: none does.",
        "speculation",
        0,
    ),
]
ScanTargetBytesOption = Annotated[
    str | None, _tuning("Most data that one scan task reads, about.", "scan_target_bytes", 67108864)
]
OneTaskBytesOption = Annotated[
    str | None,
    _tuning(
        "A query in SQL that reads less, in bytes as they are stored, is one task; one of more "
        "than four exchanges may read more; 0: none is.",
        "one_task_bytes",
        8388608,
    ),
]
ClientTablesOption = Annotated[
    bool | None,
    typer.Option(
        "--client-tables/--no-client-tables",
        help="Whether queries may bring tables of their own, and name files that this machine "
        "reads. [FFQ_CLIENT_TABLES; default: yes]",
        show_default=False,
    ),
]
ShuffleRootOption = Annotated[
    str | None,
    setting(
        "Folder for map outputs that is shared by all, for workers that serve none themselves.",
        "FFQ_SHUFFLE_ROOT",
        "none",
        metavar="DIR",
    ),
]
MaxMessageBytesOption = Annotated[
    str | None, _tuning("Largest gRPC message.", "max_message_bytes", 67108864)
]


def gateway(
    context: typer.Context,
    bind: BindOption = None,
    catalog: CatalogOption = None,
    blacklist_failure_threshold: BlacklistFailureThresholdOption = None,
    blacklist_ttl_ms: BlacklistTtlMsOption = None,
    max_concurrent_tasks_per_worker: MaxConcurrentTasksPerWorkerOption = None,
    max_concurrent_tasks_per_query: MaxConcurrentTasksPerQueryOption = None,
    max_task_attempts: MaxTaskAttemptsOption = None,
    retry_backoff_base_ms: RetryBackoffBaseMsOption = None,
    worker_liveness_timeout_ms: WorkerLivenessTimeoutMsOption = None,
    unrunnable_timeout_ms: UnrunnableTimeoutMsOption = None,
    speculation: SpeculationOption = None,
    scan_target_bytes: ScanTargetBytesOption = None,
    one_task_bytes: OneTaskBytesOption = None,
    client_tables: ClientTablesOption = None,
    shuffle_root: ShuffleRootOption = None,
    max_message_bytes: MaxMessageBytesOption = None,
    log_level: LogLevelOption = LogLevel.INFO,
    stop_with_stdin: StopWithStdinOption = False,
) -> None:
    """Run the coordinator: it takes queries, hands tasks to workers and keeps results.

    A flag wins over its variable (in brackets), the variable over the default. Ctrl-C, SIGTERM
    or SIGHUP stops it cleanly, a second one at once.
    """
    from functools import partial

    import trio

    from ffq.cli.collector import settle
    from ffq.cli.options import log_to_stderr
    from ffq.cli.output.consoles import note
    from ffq.cli.signals import run_command, until_signalled
    from ffq.gateway import serve_gateway
    from ffq.rpc.guest import run_as_guest
    from ffq.settings import gateway_settings

    log_to_stderr(log_level)
    settings = gateway_settings(settings_of(context))

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            address = await nursery.start(serve_gateway, settings)
            settle()
            note(f"gateway ready on {address.endpoint}")

    main = partial(until_signalled, serve, stop_with_stdin=stop_with_stdin)
    # Of small calls by the thousand, and of little else that waits: one thread is cheaper.
    run_command(main, run=run_as_guest)
