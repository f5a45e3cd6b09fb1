"""Flags and variables: who wins, and what a bad value is told."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from ffq.core.settings import CoordinatorSettings
from ffq.errors import InvalidRequest
from ffq.settings import SettingSource, coordinator_settings, gateway_settings

VARIABLES = {
    "FFQ_BLACKLIST_FAILURE_THRESHOLD": ("blacklist_failure_threshold", 3),
    "FFQ_MAX_CONCURRENT_TASKS_PER_WORKER": ("max_concurrent_tasks_per_worker", 8),
    "FFQ_MAX_CONCURRENT_TASKS_PER_QUERY": ("max_concurrent_tasks_per_query", 32),
    "FFQ_MAX_TASK_ATTEMPTS": ("max_task_attempts", 3),
    "FFQ_RETRY_BACKOFF_BASE_MS": ("retry_backoff_base_ms", 250),
    "FFQ_WORKER_LIVENESS_TIMEOUT_MS": ("worker_liveness_timeout_ms", 15000),
    "FFQ_BLACKLIST_TTL_MS": ("blacklist_ttl_ms", 60000),
    "FFQ_UNRUNNABLE_TIMEOUT_MS": ("unrunnable_timeout_ms", 0),
}


def source(environ: dict[str, str] | None = None, **flags: object) -> SettingSource:
    return SettingSource(flags, environ or {})


@pytest.mark.parametrize("variable", VARIABLES)
def test_each_variable_of_the_protocol_sets_its_setting(variable: str) -> None:
    name, default = VARIABLES[variable]
    assert getattr(coordinator_settings(source()), name) == default
    changed = coordinator_settings(source({variable: "17"}))
    assert changed == attrs.evolve(CoordinatorSettings(), **{name: 17})


def test_a_flag_wins_over_the_variable_and_the_variable_over_the_default() -> None:
    environ = {"FFQ_MAX_TASK_ATTEMPTS": "5"}
    assert coordinator_settings(source(environ)).max_task_attempts == 5
    assert coordinator_settings(source(environ, max_task_attempts=7)).max_task_attempts == 7
    assert coordinator_settings(source({"FFQ_MAX_TASK_ATTEMPTS": ""})).max_task_attempts == 3


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({"FFQ_MAX_TASK_ATTEMPTS": "abc"}, {}, r"^FFQ_MAX_TASK_ATTEMPTS: 'abc' is not an integer"),
        ({"FFQ_MAX_TASK_ATTEMPTS": "0"}, {}, r"^FFQ_MAX_TASK_ATTEMPTS: .*at least 1, not 0$"),
        ({}, {"max_task_attempts": "-1"}, r"^--max-task-attempts: '-1' is not an integer >= 0$"),
        ({}, {"blacklist_ttl_ms": "1.5"}, r"^--blacklist-ttl-ms: '1\.5' is not an integer"),
        ({"FFQ_COORDINATOR_BIND": "nowhere"}, {}, r"^FFQ_COORDINATOR_BIND: 'nowhere': want host"),
        ({}, {"bind": "127.0.0.1:70000"}, r"^--bind: '127\.0\.0\.1:70000': want host:port"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(
    environ: dict[str, str], flags: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        gateway_settings(source(environ, **flags))


HUGE = "1" + "0" * 30


@pytest.mark.parametrize(
    "name",
    [field.name for field in attrs.fields(CoordinatorSettings)]
    + ["scan_target_bytes", "one_task_bytes", "max_message_bytes"],
)
def test_a_number_that_nothing_could_hold_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^FFQ_{name.upper()}: 10+ is more than \d+$"):
        gateway_settings(source({f"FFQ_{name.upper()}": HUGE}))
    flag = name.replace("_", "-")
    with pytest.raises(InvalidRequest, match=rf"^--{flag}: '9+… \(5002 characters\) is not"):
        gateway_settings(SettingSource({name: "9" * 5_000}, {}))


def test_counts_fit_the_wire_and_times_a_float() -> None:
    with pytest.raises(InvalidRequest, match=r"^FFQ_MAX_TASK_ATTEMPTS: .* at most 4294967295"):
        coordinator_settings(source({"FFQ_MAX_TASK_ATTEMPTS": str(2**32)}))
    with pytest.raises(InvalidRequest, match="max_workers must be at most 4294967295"):
        CoordinatorSettings(max_workers=10**30)
    largest = coordinator_settings(source({"FFQ_BLACKLIST_TTL_MS": str(2**53 - 1)}))
    assert largest.blacklist_ttl_ms == 2**53 - 1
    with pytest.raises(InvalidRequest, match=r"^FFQ_MAX_MESSAGE_BYTES: 2147483648 is more than"):
        gateway_settings(source({"FFQ_MAX_MESSAGE_BYTES": str(2**31)}))


def test_an_endpoint_may_be_written_as_a_url() -> None:
    assert source(coordinator="http://h:1").endpoint("coordinator", "X", "d:2") == "h:1"
    assert source({"X": "h:1"}).endpoint("coordinator", "X", "d:2") == "h:1"
    assert source().endpoint("coordinator", "X", "d:2") == "d:2"


def test_only_a_bind_may_leave_the_port_open() -> None:
    assert gateway_settings(source(bind="127.0.0.1:0")).bind == "127.0.0.1:0"
    with pytest.raises(InvalidRequest, match=r"^--coordinator:"):
        source(coordinator="127.0.0.1:0").endpoint("coordinator", "X", "d:2")


def test_the_gateway_has_defaults_for_everything() -> None:
    settings = gateway_settings(source())
    assert (settings.bind, settings.catalog_path) == ("127.0.0.1:50051", None)
    assert gateway_settings(source(catalog="t.json")).catalog_path == Path("t.json")


def test_an_identifier_that_could_be_a_path_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"^FFQ_WORKER_ID: '\.\./w' is not 1 to 128"):
        source({"FFQ_WORKER_ID": "../w"}).identifier("worker_id", "FFQ_WORKER_ID", "w1")


def test_a_message_limit_below_what_parts_need_is_refused_at_start() -> None:
    with pytest.raises(InvalidRequest, match=r"FFQ_MAX_MESSAGE_BYTES: .* >= 1114112"):
        gateway_settings(source({"FFQ_MAX_MESSAGE_BYTES": "1000000"}))
    with pytest.raises(InvalidRequest, match="too small for answers of FFQ_MAX_ASSIGNMENT_BYTES"):
        gateway_settings(source({"FFQ_MAX_MESSAGE_BYTES": "2000000"}))
    made = gateway_settings(source({"FFQ_MAX_MESSAGE_BYTES": "8000000"}))
    assert made.coordinator.max_task_bytes == 8_000_000 - 65_536


def test_whether_clients_may_bring_tables_and_what_planning_may_take() -> None:
    settings = gateway_settings(source())
    assert settings.client_tables
    assert (settings.planning.time_ms, settings.planning.memory_bytes) == (10_000, 1 << 30)
    environ = {
        "FFQ_CLIENT_TABLES": "No",
        "FFQ_PLANNING_TIMEOUT_MS": "5",
        "FFQ_PLANNING_MEMORY_MB": "7",
    }
    settings = gateway_settings(source(environ))
    assert not settings.client_tables
    assert (settings.planning.time_ms, settings.planning.memory_bytes) == (5, 7 << 20)
    assert gateway_settings(source(environ, client_tables=True)).client_tables
    with pytest.raises(InvalidRequest, match=r"^FFQ_CLIENT_TABLES: 'maybe' is neither true nor"):
        gateway_settings(source({"FFQ_CLIENT_TABLES": "maybe"}))
