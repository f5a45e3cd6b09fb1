"""What a worker process is told, parsed from flags and FFQ_* variables."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import attrs

from ffq.core.settings import BEATS_PER_TIMEOUT, MAX_MS
from ffq.endpoint import DEFAULT_COORDINATOR
from ffq.errors import InvalidRequest
from ffq.ids import WorkerId, is_valid_id
from ffq.rpc.options import RpcOptions
from ffq.settings import (
    DEFAULT_SHUFFLE_PORT,
    LIVENESS_TIMEOUT,
    SettingSource,
    rpc_options,
)
from ffq.worker.attempt import AttemptSettings
from ffq.worker.loop import LoopSettings
from ffq.worker.network import DEFAULT_LINK_MBIT

MAX_HEARTBEAT_MS = 1_000
MAX_SLOTS = 4_096
"""Tasks at once, and threads of the engine: each is a thread."""
_MIB = 1 << 20


@attrs.frozen
class WorkerConfig:
    """A worker process.

    Attributes:
        coordinator: `host:port`.
        operators: modules to import for custom operators, comma separated.
        all_operators: also every operator that this process has registered without being told.
        shuffle_bind: where its shuffle service listens, `host:port`.
        shuffle_bind_given: False: any free port will do when that one is taken.
        shuffle_advertise: `host:port` or a host name that others reach it by; empty: found out.
        shuffle_root: folder of its map outputs, and of those that all share under a coordinator
            that sets no extension fields; None: a private one, removed at exit.
        catalog_path: tables for scans that an assignment does not resolve.
        engine_threads: threads of the engine for each fragment.
        lone_engine_threads: for one that is its stage's only task; at least `engine_threads`.
        engine_memory_bytes: memory the engine may use for all fragments together, each of them its
            share; 0: `memory_percent` of the machine's.
        spill_bytes: disk that fragments may spill to, each its share; 0: what is free.
        spool_bytes: memory for shuffle inputs that were fetched; more of them wait on disk.
        link_mbit: of the network to other hosts until it was seen, Mbit/s; 0: map outputs are never
            compressed.
    """

    coordinator: str
    worker_id: WorkerId
    loop: LoopSettings
    operators: str = ""
    all_operators: bool = False
    shuffle_bind: str = f"0.0.0.0:{DEFAULT_SHUFFLE_PORT}"
    shuffle_bind_given: bool = False
    shuffle_advertise: str = ""
    shuffle_root: Path | None = None
    catalog_path: Path | None = None
    engine_threads: int = 1
    lone_engine_threads: int = 0
    engine_memory_bytes: int = 0
    memory_percent: int = 80
    spill_bytes: int = 0
    spool_bytes: int = 256 * _MIB
    link_mbit: int = DEFAULT_LINK_MBIT
    rpc: RpcOptions = attrs.field(factory=RpcOptions)


def worker_config(source: SettingSource) -> WorkerConfig:
    """Parse the settings of `ffq worker`.

    Flags: coordinator, worker-id, slots, operators, poll-ms, heartbeat-ms, connect-timeout-ms,
    shuffle-bind, shuffle-advertise, shuffle-root, catalog, engine-threads, lone-engine-threads,
    engine-memory-mb, spill-mb, link-mbit.

    Raises:
        InvalidRequest: a value is bad; names the flag or variable.
    """
    processors = len(os.sched_getaffinity(0))
    slots = source.integer(
        "slots", "FFQ_WORKER_CPU_SLOTS", processors, minimum=1, maximum=MAX_SLOTS
    )
    rpc = rpc_options(source)
    memory_mb = source.integer(
        "engine_memory_mb", "FFQ_WORKER_ENGINE_MEMORY_MB", 0, minimum=0, maximum=MAX_MS // _MIB
    )
    spill_mb = source.integer(
        "spill_mb", "FFQ_WORKER_SPILL_MB", 0, minimum=0, maximum=MAX_MS // _MIB
    )
    return WorkerConfig(
        coordinator=source.endpoint("coordinator", "FFQ_COORDINATOR_ENDPOINT", DEFAULT_COORDINATOR),
        worker_id=WorkerId(
            source.identifier("worker_id", "FFQ_WORKER_ID", default_worker_id(os.getpid()))
        ),
        loop=LoopSettings(
            slots=slots,
            poll_ms=source.integer("poll_ms", "FFQ_WORKER_POLL_MS", 20, minimum=1),
            heartbeat_ms=_heartbeat_ms(source),
            connect_timeout_ms=source.integer(
                "connect_timeout_ms", "FFQ_WORKER_CONNECT_TIMEOUT_MS", 30_000, minimum=0
            ),
            attempts=AttemptSettings(max_message_bytes=rpc.max_message_bytes),
        ),
        operators=source.text("operators", "FFQ_WORKER_OPERATORS"),
        shuffle_bind=source.bind(
            "shuffle_bind", "FFQ_WORKER_SHUFFLE_BIND", f"0.0.0.0:{DEFAULT_SHUFFLE_PORT}"
        ),
        shuffle_bind_given=source.find("shuffle_bind", "FFQ_WORKER_SHUFFLE_BIND") is not None,
        shuffle_advertise=source.text("shuffle_advertise", "FFQ_WORKER_SHUFFLE_ADVERTISE"),
        shuffle_root=source.path("shuffle_root", "FFQ_SHUFFLE_ROOT"),
        catalog_path=source.path("catalog", "FFQ_WORKER_CATALOG_PATH"),
        engine_threads=source.integer(
            "engine_threads", "FFQ_WORKER_ENGINE_THREADS", processors, minimum=1, maximum=MAX_SLOTS
        ),
        lone_engine_threads=source.integer(
            "lone_engine_threads",
            "FFQ_WORKER_LONE_ENGINE_THREADS",
            processors,
            minimum=1,
            maximum=MAX_SLOTS,
        ),
        engine_memory_bytes=memory_mb * _MIB,
        spill_bytes=spill_mb * _MIB,
        link_mbit=source.integer("link_mbit", "FFQ_WORKER_LINK_MBIT", DEFAULT_LINK_MBIT, minimum=0),
        rpc=rpc,
    )


def default_worker_id(pid: int) -> str:
    """`worker-{host}-{pid}`: tells the workers of one cluster apart without being told."""
    host = socket.gethostname().split(".", maxsplit=1)[0]
    return f"worker-{host}-{pid}" if is_valid_id(f"worker-{host}-{pid}") else f"worker-{pid}"


def default_heartbeat_ms(liveness_timeout_ms: int) -> int:
    """Between beats, where nothing else is asked for."""
    return min(MAX_HEARTBEAT_MS, _longest_heartbeat_ms(liveness_timeout_ms))


def _longest_heartbeat_ms(liveness_timeout_ms: int) -> int:
    """A fifth of the liveness timeout: one lost beat is no news."""
    return max(1, liveness_timeout_ms // BEATS_PER_TIMEOUT)


def _heartbeat_ms(source: SettingSource) -> int:
    """Raises InvalidRequest where beats would be too rare for a liveness timeout that is told."""
    timeout_ms = source.integer(*LIVENESS_TIMEOUT, 15_000, minimum=1)
    heartbeat_ms = source.integer(
        "heartbeat_ms", "FFQ_WORKER_HEARTBEAT_MS", default_heartbeat_ms(timeout_ms), minimum=1
    )
    longest = _longest_heartbeat_ms(timeout_ms)
    if heartbeat_ms > longest:
        raise InvalidRequest(
            f"--heartbeat-ms: {heartbeat_ms} is more than a fifth of the liveness timeout "
            f"({timeout_ms} ms): at most {longest}"
        )
    return heartbeat_ms
