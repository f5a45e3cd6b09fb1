"""`ffq demo --write-files`: data, catalog and plans, to try the commands by hand."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

from ffq.cli.demo.data import TABLES, cache_folder, ensure_dataset
from ffq.cli.output.consoles import note
from ffq.cli.signals import run_command
from ffq.errors import StorageError
from ffq.plan import tpch


def write_example(folder: Path, scale: float) -> None:
    """Write `data/`, `tables.json`, `q1.json` and `q3.json` into a folder, made if need be.

    Files of these names that are there already are replaced.

    Raises:
        StartupError: tpchgen-cli is not installed.
        StorageError: the folder cannot be written.
    """
    dataset = run_command(partial(ensure_dataset, scale, cache_folder(os.environ)))
    target = folder.absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            shutil.rmtree(target / "data" / table, ignore_errors=True)
            shutil.copytree(dataset / table, target / "data" / table)
        (target / "tables.json").write_text(catalog_json(target / "data"))
        (target / "q1.json").write_bytes(tpch.q1().to_json() + b"\n")
        (target / "q3.json").write_bytes(tpch.q3().to_json() + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    note(f"TPC-H at scale {scale:g}, tables.json, q1.json and q3.json are in {folder}; try there:")
    for line in (
        "ffq gateway --bind 127.0.0.1:50051 --catalog tables.json",
        "ffq worker --coordinator 127.0.0.1:50051 --worker-id w1",
        "ffq submit q1.json --wait --format csv",
    ):
        note(f"  {line}")


def catalog_json(data: Path) -> str:
    """A catalog of the TPC-H tables under `data`, by absolute path: it works from anywhere."""
    tables = [
        {"name": table, "uri": str(data / table), "format": "parquet", "options": {}}
        for table in TABLES
    ]
    return json.dumps({"tables": tables}, indent=2) + "\n"
