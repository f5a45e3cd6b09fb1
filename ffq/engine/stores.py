"""Files where they are: in the file system, or in a store that an fsspec URI names (`s3://...`).

A store's credentials and endpoint come from the environment of the process that reads, as its
client library takes them; no URI, plan or message holds any.
"""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import unquote

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.errors import StorageError, UnsupportedPlan

T = TypeVar("T")
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")
_SECRET: Final = re.compile(
    r"[?&;][^=/]*(key|secret|token|password|credential|signature|sig)[^=/]*=", re.IGNORECASE
)
# A listing of before would hide what was written since.
_FRESH: Final[dict[str, object]] = {"use_listings_cache": False}
# Of each file that is written so much is in memory, beside what the engine is allowed. A store
# takes at most 10,000 of such pieces for one object.
_S3: Final[dict[str, object]] = {**_FRESH, "default_block_size": 32 << 20}
_OPTIONS: Final = {"s3": _S3, "s3a": _S3, "gs": _FRESH, "gcs": _FRESH}
WRITTEN: Final = frozenset(_EXTRAS)
"""Schemes of stores that make an object only where there is none, when they are told so."""
MAGIC: Final = frozenset("*?[")
"""What makes a pattern of a path."""
_COMPRESSED: Final = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


@attrs.frozen
class Status:
    """As `os.stat` says it of a file. st_mtime_ns: 0 where a store does not say."""

    st_size: int
    st_mtime_ns: int


def check_uri(path: str) -> None:
    """
    Raises:
        StorageError: a URI that holds credentials; what may be secret is not repeated.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        return
    if "@" in rest.partition("/")[0] or _SECRET.search(rest):
        raise StorageError(
            f"a {scheme[:20]}:// URI holds credentials; right would be none in it: each process "
            f"takes them from its own environment"
        )
    if scheme_of(path) is None or not rest:
        raise StorageError(f"{path!r} is no URI of a store; right would be s3://bucket/path")


def file_path(uri: str) -> str | None:
    """The path that a `file://` URI names; None: it names none on this machine."""
    host, slash, path = unquote(uri.removeprefix("file://")).partition("/")
    return f"/{path}" if slash and host in {"", "localhost"} else None


def scheme_of(path: str) -> str | None:
    """The scheme of a store's URI; None: a path of the file system."""
    match = _SCHEME.match(path)
    return match[1] if match else None


@functools.cache
def store(scheme: str) -> Any:
    """The fsspec file system of a scheme.

    Raises:
        StorageError: its client library is not installed, names the extra; or no such scheme.
    """
    extra = _EXTRAS.get(scheme)
    install = f'; right would be: pip install "ffq-runtime[{extra}]"' if extra else ""
    try:
        import fsspec  # noqa: PLC0415  # of an extra
    except ImportError:
        missing = extra or "s3"
        raise StorageError(
            f'{scheme}:// needs fsspec; right would be: pip install "ffq-runtime[{missing}]"'
        ) from None
    try:
        return fsspec.filesystem(scheme, **_OPTIONS.get(scheme, {}))
    except ImportError as error:
        raise StorageError(f"{scheme}:// cannot be read here: {error}{install}") from None
    except ValueError:
        raise StorageError(
            f"{scheme}:// is not known to fsspec; right would be a path, s3://, gs:// or another"
        ) from None
    except Exception as error:  # whatever a client library raises without credentials
        raise StorageError(f"{scheme}:// cannot be read here: {said(error)}") from error


def asked(scheme: str, ask: Callable[[Any], T]) -> T:
    """What a store answers.

    Raises:
        OSError: it does not; in its own words, without anything secret.
    """
    fs = store(scheme)
    try:
        return ask(fs)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(said(error)) from error
    except Exception as error:  # each client library has errors of its own
        raise OSError(said(error)) from error


def said(error: BaseException) -> str:
    """The first line of a client library's error, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def status(path: str) -> Status:
    """Size and time of change of a file. Raises OSError, StorageError."""
    scheme = scheme_of(path)
    if scheme is None:
        found = os.stat(path)
        return Status(found.st_size, found.st_mtime_ns)
    info = asked(scheme, lambda fs: fs.info(path))
    return Status(info["size"] or 0, round(changed_s(info) * 10**6) * 1000)


def changed_s(info: Mapping[str, Any]) -> float:
    """When an object was last written, unix seconds, as its store says; 0: it does not."""
    changed = next((info[key] for key in ("LastModified", "mtime", "created") if key in info), None)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return float(changed or 0)


def parquet_file(path: str) -> pq.ParquetFile:
    """A Parquet file, open; INT96 in microseconds, as DuckDB has them. Raises as `status`."""
    scheme = scheme_of(path)
    source = path if scheme is None else asked(scheme, lambda fs: fs.open(path, "rb"))
    return pq.ParquetFile(source, coerce_int96_timestamp_unit="us")


def open_bytes(path: str) -> BinaryIO:
    """A file's bytes, decompressed by the end of its name. Raises as `status`."""
    opened = open_file(path)
    codec = next((codec for end, codec in _COMPRESSED.items() if path.endswith(end)), None)
    if codec is None:
        return opened
    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(opened), codec))


def open_file(path: str) -> BinaryIO:
    """A file's bytes as they are. Raises as `status`."""
    scheme = scheme_of(path)
    opened: Any = open(path, "rb") if scheme is None else asked(scheme, lambda fs: fs.open(path))  # noqa: SIM115
    return opened  # type: ignore[no-any-return]


def holds_nothing(path: str) -> bool:
    """Whether a file of text is empty, whatever its compression makes of it. Raises as `status`."""
    if not path.endswith(tuple(_COMPRESSED)):
        return not status(path).st_size
    with open_bytes(path) as file:
        try:
            return not file.read(1)
        except OSError:
            return False  # it is broken, as whoever reads it says


def check_writable(uri: str) -> None:
    """Whether files can be written to a URI at all.

    Raises:
        StorageError: it is none, or holds credentials.
        UnsupportedPlan: such a store is not written to.
    """
    check_uri(uri)
    scheme = scheme_of(uri)
    if scheme not in WRITTEN:
        known = ", ".join(f"{each}://" for each in sorted(WRITTEN))
        why = "another process would not find it there; " if scheme == "memory" else ""
        raise UnsupportedPlan(
            f"cannot write to {uri!r}: {why}right would be a path that all workers share, or one "
            f"of {known}"
        )
    if MAGIC & set(uri):
        raise UnsupportedPlan(f"cannot write to {uri!r}: right would be a name without * ? [")
