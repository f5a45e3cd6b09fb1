"""From the Arrow IPC stream of a query's result to a table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ffq.errors import ExecutionError, ShuffleInputError
from ffq.shuffle.ipc import decode_stream


def table_of(chunks: Sequence[bytes]) -> pa.Table:
    """The whole result; no bytes at all: no columns, no rows (R26).

    Raises:
        ExecutionError: it is no Arrow IPC stream.
    """
    if not any(chunks):
        return pa.table({})
    try:
        return decode_stream(chunks).read_all()
    except (ShuffleInputError, pa.ArrowInvalid, OSError) as error:
        raise ExecutionError(f"the result is no Arrow IPC stream: {error}") from error
