"""The commands as a user meets them: real processes, exit codes, one clear line for an error."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.plan.builder import scan
from ffq.plan.expressions import col, count
from tests.cli.lines import Call, assert_refused, caller
from tests.processes import environment, ffq, gateway, running, worker
from tests.profiles import variants

QUERY_ID = "sales-by-shop"


@attrs.frozen
class Cluster:
    endpoint: str
    plan: Path


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cli")
    sales = pa.table(
        {
            "shop": ["a", "b", None, "a"],
            "day": pa.array([0, 10_000, None, 1], pa.int32()).cast(pa.date32()),
            "price": pa.array(["1.10", "2.20", "3.30", None]).cast(pa.decimal128(9, 2)),
        }
    )
    pq.write_table(sales, folder / "sales.parquet")
    catalog = folder / "tables.json"
    catalog.write_text(json.dumps([{"name": "sales", "uri": str(folder / "sales.parquet")}]))
    plan = folder / "plan.json"
    totals = [count().alias("n"), col("price").sum().alias("total"), col("day").max().alias("last")]
    relation = scan("sales", ["shop", "day", "price"]).aggregate(["shop"], totals, partitions=2)
    plan.write_bytes(relation.to_json())
    with gateway(f"--catalog={catalog}") as (_, endpoint), worker(endpoint, "w1"):
        yield Cluster(endpoint, plan)


@attrs.frozen
class Shell:
    """Runs commands in this process against a cluster of others, which a variable names."""

    _cluster: Cluster
    _call: Call

    @property
    def endpoint(self) -> str:
        return self._cluster.endpoint

    @property
    def plan(self) -> Path:
        return self._cluster.plan

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._call(*arguments, FFQ_COORDINATOR_ENDPOINT=f"http://{self._cluster.endpoint}")


@pytest.fixture
def cluster(
    processes: Cluster, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Shell:
    return Shell(processes, caller(monkeypatch, capfd))


def rows(text: str) -> list[list[str]]:
    header, *body = csv.reader(io.StringIO(text))
    return [header, *sorted(body)]


EXPECTED = [
    ["shop", "n", "total", "last"],
    ["", "1", "3.30", ""],
    ["a", "2", "1.10", "1970-01-02"],
    ["b", "1", "2.20", "1997-05-19"],
]


# --- a cluster that works ---------------------------------------------------------------------


def test_submit_wait_writes_csv_on_stdout_and_progress_on_stderr(cluster: Shell) -> None:
    options = ("--wait", "--format", "csv", "--coordinator", cluster.endpoint)
    done = ffq("submit", str(cluster.plan), *options)
    assert done.returncode == 0, done
    assert rows(done.stdout) == EXPECTED
    assert "SUCCEEDED" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_submit_status_fetch_cancel_of_one_query(cluster: Shell, tmp_path: Path) -> None:
    submitted = cluster("submit", str(cluster.plan), "--query-id", QUERY_ID)
    assert (submitted.returncode, submitted.stdout) == (0, f"{QUERY_ID}\n")
    again = cluster("submit", str(cluster.plan), "--query-id", QUERY_ID, "--wait")
    assert again.returncode == 0, again
    lines = again.stdout.splitlines()
    assert lines[0].split() == EXPECTED[0]
    assert len(lines) == 2 + 3

    status = cluster("status", QUERY_ID)
    assert status.stdout.startswith(f"{QUERY_ID} SUCCEEDED\n")
    assert "w1" in status.stdout
    everything = cluster("status").stdout
    assert QUERY_ID in everything
    assert "w1" in everything

    for name, read in (("out.parquet", pq.read_table), ("out.arrow", _read_stream)):
        fetched = cluster("fetch", QUERY_ID, "--output", str(tmp_path / name))
        assert (fetched.returncode, fetched.stdout) == (0, "")
        table = read(tmp_path / name)
        assert table.column_names == EXPECTED[0]
        assert table.num_rows == 3
    fetched = cluster("fetch", QUERY_ID, "--format", "json")
    assert {row["shop"]: row["total"] for row in json.loads(fetched.stdout)} == {
        "a": "1.10",
        "b": "2.20",
        None: "3.30",
    }
    assert cluster("cancel", QUERY_ID).stdout == f"{QUERY_ID} SUCCEEDED\n"


def _read_stream(path: Path) -> pa.Table:
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        return stream.read_all()


def test_a_plan_is_read_from_stdin(cluster: Shell) -> None:
    done = ffq(
        *("submit", "-", "--wait", "--format=csv", f"--coordinator={cluster.endpoint}"),
        stdin=cluster.plan.read_text(),
    )
    assert rows(done.stdout) == EXPECTED


def test_a_query_that_nobody_can_run_says_so_and_can_be_canceled(
    cluster: Shell, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(scan("sales", ["shop"]).custom("nobody.has.this").to_json())
    submitted = cluster("submit", str(plan), "--query-id", "waiting")
    assert submitted.returncode == 0, submitted
    assert "nobody.has.this" in cluster("status", "waiting").stdout
    assert_refused(cluster("fetch", "waiting"), 1, "waiting")
    assert cluster("cancel", "waiting", "--reason", "enough").stdout == "waiting CANCELED\n"
    waited = cluster("submit", str(plan), "--query-id", "waiting", "--wait")
    assert waited.returncode == 1
    assert waited.stdout == ""
    assert waited.stderr.splitlines()[-1].startswith("error: ")
    assert "enough" in waited.stderr


def test_a_failing_query_is_one_line_and_code_1(cluster: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(scan("sales", ["no_such_column"]).to_json())
    done = cluster("submit", str(plan), "--wait")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no_such_column" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    variants(
        [
            (("fetch", "nowhere"), 1, ("nowhere",)),
            (("status", "nowhere"), 1, ("nowhere",)),
            (("cancel", "nowhere"), 1, ("nowhere",)),
            (("status", "../etc"), 2, ("../etc",)),
        ]
    ),
)
def test_ids_that_name_no_query(
    cluster: Shell, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    assert_refused(cluster(*arguments), code, *words)


@pytest.mark.parametrize(
    ("text", "word"),
    [("this is not JSON", "JSON"), ('{"Frobnicate": {}}', "Frobnicate"), ("", "JSON")],
)
def test_a_plan_that_is_none_is_refused(
    cluster: Shell, tmp_path: Path, text: str, word: str
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    assert_refused(cluster("submit", str(plan)), 1, word, f"plan file {plan}: ")


def test_the_same_id_with_another_plan_is_refused(cluster: Shell, tmp_path: Path) -> None:
    assert cluster("submit", str(cluster.plan), "--query-id", "taken").returncode == 0
    plan = tmp_path / "plan.json"
    plan.write_bytes(scan("sales", ["shop"]).to_json())
    assert_refused(cluster("submit", str(plan), "--query-id", "taken"), 1, "taken")


def test_a_reader_that_goes_away_is_no_error(cluster: Shell) -> None:
    submitted = cluster("submit", str(cluster.plan), "--query-id", "piped", "--wait")
    assert submitted.returncode == 0, submitted
    command = [sys.executable, "-m", "ffq", "fetch", "piped", "--format", "csv"]
    env = environment(FFQ_COORDINATOR_ENDPOINT=cluster.endpoint)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


FULL = "error: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    variants(
        [
            ("status <&- 2>&-", 0, ""),
            ("status >&-", 2, "error: stdout is closed, and there the result would go\n"),
            ("status >/dev/full", 1, FULL),
            ("fetch open --format csv >/dev/full", 1, FULL),
            ("fetch open <&- >&- 2>&-", 2, ""),
        ]
    ),
)
def test_streams_that_are_closed_or_full(
    cluster: Shell, command: str, code: int, said: str
) -> None:
    submitted = cluster("submit", str(cluster.plan), "--query-id", "open", "--wait")
    assert submitted.returncode == 0, submitted
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m ffq {command}"],
        env=environment(FFQ_COORDINATOR_ENDPOINT=cluster.endpoint),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, said)
    assert bool(done.stdout) == (code == 0)


def test_nobody_has_to_read_stderr(cluster: Shell, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = tmp_path / "out.csv"
    options = ("--wait", f"--output={output}", f"--coordinator={cluster.endpoint}")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ffq", "submit", str(cluster.plan), *options],
            env=environment(),
            stderr=writer,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert rows(output.read_text()) == EXPECTED


def test_status_as_json(cluster: Shell) -> None:
    assert cluster("submit", str(cluster.plan), "--query-id", "told", "--wait").returncode == 0
    one = json.loads(cluster("status", "told", "--format", "json").stdout)
    assert (one["query"]["query_id"], one["query"]["state"]) == ("told", "SUCCEEDED")
    assert {attempt["worker_id"] for attempt in one["attempts"]} == {"w1"}
    assert one["attempts"][0]["key"]["query_id"] == "told"
    everything = json.loads(cluster("status", "--format=json").stdout)
    assert [worker["worker_id"] for worker in everything["workers"]] == ["w1"]
    assert "told" in {query["query_id"] for query in everything["queries"]}


def test_the_gateways_port_is_taken(cluster: Shell) -> None:
    assert_refused(ffq("gateway", f"--bind={cluster.endpoint}"), 2, cluster.endpoint)


def test_a_plan_that_cannot_be_bound_names_its_file(cluster: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "other.json"
    plan.write_text('{"ParquetScan": {"table": "sales"}}')
    assert_refused(cluster("submit", str(plan), "--wait"), 1, f"plan file {plan}: ", "filters")
    done = ffq("submit", "-", f"--coordinator={cluster.endpoint}", stdin="{}")
    assert_refused(done, 1, "the plan from stdin: ")


@pytest.mark.parametrize("number", variants([signal.SIGSTOP, signal.SIGKILL]))
def test_a_gateway_that_dies_while_a_query_is_waited_for_is_named_in_the_time_given(
    number: int, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(scan("t", ["x"]).to_json())
    with gateway() as (coordinator, endpoint):
        options = ("--wait", f"--coordinator={endpoint}", "--timeout-ms=1500")
        with running("submit", str(plan), *options) as waiting:
            waiting.wait_for("QUEUED")
            coordinator.signal(number)
            assert waiting.wait() == 3
            *_, advice, error = waiting.rest()
            assert " may go on: ffq fetch " in advice
            assert error.startswith(f"error: cannot reach the coordinator: {endpoint}")
        coordinator.signal(signal.SIGCONT)


def test_a_gateway_that_is_restarted_while_a_query_is_waited_for_does_not_know_it_any_more(
    tmp_path: Path,
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(scan("t", ["x"]).to_json())
    with gateway() as (coordinator, endpoint):
        options = ("--wait", f"--coordinator={endpoint}", "--timeout-ms=30000")
        with running("submit", str(plan), *options) as waiting:
            waiting.wait_for("QUEUED")
            coordinator.signal(signal.SIGKILL)
            coordinator.wait()
            with gateway(f"--bind={endpoint}"):
                assert waiting.wait() == 1
                *_, advice, error = waiting.rest()
                assert " is not known any more: was the coordinator restarted? " in advice
                assert advice.endswith(f"submit plan file {plan} again")
                assert error.startswith("error: there is no query ")


# --- servers stop when they are told ----------------------------------------------------------


@pytest.mark.parametrize("number", variants([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
def test_servers_stop_cleanly_on_a_signal(number: int, tmp_path: Path) -> None:
    with gateway() as (coordinator, endpoint):
        with worker(endpoint, "w1", f"--shuffle-root={tmp_path}") as process:
            process.signal(number)
            assert process.wait() == 0
            assert not any("Traceback" in line for line in process.rest())
        coordinator.signal(number)
        assert coordinator.wait() == 0
        assert not any("Traceback" in line for line in coordinator.rest())


def test_a_server_that_is_to_outlive_its_terminal_does() -> None:
    """As `nohup` starts it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with gateway() as (coordinator, _):
            coordinator.signal(signal.SIGHUP)
            coordinator.signal(signal.SIGTERM)
            assert coordinator.wait() == 0
            assert [line for line in coordinator.rest() if "once more" in line] == [
                "stopping; once more to stop at once"
            ]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_servers_told_to_stop_with_stdin_end_when_it_closes() -> None:
    with (
        gateway("--stop-with-stdin") as (coordinator, endpoint),
        worker(endpoint, "w1", "--stop-with-stdin") as process,
    ):
        for each in (process, coordinator):
            assert each.process.stdin is not None
            each.process.stdin.close()
            assert each.wait() == 0


def test_a_workers_operators_are_found_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "shop_operators.py").write_text(
        "from ffq.engine.operators import operator\n\n\n"
        '@operator("shop.same")\ndef same(batches, config):\n    yield from batches\n'
    )
    with gateway() as (_, endpoint):
        options = (f"--coordinator={endpoint}", "--shuffle-bind=127.0.0.1:0", "--worker-id=w1")
        env = {"FFQ_WORKER_OPERATORS": "shop_operators"}
        with running("worker", *options, env=env, cwd=tmp_path) as process:
            line = process.wait_for("worker w1 ready")
    assert f"coordinator {endpoint}" in line
    assert "shop.same" in line
