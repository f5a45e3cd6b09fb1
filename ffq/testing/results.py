"""Results that the played workers upload: small Arrow IPC streams that can be told apart."""

from __future__ import annotations

from functools import cache

import pyarrow as pa


@cache
def result_payload(value: int) -> bytes:
    """One Arrow IPC stream with one int64 column `v` and one row; no rows for value 0."""
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"v": pa.array([value] if value else [], type=pa.int64())})
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def same_result(fetched: bytes, uploaded: bytes) -> bool:
    """Whether two IPC streams hold the same rows: a coordinator may write the stream anew.

    An empty upload means an empty result (R26): then the fetched stream has no rows.
    """
    if fetched == uploaded:
        return True
    try:
        table = pa.ipc.open_stream(fetched).read_all()
        if not uploaded:
            return bool(table.num_rows == 0)
        return bool(table.equals(pa.ipc.open_stream(uploaded).read_all()))
    except pa.ArrowInvalid:
        return False
