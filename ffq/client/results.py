"""From the Arrow IPC streams of a query's sink tasks to one table."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from ffq.errors import ExecutionError, ShuffleInputError
from ffq.messages import ResultParts
from ffq.shuffle.ipc import decode_stream, merge_streams, with_rows


def table_of(result: ResultParts) -> pa.Table:
    """All parts in order, under the first one's schema; no bytes at all: no columns, no rows (R26).

    Raises:
        ExecutionError: a part is no Arrow IPC stream, or has other columns than the first.
    """
    streams = [part for part in result.parts if any(part)]
    if not streams:
        return pa.table({})
    try:
        openers = with_rows([partial(decode_stream, part) for part in streams])
        return merge_streams(openers, (opener().schema for opener in openers[1:])).read_all()
    except (ShuffleInputError, pa.ArrowInvalid, OSError) as error:
        raise ExecutionError(f"the result is no Arrow IPC stream: {error}") from error
