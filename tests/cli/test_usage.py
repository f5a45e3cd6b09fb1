"""Command lines that are refused before anything runs: in this process, through `main`."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.lines import Call, assert_refused, caller
from tests.processes import ffq


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    monkeypatch.chdir(tmp_path)
    return caller(monkeypatch, capfd)


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (("gateway",), {"FFQ_MAX_TASK_ATTEMPTS": "many"}, ("FFQ_MAX_TASK_ATTEMPTS", "many")),
        (("gateway",), {"FFQ_COORDINATOR_BIND": "nowhere"}, ("FFQ_COORDINATOR_BIND", "nowhere")),
        (("gateway", "--retry-backoff-base-ms=-1"), {}, ("--retry-backoff-base-ms", "-1")),
        (("gateway", "--catalog=not/there.json"), {}, ("not/there.json",)),
        (("worker",), {"FFQ_WORKER_CPU_SLOTS": "0"}, ("FFQ_WORKER_CPU_SLOTS", "0")),
        (("worker", "--worker-id=../x"), {"FFQ_WORKER_ID": "fine"}, ("--worker-id", "../x")),
        (("worker", "--operators=no.such.module"), {}, ("no.such.module",)),
        (("worker", "--operators=json"), {}, ("json", "@ffq.operator")),
        (("submit", "not-there.json"), {}, ("not-there.json",)),
        (("submit", "x.json", "--format=csv"), {}, ("--wait",)),
        (("submit", "x.json", "--wait", "--output=no/where/x.csv"), {}, ("no/where/x.csv",)),
        (("submit", "x.json", "--wait", "--format=xml"), {}, ("--format", "xml")),
        (("status",), {"FFQ_COORDINATOR_ENDPOINT": "ftp://x"}, ("FFQ_COORDINATOR_ENDPOINT",)),
        (("status",), {"FFQ_COORDINATOR_ENDPOINT": "https://h:1"}, ("https://h:1", "TLS")),
        (("worker", "--coordinator=https://h:1"), {}, ("--coordinator", "https://h:1", "TLS")),
        (("gateway", "--bind=https://h:1"), {}, ("--bind", "https://h:1", "TLS")),
        (("worker", f"--slots={10**30}"), {}, ("--slots", "4096")),
        (("status", f"--timeout-ms={10**30}"), {}, ("--timeout-ms", str(10**30))),
        (("conformance", f"--max-wait-ms={10**30}"), {}, ("--max-wait-ms", "less than")),
        (("submit", "x.json", "--wait", "--output=x.txt"), {}, ("x.txt", ".parquet")),
        (("demo", "--workers=1"), {}, ("--workers",)),
        (("demo", "--scale=0"), {}, ("--scale",)),
        (("frobnicate",), {}, ("frobnicate",)),
    ],
)
def test_bad_usage_is_one_line_and_code_2(
    call: Call, arguments: tuple[str, ...], env: dict[str, str], words: tuple[str, ...]
) -> None:
    assert_refused(call(*arguments, **env), 2, *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--timeout-ms=50"),
        ("fetch", "1", "--timeout-ms=50"),
        ("cancel", "1", "--timeout-ms=50"),
        ("worker", "--connect-timeout-ms=50", "--shuffle-bind=127.0.0.1:0"),
    ],
)
def test_a_coordinator_that_is_not_there_is_code_3(call: Call, arguments: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_refused(call(*arguments, "--coordinator", endpoint), 3, endpoint)


def test_a_refusal_by_a_process_of_its_own(tmp_path: Path) -> None:
    done = ffq("worker", env={"FFQ_WORKER_POLL_MS": "soon"}, cwd=tmp_path)
    assert_refused(done, 2, "FFQ_WORKER_POLL_MS", "soon")


def test_a_traceback_is_shown_when_asked_for(call: Call) -> None:
    done = call("--traceback", "submit", "not-there.json")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: plan file not-there.json")


def test_help_names_variables_and_exit_codes(call: Call) -> None:
    top = call("--help")
    assert top.returncode == 0
    assert "Exit codes:" in top.stdout
    shown = " ".join(call("gateway", "--help").stdout.split())
    shown += " ".join(call("worker", "--help").stdout.split())
    for variable in (
        "FFQ_BLACKLIST_FAILURE_THRESHOLD",
        "FFQ_MAX_CONCURRENT_TASKS_PER_WORKER",
        "FFQ_MAX_CONCURRENT_TASKS_PER_QUERY",
        "FFQ_MAX_TASK_ATTEMPTS",
        "FFQ_RETRY_BACKOFF_BASE_MS",
        "FFQ_WORKER_LIVENESS_TIMEOUT_MS",
        "FFQ_BLACKLIST_TTL_MS",
        "FFQ_UNRUNNABLE_TIMEOUT_MS",
        "FFQ_COORDINATOR_BIND",
        "FFQ_COORDINATOR_ENDPOINT",
        "FFQ_WORKER_ID",
        "FFQ_WORKER_CPU_SLOTS",
        "FFQ_SHUFFLE_ROOT",
        "FFQ_WORKER_SHUFFLE_BIND",
        "FFQ_COORDINATOR_CATALOG_PATH",
        "FFQ_WORKER_CATALOG_PATH",
        "FFQ_WORKER_OPERATORS",
        "FFQ_WORKER_POLL_MS",
    ):
        assert variable in shown


def test_version(call: Call) -> None:
    done = call("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "ffq")


def test_help_comes_before_the_heavy_libraries() -> None:
    heavy = "('grpc', 'duckdb', 'trio', 'pyarrow', 'ffq.messages', 'ffq.plan')"
    code = f"import ffq.cli.main, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("ffq.settings", ("ffq.catalog.catalog", "ffq.engine.engine", "pyarrow", "trio")),
        ("ffq.client", ("ffq.engine.engine", "ffq.core.coordinator", "ffq.worker", "duckdb")),
        (
            "ffq.gateway",
            ("ffq.engine.engine", "ffq.client", "ffq.worker", "pyarrow.compute", "duckdb"),
        ),
    ],
)
def test_nothing_is_imported_for_others(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
