"""Files that are damaged, cut off, emptied, replaced or removed: the error names table and file,
and the engine goes on.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table
from ffq.engine import Engine, FragmentSpec
from ffq.engine.culprits import by_table
from ffq.engine.faults import execution_error
from ffq.engine.zstframes import is_whole
from ffq.errors import DataError, FfqError, FileChanged, StorageError
from ffq.plan.model import ParquetScan
from tests.engine.runner import run_fragment

ROWS = 2_000
TABLE = pa.table({"a": list(range(ROWS)), "b": [f"row {i * 7919 % 10007}" for i in range(ROWS)]})
FORMATS = ["parquet", "csv", "csv.gz", "jsonl", "jsonl.zst"]


def write(path: Path, table: pa.Table = TABLE) -> bytes:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=500)
        return path.read_bytes()
    rows = table.to_pylist()
    if ".csv" in path.name:
        lines = [",".join(table.column_names), *(f"{row['a']},{row['b']}" for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return data


def scan(engine: Engine, folder: Path, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Rows of the files; `meanwhile` comes between planning and reading."""
    bound = Catalog.of([Table("t", (str(folder),))]).scan_shares("t", 2**60, 1)
    meanwhile()
    formats = {} if bound.format is None else {0: bound.format}
    spec = FragmentSpec(ParquetScan("t", None, None, ()), {0: bound.shares[0]}, formats=formats)
    return int(run_fragment(engine, spec).num_rows)


@pytest.fixture(params=FORMATS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A whole file, and one to damage, of one format."""
    found = tmp_path / f"a.{request.param}", tmp_path / f"b.{request.param}"
    for path in found:
        write(path)
    return found


def refused(
    engine: Engine,
    path: Path,
    kinds: type[FfqError] | tuple[type[FfqError], ...] = (DataError, StorageError),
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Reading the file's folder is an error that names it; the next query finds what is whole."""
    with pytest.raises(kinds) as caught:
        scan(engine, path.parent, meanwhile)
    assert "table 't'" in caught.value.message
    assert str(path) in caught.value.message
    path.unlink(missing_ok=True)
    assert scan(engine, path.parent) == ROWS


def test_the_end_is_missing(engine: Engine, files: tuple[Path, Path]) -> None:
    """Of CSV nothing tells that there was more."""
    data = files[1].read_bytes()
    files[1].write_bytes(data[: len(data) * 2 // 3])
    if files[1].suffix == ".csv":
        assert ROWS < scan(engine, files[1].parent) < 2 * ROWS
    else:
        refused(engine, files[1])


@pytest.mark.parametrize("name", ["t.csv.zst", "t.jsonl.zst"])
def test_the_end_of_zstd_is_missing_at_the_end_of_a_line(
    engine: Engine, tmp_path: Path, name: str
) -> None:
    """The engine takes it for the end of the file."""
    write(tmp_path / f"whole-{name}")
    text = write(tmp_path / name.removesuffix(".zst"))
    (tmp_path / name.removesuffix(".zst")).unlink()
    at = text.index(b"\n", len(text) // 2) + 1
    first, second = (
        pa.compress(part, codec="zstd", asbytes=True) for part in (text[:at], text[at:])
    )
    (tmp_path / name).write_bytes(first + second[: len(second) // 2])
    refused(engine, tmp_path / name, StorageError)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz", "t.jsonl.zst"])
def test_a_part_in_the_middle_is_missing(engine: Engine, tmp_path: Path, name: str) -> None:
    """The end is there, of Parquet the footer, that tells of pages which are not."""
    write(tmp_path / f"whole-{name}")
    data = write(tmp_path / name)
    (tmp_path / name).write_bytes(data[: len(data) // 4] + data[len(data) // 2 :])
    refused(engine, tmp_path / name)


def test_pages_of_parquet_are_other_bytes(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "whole.parquet")
    data = write(tmp_path / "t.parquet")
    at, end = len(data) // 4, len(data) // 2
    (tmp_path / "t.parquet").write_bytes(data[:at] + bytes(end - at) + data[end:])
    refused(engine, tmp_path / "t.parquet")


def test_a_file_of_no_bytes(engine: Engine, files: tuple[Path, Path]) -> None:
    files[1].write_bytes(b"")
    if files[1].suffix == ".parquet":
        refused(engine, files[1])
    else:
        assert scan(engine, files[1].parent) == ROWS


def test_a_file_without_rows(engine: Engine, files: tuple[Path, Path]) -> None:
    for path in files[::-1]:
        write(path, TABLE.slice(0, 0))
        assert scan(engine, path.parent) == ROWS
        write(path)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
@pytest.mark.parametrize("happens", ["replaced", "removed"])
def test_a_file_that_changes_before_it_is_read(
    engine: Engine, tmp_path: Path, name: str, happens: str
) -> None:
    write(tmp_path / f"whole-{name}")
    path = tmp_path / name
    write(path)
    if happens == "removed":
        refused(engine, path, StorageError, path.unlink)
    else:
        refused(engine, path, FileChanged, lambda: write(path, TABLE.slice(0, 10)))


def test_a_zstd_file_is_whole_or_not() -> None:
    """Of several frames, with and without content; and cut at each place."""
    first, second, third = (
        pa.compress(text, codec="zstd", asbytes=True) for text in (b"ab" * 300, b"", b"x")
    )
    skipped = b"\x53\x2a\x4d\x18\x03\x00\x00\x00abc"
    data = b""
    ends = {0}
    for frame in (first, skipped, second, third):
        data += frame
        ends.add(len(data))
    sizes = range(len(data) + 1)
    assert {size for size in sizes if is_whole(BytesIO(data[:size]), size)} == ends
    assert is_whole(BytesIO(b"no zstd at all"), 14)


def test_where_the_engine_names_no_file_those_that_were_read_are_named(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet")
    bound = Catalog.of([Table("t", (str(tmp_path),))]).scan_shares("t", 2**60, 1)
    spec = FragmentSpec(ParquetScan("t", None, None, ()), {0: bound.shares[0]})
    fault = execution_error(OSError("Invalid Error: TProtocolException: Invalid data"))
    named = by_table(fault, spec)
    assert isinstance(named, StorageError)
    assert named.message.startswith(f"table 't', one of {tmp_path / 't.parquet'}: ")
