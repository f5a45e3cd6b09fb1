"""Settings of a worker process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffq.errors import InvalidRequest
from ffq.settings import SettingSource
from ffq.worker.config import WorkerConfig, worker_config


def config(environ: dict[str, str] | None = None, **flags: object) -> WorkerConfig:
    return worker_config(SettingSource(flags, environ or {}))


def test_the_protocols_variables_work_in_place_of_flags() -> None:
    given = config(
        {
            "FFQ_COORDINATOR_ENDPOINT": "http://10.0.0.1:4000",
            "FFQ_WORKER_ID": "w9",
            "FFQ_WORKER_CPU_SLOTS": "3",
            "FFQ_SHUFFLE_ROOT": "/data/shuffle",
            "FFQ_WORKER_SHUFFLE_BIND": "127.0.0.1:7000",
            "FFQ_WORKER_CATALOG_PATH": "tables.json",
            "FFQ_WORKER_OPERATORS": "a.b,c",
            "FFQ_WORKER_POLL_MS": "5",
        }
    )
    assert (given.coordinator, given.worker_id) == ("10.0.0.1:4000", "w9")
    assert (given.loop.slots, given.loop.poll_ms) == (3, 5)
    assert given.shuffle_root == Path("/data/shuffle")
    assert (given.shuffle_bind, given.shuffle_bind_given) == ("127.0.0.1:7000", True)
    assert (given.catalog_path, given.operators) == (Path("tables.json"), "a.b,c")


def test_defaults() -> None:
    given = config()
    assert given.coordinator == "127.0.0.1:50051"
    assert str(os.getpid()) in given.worker_id
    assert (given.shuffle_bind, given.shuffle_bind_given) == ("0.0.0.0:50061", False)
    assert (given.loop.poll_ms, given.loop.heartbeat_ms) == (20, 1_000)
    assert given.link_mbit == 1_000


def test_a_bad_number_of_slots_is_refused_with_its_name() -> None:
    with pytest.raises(
        InvalidRequest, match=r"^FFQ_WORKER_CPU_SLOTS: 'abc' is not an integer >= 1$"
    ):
        config({"FFQ_WORKER_CPU_SLOTS": "abc"})


@pytest.mark.parametrize(
    "name",
    [
        "slots",
        "poll_ms",
        "heartbeat_ms",
        "connect_timeout_ms",
        "engine_threads",
        "lone_engine_threads",
        "engine_memory_mb",
        "spill_mb",
        "link_mbit",
        "max_message_bytes",
        "worker_liveness_timeout_ms",
    ],
)
def test_a_number_that_nothing_could_hold_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^--{name.replace('_', '-')}: 10+ is more than"):
        worker_config(SettingSource({name: "1" + "0" * 30}, {}))


def test_heartbeats_keep_to_a_fifth_of_the_liveness_timeout() -> None:
    """R20: a beating worker is never stale, also when a beat or two are lost."""
    assert config({"FFQ_WORKER_LIVENESS_TIMEOUT_MS": "2000"}).loop.heartbeat_ms == 400
    with pytest.raises(InvalidRequest, match="--heartbeat-ms: 900 is more than a fifth"):
        config({"FFQ_WORKER_LIVENESS_TIMEOUT_MS": "2000"}, heartbeat_ms="900")
