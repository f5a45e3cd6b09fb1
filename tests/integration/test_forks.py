"""A child that was forked after gRPC was used is told so at once, and does not hang."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import processes
from tests.profiles import variants

PROGRAM = """
import os, sys, traceback, trio, ffq

def in_child(attempt):
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    try:
        attempt()
    except ffq.errors.StartupError as error:
        print(error, flush=True)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)

async def ask():
    async with ffq.connect(endpoint) as client:
        await client.queries()

async def embed():
    async with ffq.LocalCluster() as cluster:
        await cluster.client.queries()

endpoint = sys.argv[1]
used = ffq.SyncClient(endpoint)
attempts = {
    "the same client": used.queries,
    "another client": lambda: ffq.SyncClient(endpoint).__enter__(),
    "a Trio client": lambda: trio.run(ask),
    "a cluster": lambda: trio.run(embed),
}
with used:
    used.queries()
    code = in_child(attempts[sys.argv[2]])
    used.queries()  # nothing happened to the parent
sys.exit(code)
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with processes.gateway() as (_, endpoint):
        yield endpoint


@pytest.mark.parametrize(
    "attempt", variants(["the same client", "another client", "a Trio client", "a cluster"])
)
def test_a_child_forked_after_use_is_told_so(endpoint: str, attempt: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, endpoint, attempt],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "this process was forked from process" in ran.stdout
    assert "'spawn' or 'forkserver'" in ran.stdout
