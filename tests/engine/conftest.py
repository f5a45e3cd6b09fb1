"""One engine for all tests of the engine, and a little TPC-H data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffq.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def tpch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Files of each TPC-H table, by name. Strings are string_view."""
    root = tmp_path_factory.mktemp("tpch")
    command = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run(
        [command, "parquet", "-s", "0.01", "--parts=3", f"--output-dir={root}"],
        check=True,
        capture_output=True,
    )
    return {folder.name: sorted(folder.glob("*.parquet")) for folder in root.iterdir()}
