"""SQL from end to end: a gateway and a worker as real processes, a client, and the command."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio

import ffq
from ffq.client import connect
from ffq.messages import QueryState
from tests.cli.lines import Call, assert_refused, caller
from tests.processes import Running, alive, gateway, running, worker
from tests.sql.test_planning_process import until


@attrs.frozen
class Site:
    folder: Path
    gateway: Running
    endpoint: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sql")
    for number in range(2):
        values = list(range(number, 100, 2))
        table = pa.table({"k": [value % 3 for value in values], "v": values})
        pq.write_table(table, folder / f"part {number}.parquet")
    shops = pa.table({"k": [0, 1, 2], "shop": ["a", "it's", None]})
    pq.write_table(shops, folder / "shops.parquet")
    catalog = folder / "tables.json"
    catalog.write_text(json.dumps([{"name": "shops", "paths": ["shops.parquet"]}]))
    with (
        gateway(f"--catalog={catalog}") as (process, endpoint),
        worker(endpoint, "w1"),
    ):
        yield Site(folder, process, endpoint)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], site: Site) -> Call:
    monkeypatch.chdir(site.folder)
    return caller(monkeypatch, capfd)


JOINED = (
    "SELECT shop, count(*) AS n, sum(v) AS total FROM 'part *.parquet' p JOIN shops USING (k) "
    "WHERE v >= $low GROUP BY shop ORDER BY shop NULLS FIRST"
)
EXPECTED = [
    ["shop", "n", "total"],
    ["", "30", str(sum(v for v in range(10, 100) if v % 3 == 2))],
    ["a", "30", str(sum(v for v in range(10, 100) if v % 3 == 0))],
    ["it's", "30", str(sum(v for v in range(10, 100) if v % 3 == 1))],
]


async def test_a_query_over_the_catalog_and_files_runs_on_a_worker_elsewhere(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.folder)
    async with connect(site.endpoint) as client:
        handle = await client.submit_sql(JOINED, {"low": 10})
        table = await handle.result()
        assert [[*map(str, row.values())] for row in table.to_pylist()] == [
            [each or "None" for each in row] for row in EXPECTED[1:]
        ]
        told = await client.run_sql(
            "SELECT max(v) FROM u WHERE k = ?", [1], tables={"u": ["part 0.parquet"]}
        )
        assert told.to_pylist() == [{"max(v)": 94}]
        statuses = await client.attempts(handle)
        assert {attempt.worker_id for attempt in statuses} == {"w1"}


def test_the_command_asks_a_coordinator(call: Call, site: Site, tmp_path: Path) -> None:
    options = ("--param", "low=10", "--format=csv", f"--coordinator={site.endpoint}")
    asked = call("sql", JOINED, *options)
    assert asked.returncode == 0, asked.stderr
    assert list(csv.reader(io.StringIO(asked.stdout))) == EXPECTED

    query = tmp_path / "query.sql"
    query.write_text("-- by name\nSELECT shop FROM x WHERE shop = $shop")
    given = ("--table", "x=shops.parquet", "--param", "shop=it's", "--format=json")
    asked = call("sql", "--file", str(query), *given, FFQ_COORDINATOR_ENDPOINT=site.endpoint)
    assert (asked.returncode, json.loads(asked.stdout)) == (0, [{"shop": "it's"}])


def test_an_error_in_a_query_shows_its_place(call: Call, site: Site) -> None:
    asked = call("sql", "SELECT shop,\n  sold FROM shops", f"--coordinator={site.endpoint}")
    assert (asked.returncode, asked.stdout) == (1, "")
    error, line, caret = asked.stderr.splitlines()
    assert error.startswith('error: line 2, column 3: Referenced column "sold" not found')
    assert (line, caret) == ("line 2:   sold FROM shops", "          ^")


ENDLESS = (
    "SELECT count(*) FROM 'part *.parquet' a, 'part *.parquet' b, 'part *.parquet' c, "
    "'part *.parquet' d, 'part *.parquet' e WHERE hash(a.v * b.v, c.v * d.v, e.v) = 1"
)


def test_an_interrupted_query_is_canceled_with_its_analysis_too(site: Site) -> None:
    options = ("--analyze", f"--coordinator={site.endpoint}")
    with ffq.SyncClient(site.endpoint) as client:
        asked = client.run_sql(
            "SELECT max(k) AS k FROM t", tables={"t": str(site.folder / "part*")}
        )
        assert asked.to_pylist() == [{"k": 2}]

        def states() -> list[QueryState]:
            return [query.state for query in client.queries()]

        with running("sql", ENDLESS, *options, cwd=site.folder) as process:
            until("it runs", lambda: QueryState.RUNNING in states())
            process.signal(signal.SIGINT)
            assert process.wait() == 130
        until("it has ended", lambda: QueryState.RUNNING not in states())
        assert states()[0] is QueryState.CANCELED


def test_what_is_not_distributed_is_told_by_its_name(call: Call, site: Site) -> None:
    asked = call("sql", "COPY shops FROM 'x.csv'", f"--coordinator={site.endpoint}")
    assert_refused(asked, 1, "COPY ... FROM: files are read where they are")


def test_without_a_coordinator_the_command_runs_it_itself(call: Call) -> None:
    asked = call("sql", "SELECT count(*) AS n FROM 'part *.parquet'", "--format=json")
    assert (asked.returncode, json.loads(asked.stdout)) == (0, [{"n": 100}])


def test_the_process_that_plans_ends_with_its_gateway() -> None:
    with gateway() as (process, endpoint):

        async def plan() -> None:
            async with connect(endpoint) as client:
                await client.plan_sql("SELECT 1")

        trio.run(plan)
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        children = [pid for one in threads for pid in (one / "children").read_text().split()]
        process.signal(signal.SIGKILL)
        process.wait()
    (child,) = map(int, children)
    until("the child has ended", lambda: not alive(child))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sql",), ("--file",)),
        (("sql", "SELECT 1", "--file", "x.sql"), ("--file",)),
        (("sql", "--file", "no.sql"), ("no.sql", "No such file")),
        (("sql", "SELECT 1", "--table", "x"), ("--table", "NAME=PATH")),
        (("sql", "SELECT 1", "--param", "=x"), ("--param", "NAME=VALUE")),
        (("sql", "SELECT 1", "--workers", "0"), ("--workers",)),
        (("sql", "SELECT 1", "--workers", "1000"), ("workers=1000", "1 to 64")),
        (("sql", "FROM t", "--table=t=a", "--table=T=b"), ("--table 'T' is given twice", "'b'")),
        (("sql", "SELECT $x", "--param=x=1", "--param=$x=2"), ("--param 'x' is given twice",)),
        (("sql", "SELECT '\udcff'"), ("the query is not UTF-8 text: byte 8",)),
        (("sql", "SELECT 1", "--param=x=\udcff"), ("--param is not UTF-8 text: byte 2",)),
    ],
)
def test_bad_usage_is_one_line_and_code_2(
    call: Call, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(call(*arguments), 2, *words)


def test_a_coordinator_that_is_not_there_is_code_3(call: Call) -> None:
    assert_refused(
        call("sql", "SELECT 1", "--coordinator=127.0.0.1:1", "--timeout-ms=100"), 3, "127.0.0.1:1"
    )
