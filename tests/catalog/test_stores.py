"""Tables in stores that fsspec URIs name: an S3 server on this machine, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, ScanSettings, Table, describe_table, plan_scans
from ffq.engine import Engine, FragmentSpec, stores
from ffq.engine.writes import settle
from ffq.errors import FfqError, FileChanged, PlanningError, StorageError
from ffq.messages import PlanSql
from ffq.plan.model import FetchedRows, NumberedScan, ParquetScan
from ffq.plan.stages import cut
from ffq.plan.terms import (
    BinaryOp,
    BinaryOperator,
    Column,
    FileFormat,
    Literal,
    LiteralType,
    WriteMode,
    WriteTarget,
)
from ffq.plan.writes import written
from ffq.sql.service import PlanningService
from tests.engine.runner import LocalRunner, leaf, run_fragment
from tests.s3 import SECRET, s3_server

fsspec = pytest.importorskip("fsspec", reason="the extra `s3` installs fsspec")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A bucket `lake` of an S3 server; what reads it finds the server by the environment."""
    with s3_server(tmp_path_factory.mktemp("s3")) as fs:
        yield fs


def put(fs: Any, path: str, values: range) -> None:
    with fs.open(path, "wb") as file:
        pq.write_table(pa.table({"v": values}), file, row_group_size=20)


def read(engine: Engine, *locations: str) -> list[dict[str, object]]:
    found = Catalog.of([Table("t", locations)]).scan_shares("t", 2**60, 1)
    formats = {} if found.format is None else {0: found.format}
    spec = FragmentSpec(ParquetScan("t", None, None, ()), {0: found.shares[0]}, formats=formats)
    rows: list[dict[str, object]] = run_fragment(engine, spec).to_pylist()
    return rows


def test_folders_globs_and_files_of_a_bucket(lake: Any, engine: Engine) -> None:
    put(lake, "lake/hive/year=2023/a.parquet", range(50))
    put(lake, "lake/hive/year=2024/b.parquet", range(50, 100))
    put(lake, "lake/hive/_temporary/c.parquet", range(1000))
    expected = [(at, 2023 if at < 50 else 2024) for at in range(100)]
    for location in ("s3://lake/hive", "s3://lake/hive/year=*/*.parquet"):
        rows = read(engine, location)
        assert sorted((row["v"], row["year"]) for row in rows) == expected
    described = describe_table(Table("t", ("s3://lake/hive",)))
    assert (described.columns, described.rows) == ((("v", "BIGINT"), ("year", "BIGINT")), 100)
    assert len(read(engine, "s3://lake/hive/year=2024/b.parquet")) == 50


def test_rows_in_a_bucket_are_found_again(lake: Any, engine: Engine) -> None:
    put(lake, "lake/rows/a.parquet", range(50))
    put(lake, "lake/rows/b.parquet", range(50, 100))
    shares = Catalog.of([Table("t", ("s3://lake/rows",))]).scan_shares("t", 2**60, 1).shares
    scan = ParquetScan("t", None, ("v",), ())
    numbered = NumberedScan("t", None, ("v",), ())
    rows = run_fragment(engine, FragmentSpec(numbered, {0: shares[0]}))
    wanted = rows.filter(pc.is_in(rows.column(0), pa.array([77, 3]))).to_reader
    spec = FragmentSpec(FetchedRows(leaf(), scan, 1), {0: shares[0]}, {0: wanted})
    found = run_fragment(engine, spec)
    assert found.column(0).to_pylist() == found.column(2).to_pylist()
    assert sorted(found.column(2).to_pylist()) == [3, 77]


def test_row_groups_in_a_bucket_are_left_out_by_their_statistics(lake: Any) -> None:
    put(lake, "lake/pruned/a.parquet", range(100))
    above = BinaryOp(Column("v"), BinaryOperator.GT_EQ, Literal(LiteralType.INT64, 70))
    catalog = Catalog.of([Table("t", ("s3://lake/pruned",))])
    plan = ParquetScan("t", None, ("v",), (above,))
    (scan,) = plan_scans(cut(plan), catalog, ScanSettings(2**60))
    ((split,),) = scan.shares
    assert (split.path, split.row_group_start, split.row_group_end) == (
        "s3://lake/pruned/a.parquet",
        3,
        5,
    )


def test_text_files_of_a_bucket(lake: Any, engine: Engine) -> None:
    with lake.open("lake/text/a.csv.gz", "wb", compression="gzip") as file:
        file.write(b"a,b\n1,x\n")
    with lake.open("lake/lines/a.jsonl", "wb") as file:
        file.write(b'{"a": 1}\n{"a"\n')
    assert read(engine, "s3://lake/text") == [{"a": 1, "b": "x"}]
    with pytest.raises(StorageError, match=r"s3://lake/lines/a\.jsonl, line 2: it is no JSON"):
        read(engine, "s3://lake/lines")


def test_an_object_written_anew_is_another_one(lake: Any, engine: Engine) -> None:
    put(lake, "lake/anew/a.parquet", range(10))
    found = Catalog.of([Table("t", ("s3://lake/anew",))]).scan_shares("t", 1, 1)
    put(lake, "lake/anew/a.parquet", range(1000))
    with pytest.raises(FileChanged, match="s3://lake/anew/a.parquet"):
        run_fragment(engine, FragmentSpec(ParquetScan("t", None, None, ()), {0: found.shares[0]}))


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("s3://nowhere/t", "table 't': cannot list s3://nowhere/t: The specified bucket does not"),
        ("s3://lake/nothing", "table 't': no file at s3://lake/nothing"),
        ("s3://lake/nothing*.parquet", "table 't': no file at s3://lake/nothing"),
    ],
)
def test_what_is_missing_is_named(lake: Any, location: str, complaint: str) -> None:
    with pytest.raises(StorageError) as caught:
        describe_table(Table("t", (location,)))
    assert complaint in caught.value.message


def test_another_process_with_wrong_credentials_says_so_and_tells_none(lake: Any) -> None:
    """moto asks for no signature: what a server says then, an endpoint that refuses stands for."""
    put(lake, "lake/shut/a.parquet", range(10))
    refusing = (
        "import http.server, threading, os\n"
        "class Refuses(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = b'<Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key '"
        "b'Id you provided does not exist in our records.</Message></Error>'\n"
        "        self.send_response(403)\n"
        "        self.send_header('Content-Length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'' if self.command == 'HEAD' else body)\n"
        "    do_HEAD = do_GET\n"
        "    def log_message(self, *_): pass\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Refuses)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "os.environ['AWS_ENDPOINT_URL'] = f'http://127.0.0.1:{server.server_port}'\n"
        "from ffq.catalog import Table, describe_table\n"
        "from ffq.errors import StorageError\n"
        "try:\n"
        "    describe_table(Table('t', ('s3://lake/shut/a.parquet',)))\n"
        "except StorageError as error:\n"
        "    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", refusing], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "table 't'" in done.stdout
    assert "s3://lake/shut/a.parquet" in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "location",
    [
        f"s3://me:{SECRET}@lake/t",
        f"s3://lake/t?aws_secret_access_key={SECRET}",
        f"s3://lake/t?X-Amz-Signature={SECRET}&x=1",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(
        StorageError, match="holds credentials; right would be none in it"
    ) as caught:
        describe_table(Table("t", (location,)))
    assert SECRET not in caught.value.message


def test_a_query_over_a_bucket_is_planned_in_another_process(lake: Any) -> None:
    """Which finds the server as this one does."""
    put(lake, "lake/planned/a.parquet", range(10))
    with PlanningService() as service:
        planned = service.plan(PlanSql("SELECT sum(v) AS s FROM 's3://lake/planned/*.parquet'"))
    assert [column.name for column in planned.columns] == ["s"]


def test_rows_are_written_into_a_bucket(lake: Any, engine: Engine, tmp_path: Path) -> None:
    runner = LocalRunner(engine, tmp_path / "shuffle", {"t": [tmp_path / "t.parquet"]})
    halves = pa.table({"v": list(range(10)), "half": [at // 5 for at in range(10)]})
    pq.write_table(halves, tmp_path / "t.parquet")
    rows = ParquetScan("t", None, None, ())
    to, one = (
        WriteTarget(f"s3://lake/written/{name}", WriteMode.REPLACE, single_file, "w1")
        for name, single_file in (("to", False), ("one.csv", True))
    )
    lake.pipe_file("lake/written/to/old.parquet", b"old")
    lake.pipe_file("lake/written/one.csv", b"old")
    assert runner.run(written(rows, to, FileFormat.PARQUET, ("half",))).to_pylist() == [
        {"Count": 10}
    ]
    assert runner.run(written(rows, one, FileFormat.CSV)).to_pylist() == [{"Count": 10}]
    assert {row["v"] for row in read(engine, "s3://lake/written/to")} == set(range(10))
    assert lake.cat_file("lake/written/one.csv").startswith(b"v,half\n")
    settle(to, succeeded=True)
    settle(one, succeeded=False)
    assert lake.cat_file("lake/written/one.csv") == b"old"
    assert [path.removeprefix("lake/written/") for path in lake.find("lake/written")] == [
        "one.csv",
        "to/half=0/part-00000-0-w1.parquet",
        "to/half=1/part-00000-0-w1.parquet",
    ]
    assert Catalog.of([Table("to", (to.path,))]).folder_of("to") == (to.path, ("half",))
    with pytest.raises(PlanningError, match=r"right to write into would be a table that is one"):
        Catalog.of([Table("one", (one.path,))]).folder_of("one")


def test_memory_is_read_within_one_process(engine: Engine) -> None:
    fs = fsspec.filesystem("memory")
    put(fs, "/kept/year=1/a.parquet", range(30))
    found = sorted(read(engine, "memory://kept"), key=str)
    assert found == sorted(({"v": at, "year": 1} for at in range(30)), key=str)
    fs.rm("/kept", recursive=True)


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("foo://b/x", "foo:// is not known to fsspec"),
        ("S3://b/x", "'S3://b/x' is no URI of a store"),
        ("s3://", "'s3://' is no URI of a store"),
    ],
)
def test_stores_that_are_none(location: str, complaint: str) -> None:
    with pytest.raises(StorageError, match=complaint):
        describe_table(Table("t", (location,)))


def test_a_store_whose_library_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    stores.store.cache_clear()
    with pytest.raises(FfqError, match=r'pip install "ffq-runtime\[gcs\]"'):
        describe_table(Table("t", ("gs://b/x",)))
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(FfqError, match=r"gs:// needs fsspec; .*ffq-runtime\[gcs\]"):
        describe_table(Table("t", ("gs://b/x",)))
