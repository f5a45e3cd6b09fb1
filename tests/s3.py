"""An S3 server on this machine, for as long as a block: moto's."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ffq.engine import stores

SECRET = "sekrit-7d1c40f29ab84e5c"  # the same in each process that collects the tests


@contextmanager
def s3_server(folder: Path) -> Iterator[Any]:
    """A bucket `lake`, by its fsspec file system; this process and those that it starts find the
    server by the environment."""
    pytest.importorskip("s3fs", reason="the extra `s3` installs s3fs")
    pytest.importorskip("moto", reason="the extra `test` installs moto, an S3 server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch, log.open("wb") as out:
        for name, value in environment.items():
            patch.setenv(name, value)
        stores.store.cache_clear()
        with subprocess.Popen(command, stdout=out, stderr=out) as server:
            fs = stores.store("s3")
            try:
                _until_it_answers(server, port, log)
                fs.mkdir("lake")
                yield fs
            finally:
                server.kill()
                type(fs).clear_instance_cache()  # the next server is another one
        stores.store.cache_clear()


def _until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while server.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail(f"the S3 server ended: {log.read_text()}")
