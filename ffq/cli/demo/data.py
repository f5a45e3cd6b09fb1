"""TPC-H data as Parquet, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import trio

from ffq.cli.output.consoles import note
from ffq.errors import InvalidRequest, StartupError, StorageError
from ffq.threads import run_blocking

TABLES = ("customer", "orders", "lineitem")
PARTS = 4
"""Files for each table: enough for several scan tasks."""

MAX_SCALE = 100.0
_DIGESTS = "digests.json"


def check_scale(scale: float) -> float:
    """Raises InvalidRequest for a scale factor that makes no sense here."""
    if not 0 < scale <= MAX_SCALE:
        raise InvalidRequest(f"--scale {scale:g} is not above 0 and at most {MAX_SCALE:g}")
    return scale


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where data sets are kept: `$XDG_CACHE_HOME/ffq/tpch`, by default under `~/.cache`."""
    base = environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "ffq" / "tpch"


def dataset_name(scale: float, version: str) -> str:
    """A data set's folder: everything that decides its bytes is in its name."""
    return f"sf{scale:g}-{PARTS}-parts-tpchgen-{version}"


async def ensure_dataset(scale: float, cache: Path) -> Path:
    """The folder with one subfolder of Parquet files per table; made if it is not there yet.

    It is made under a temporary name and renamed when complete, so an interrupted run leaves
    nothing half done, and two runs at once do no harm: the first to finish wins. Cancelling stops
    the program that makes it. One that is damaged, by the digests that were taken when it was
    made, is made anew.

    Raises:
        StartupError: tpchgen-cli is not installed.
        StorageError: it failed, or the folder cannot be written.
    """
    program, version = _generator()
    folder = cache / dataset_name(scale, version)
    if folder.is_dir():
        damage = await run_blocking(_damage, folder)
        if damage is None:
            return folder
        note(f"TPC-H data in {folder} is damaged ({damage}): it is made anew")
    try:
        with _temporary_folder(cache) as temporary:
            made = Path(temporary) / "data"
            await _generate(program, scale, made)
            await run_blocking(_seal, made)
            await run_blocking(_publish, made, folder, Path(temporary) / "damaged")
    except OSError as error:
        raise StorageError(f"cannot keep TPC-H data in {cache}: {error.strerror}") from error
    return folder


def _temporary_folder(cache: Path) -> tempfile.TemporaryDirectory[str]:
    cache.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=cache, prefix=".making-")


def _generator() -> tuple[Path, str]:
    """The program and its version: beside this Python first, as an environment need not be on."""
    try:
        version = metadata.version("tpchgen-cli")
    except metadata.PackageNotFoundError:
        version = "unknown"
    beside = Path(sys.executable).parent / "tpchgen-cli"
    found = str(beside) if beside.is_file() else shutil.which("tpchgen-cli")
    if found is None:
        raise StartupError(
            "tpchgen-cli, which writes the TPC-H data, is not installed: "
            'pip install "ffq-runtime[demo]"'
        )
    return Path(found), version


async def _generate(program: Path, scale: float, folder: Path) -> None:
    command = [
        str(program),
        "parquet",
        f"--scale-factor={scale:g}",
        f"--parts={PARTS}",
        f"--tables={','.join(TABLES)}",
        f"--output-dir={folder}",
        "--quiet",
    ]
    done = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False, start_new_session=True
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        last = (said or f"exit code {done.returncode}").splitlines()[-1]
        raise StorageError(f"tpchgen-cli failed: {last}")
    for table in TABLES:
        if not any((folder / table).glob("*.parquet")):
            raise StorageError(f"tpchgen-cli wrote no Parquet file for table {table}")


def _seal(made: Path) -> None:
    """Keep the digest of each file beside the tables."""
    digests = {path.relative_to(made).as_posix(): _digest(path) for path in _files(made)}
    (made / _DIGESTS).write_text(json.dumps(digests, indent=2) + "\n")


def _damage(folder: Path) -> str | None:
    """What is wrong with a data set; None: it is as it was made."""
    try:
        digests = json.loads((folder / _DIGESTS).read_text())
        if not isinstance(digests, dict) or not digests:
            return f"{_DIGESTS} lists no files"
        there = {path.relative_to(folder).as_posix() for path in _files(folder)}
        for name in sorted(digests.keys() ^ there):
            return f"{name} is {'missing' if name in digests else 'not one of its files'}"
        for name, digest in digests.items():
            if _digest(folder / name) != digest:
                return f"{name} has changed"
    except (OSError, ValueError) as error:
        return f"{_DIGESTS} or a file cannot be read: {error}"
    return None


def _files(folder: Path) -> Iterator[Path]:
    for table in TABLES:
        yield from sorted((folder / table).glob("*.parquet"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _publish(made: Path, folder: Path, damaged: Path) -> None:
    """Put a data set in its place; a damaged one goes away with the temporary folder."""
    if folder.exists() and _damage(folder) is not None:
        with suppress(FileNotFoundError):
            folder.rename(damaged)
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
