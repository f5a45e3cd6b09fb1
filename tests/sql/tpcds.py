"""TPC-DS: its tables at a small scale, and the texts of its 99 queries, made once and kept.

Neither is part of this repository. The tables are written by tpcgen-cli; the texts are those that
the engine's tpcds extension has, which is there for an older release of the engine only: so they
are read in an environment of their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SCALE: Final = "0.01"
_CACHE: Final = Path.home() / ".cache" / "ffq" / "tpcds"
_TEXTS_OF: Final = "1.5.5"
_READ_TEXTS: Final = """
import json, pathlib, sys
import duckdb, duckdb_extension_tpcds
found = pathlib.Path(duckdb_extension_tpcds.__file__).parent.glob("extensions/*/*.duckdb_extension")
con = duckdb.connect(config={"allow_unsigned_extensions": True})
con.execute(f"LOAD '{next(found)}'")
rows = con.execute("SELECT query_nr, query FROM tpcds_queries() ORDER BY query_nr").fetchall()
json.dump(dict(rows), sys.stdout)
"""


def tables() -> dict[str, list[Path]]:
    """The 24 tables' files. Raises RuntimeError: they cannot be made; says why."""
    folder = _CACHE / f"sf{SCALE}"
    if not folder.is_dir():
        command = Path(sys.executable).with_name("tpcgen-cli")
        if not command.is_file():
            raise RuntimeError(
                "tpcgen-cli, which writes the tables of TPC-DS, is not installed; right would be "
                'pip install "ffq-runtime[tpcds]"'
            )
        with _beside(folder) as made:
            _run([str(command), "tpcds", "parquet", "-s", SCALE, f"--output-dir={made}"])
            made.rename(folder)
    files = sorted(folder.glob("*.parquet"))
    return {file.stem: [file] for file in files if file.stem != "dbgen_version"}


def queries() -> dict[int, str]:
    """The texts by number, 1 to 99. Raises RuntimeError: they cannot be had; says why."""
    kept = _CACHE / f"queries-{_TEXTS_OF}.json"
    if not kept.is_file():
        with _beside(kept) as environment:
            _run([sys.executable, "-m", "venv", str(environment)])
            python = str(environment / "bin" / "python")
            wanted = [f"duckdb=={_TEXTS_OF}", f"duckdb-extension-tpcds=={_TEXTS_OF}"]
            _run([python, "-m", "pip", "install", "--quiet", *wanted])
            text = _run([python, "-c", _READ_TEXTS])
            made = environment / kept.name
            made.write_text(text)
            made.rename(kept)
    found = {int(number): sql for number, sql in json.loads(kept.read_text()).items()}
    assert sorted(found) == list(range(1, 100))
    return found


class _beside:  # noqa: N801
    """A new folder on the disk where `kept` will be, so that it is there whole or not at all."""

    def __init__(self, kept: Path) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        self._root = Path(tempfile.mkdtemp(prefix=".making-", dir=kept.parent))

    def __enter__(self) -> Path:
        return self._root / "made"

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._root)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
