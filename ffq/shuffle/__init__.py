"""Partition, write, serve and decode map output as Arrow IPC.

Names are imported when they are first used: who only decodes does without what partitions.
"""

from typing import TYPE_CHECKING

from ffq.lazily import importing

if TYPE_CHECKING:
    from ffq.shuffle.hashing import hash_rows, partition_batch, partition_of_rows
    from ffq.shuffle.ipc import decode_stream, empty_stream, encode_stream, merge_streams
    from ffq.shuffle.store import DEFAULT_CHUNK_BYTES, ShuffleStore
    from ffq.shuffle.writer import DEFAULT_BUFFER_BYTES, MapOutputWriter

__getattr__ = importing(
    __name__,
    {
        "DEFAULT_BUFFER_BYTES": "ffq.shuffle.writer",
        "DEFAULT_CHUNK_BYTES": "ffq.shuffle.store",
        "MapOutputWriter": "ffq.shuffle.writer",
        "ShuffleStore": "ffq.shuffle.store",
        "decode_stream": "ffq.shuffle.ipc",
        "empty_stream": "ffq.shuffle.ipc",
        "encode_stream": "ffq.shuffle.ipc",
        "hash_rows": "ffq.shuffle.hashing",
        "merge_streams": "ffq.shuffle.ipc",
        "partition_batch": "ffq.shuffle.hashing",
        "partition_of_rows": "ffq.shuffle.hashing",
    },
)

__all__ = [
    "MapOutputWriter",
    "DEFAULT_BUFFER_BYTES",
    "ShuffleStore",
    "DEFAULT_CHUNK_BYTES",
    "partition_batch",
    "partition_of_rows",
    "hash_rows",
    "encode_stream",
    "decode_stream",
    "merge_streams",
    "empty_stream",
]
