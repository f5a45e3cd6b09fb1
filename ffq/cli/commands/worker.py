"""`ffq worker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ffq.cli.options import (
    CoordinatorOption,
    LogLevel,
    LogLevelOption,
    StopWithStdinOption,
    setting,
    settings_of,
)

if TYPE_CHECKING:
    from ffq.worker import WorkerConfig, WorkerReady


WorkerIdOption = Annotated[
    str | None,
    setting("Its name.", "FFQ_WORKER_ID", "worker-HOST-PID", metavar="ID"),
]
SlotsOption = Annotated[
    str | None,
    setting("Tasks at once.", "FFQ_WORKER_CPU_SLOTS", "number of CPUs", metavar="N"),
]
OperatorsOption = Annotated[
    str | None,
    setting(
        "Modules with custom operators, with commas between; the current folder is searched.",
        "FFQ_WORKER_OPERATORS",
        "none",
        metavar="MODULES",
    ),
]
CatalogOption = Annotated[
    str | None,
    setting(
        "Tables that the coordinator does not know, as JSON or TOML.",
        "FFQ_WORKER_CATALOG_PATH",
        "none",
        metavar="FILE",
    ),
]
ShuffleBindOption = Annotated[
    str | None,
    setting(
        "Where it serves its map outputs; port 0 picks a free one.",
        "FFQ_WORKER_SHUFFLE_BIND",
        "0.0.0.0:50061, or any free port when that is taken",
        metavar="HOST:PORT",
    ),
]
ShuffleAdvertiseOption = Annotated[
    str | None,
    setting(
        "Where others reach that.",
        "FFQ_WORKER_SHUFFLE_ADVERTISE",
        "found out",
        metavar="HOST[:PORT]",
    ),
]
ShuffleRootOption = Annotated[
    str | None,
    setting(
        "Folder for map outputs.",
        "FFQ_SHUFFLE_ROOT",
        "a private one, removed at exit",
        metavar="DIR",
    ),
]
PollMsOption = Annotated[
    str | None,
    setting("Pause between polls for tasks, ms.", "FFQ_WORKER_POLL_MS", "20", metavar="N"),
]
HeartbeatMsOption = Annotated[
    str | None,
    setting(
        "Between heartbeats, ms; at most a fifth of the coordinator's liveness timeout.",
        "FFQ_WORKER_HEARTBEAT_MS",
        "1000",
        metavar="N",
    ),
]
ConnectTimeoutMsOption = Annotated[
    str | None,
    setting(
        "How long to wait for the coordinator at start, ms; 0 = for ever.",
        "FFQ_WORKER_CONNECT_TIMEOUT_MS",
        "30000",
        metavar="N",
    ),
]
EngineThreadsOption = Annotated[
    str | None,
    setting("Threads of each task.", "FFQ_WORKER_ENGINE_THREADS", "number of CPUs", metavar="N"),
]
LoneEngineThreadsOption = Annotated[
    str | None,
    setting(
        "Threads of a task that is all of its stage, where those of each task are fewer.",
        "FFQ_WORKER_LONE_ENGINE_THREADS",
        "number of CPUs",
        metavar="N",
    ),
]
EngineMemoryMbOption = Annotated[
    str | None,
    setting(
        "Memory of the engine for all slots together, MiB: each task has its share, and what "
        "does not fit goes to disk; 0 = 80 % of the machine's.",
        "FFQ_WORKER_ENGINE_MEMORY_MB",
        "0",
        metavar="N",
    ),
]
SpillMbOption = Annotated[
    str | None,
    setting(
        "Disk for what does not fit in memory, for all slots together, MiB; 0 = what is free.",
        "FFQ_WORKER_SPILL_MB",
        "0",
        metavar="N",
    ),
]
LinkMbitOption = Annotated[
    str | None,
    setting(
        "Speed of the network to other hosts until it was seen, Mbit/s: map outputs are compressed "
        "where that saves more time than it takes; 0 = never.",
        "FFQ_WORKER_LINK_MBIT",
        "1000",
        metavar="N",
    ),
]
MaxMessageBytesOption = Annotated[
    str | None,
    setting("Largest gRPC message.", "FFQ_MAX_MESSAGE_BYTES", "67108864", metavar="N"),
]


def worker(
    context: typer.Context,
    coordinator: CoordinatorOption = None,
    worker_id: WorkerIdOption = None,
    slots: SlotsOption = None,
    operators: OperatorsOption = None,
    catalog: CatalogOption = None,
    shuffle_bind: ShuffleBindOption = None,
    shuffle_advertise: ShuffleAdvertiseOption = None,
    shuffle_root: ShuffleRootOption = None,
    poll_ms: PollMsOption = None,
    heartbeat_ms: HeartbeatMsOption = None,
    connect_timeout_ms: ConnectTimeoutMsOption = None,
    engine_threads: EngineThreadsOption = None,
    lone_engine_threads: LoneEngineThreadsOption = None,
    engine_memory_mb: EngineMemoryMbOption = None,
    spill_mb: SpillMbOption = None,
    link_mbit: LinkMbitOption = None,
    max_message_bytes: MaxMessageBytesOption = None,
    log_level: LogLevelOption = LogLevel.INFO,
    stop_with_stdin: StopWithStdinOption = False,
) -> None:
    """Run a worker: it pulls tasks from the coordinator and runs them.

    A flag wins over its variable (in brackets), the variable over the default. Ctrl-C, SIGTERM
    or SIGHUP stops it cleanly, a second one at once.
    """
    from functools import partial

    import trio

    from ffq.cli.allocator import keep_freed_memory
    from ffq.cli.collector import settle
    from ffq.cli.loading import load_operators_here
    from ffq.cli.options import log_to_stderr
    from ffq.cli.output.consoles import excuse_stdout, note
    from ffq.cli.signals import run_command, until_signalled
    from ffq.worker import run_worker
    from ffq.worker.config import worker_config

    keep_freed_memory()
    excuse_stdout()
    log_to_stderr(log_level)
    config = worker_config(settings_of(context))
    # Here, where a signal ends it at once: a module may take long to load its model.
    load_operators_here(config.operators)
    stop = trio.Event()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            ready = await nursery.start(partial(run_worker, config, stop=stop))
            if ready is not None:
                settle()
                note(_ready_line(config, ready))

    run_command(
        partial(until_signalled, serve, request_stop=stop.set, stop_with_stdin=stop_with_stdin)
    )


def _ready_line(config: WorkerConfig, ready: WorkerReady) -> str:
    operators = " ".join(sorted(ready.operators)) or "none"
    return (
        f"worker {ready.worker_id} ready, coordinator {config.coordinator}, "
        f"shuffle {ready.endpoint}, operators {operators}"
    )
