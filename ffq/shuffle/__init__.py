"""Partition, write, serve and decode map output as Arrow IPC."""

from ffq.shuffle.hashing import hash_rows, partition_batch, partition_of_rows
from ffq.shuffle.ipc import decode_stream, empty_stream, encode_stream, merge_streams
from ffq.shuffle.store import DEFAULT_CHUNK_BYTES, ShuffleStore
from ffq.shuffle.writer import DEFAULT_BUFFER_BYTES, MapOutputWriter

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
