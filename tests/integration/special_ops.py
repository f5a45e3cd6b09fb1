"""Operators that only some workers of a test load."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping

import pyarrow as pa

from ffq.engine import operator


@operator("test.special")
def special(
    batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Passes rows on."""
    yield from batches


class _Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a handler that raises")


def _raising(record: logging.LogRecord) -> bool:
    raise RuntimeError("a filter that raises")


@operator("test.spoils")
def spoils(
    batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Does to its process what the config's `what` says, and raises."""
    for batch in batches:
        match config["what"]:
            case "close stderr":
                sys.stderr.close()
            case "close stdout":
                sys.stdout.close()
            case "no streams":
                sys.stdout = sys.stderr = None
            case "handler":
                logging.getLogger().addHandler(_Raising())
            case "filter":
                logging.getLogger("ffq.worker").addFilter(_raising)
        if batch.num_rows:
            raise ValueError("spoilt")
        yield batch
