"""The 22 queries of TPC-H in a session of worker processes, beside the engine's own answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import duckdb
import pytest

import ffq
from tests.profiles import IS_QUICK, heavy
from tests.sql.compared import reading, rows_of
from tests.sql.tpch import QUERIES

SCALE = "0.05" if IS_QUICK else "0.1"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Path]]:
    root = tmp_path_factory.mktemp("tpch-sql")
    command = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run(
        [command, "parquet", "-s", SCALE, "--parts=4", f"--output-dir={root}"],
        check=True,
        capture_output=True,
    )
    return {folder.name: sorted(folder.glob("*.parquet")) for folder in root.iterdir()}


@pytest.fixture(scope="module")
def con(files: Mapping[str, list[Path]]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        for name, paths in files.items():
            con.execute(f"CREATE VIEW {name} AS {reading(paths)}")
        yield con


def check(
    session: ffq.Session,
    con: duckdb.DuckDBPyConnection,
    name: str,
    progress: Callable[[ffq.QueryStatus], None] | None = None,
) -> None:
    got = session.sql(QUERIES[name]).collect(progress=progress)
    want = con.sql(QUERIES[name]).to_arrow_table()
    assert got.schema.remove_metadata() == want.schema.remove_metadata(), name
    assert sorted(rows_of(got), key=repr) == sorted(rows_of(want), key=repr), name


def opened(files: Mapping[str, list[Path]], workers: int) -> ffq.Session:
    session = ffq.connect(workers=workers, progress=False)
    for name, paths in files.items():
        session.register(name, [str(path) for path in paths])
    return session


@pytest.mark.parametrize("workers", [2] if IS_QUICK else [1, 2, 3])
def test_all_of_them_give_what_the_engine_gives(
    files: Mapping[str, list[Path]], con: duckdb.DuckDBPyConnection, workers: int
) -> None:
    with opened(files, workers) as session:
        for name in QUERIES:
            check(session, con, name)


@heavy
def test_they_do_while_workers_are_killed(
    files: Mapping[str, list[Path]], con: duckdb.DuckDBPyConnection
) -> None:
    """Of every second one: each fourth of these loses a worker as soon as it runs."""
    killed: list[int] = []
    done: list[str] = []

    def kill(status: ffq.QueryStatus) -> None:
        if status.state is ffq.QueryState.RUNNING and len(killed) <= len(done) // 4:
            killed.append(workers()[0])
            os.kill(killed[-1], signal.SIGKILL)

    with opened(files, 2) as session:
        for name in list(QUERIES)[::2]:
            check(session, con, name, kill)
            done.append(name)
    assert len(killed) == 3


def workers() -> list[int]:
    """Worker processes of this process, the oldest first."""
    own = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = {int(pid) for each in own for pid in each.read_text().split()}
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children}
    return sorted(pid for pid, command in commands.items() if b"worker" in command)
