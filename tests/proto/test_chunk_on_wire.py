"""A chunk's message, written and read without protobuf's copies: its bytes are protobuf's."""

from __future__ import annotations

import attrs
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ffq.messages import ShuffleChunk
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.shuffle import ChunkOnWire, decode_chunk, encode_chunk

u64 = st.integers(0, 2**64 - 1)
payloads = st.binary(max_size=300) | st.sampled_from([bytes(2**14 - 1), bytes(2**14), bytes(2**21)])
chunks = st.builds(ShuffleChunk, payloads, u64, u64, u64, st.booleans(), st.integers(0, 2**32 - 1))


def by_protobuf(chunk: ShuffleChunk) -> wire.ShufflePartitionChunk:
    return wire.ShufflePartitionChunk(
        payload=bytes(chunk.payload),
        start_offset=chunk.start_offset,
        end_offset=chunk.end_offset,
        watermark_offset=chunk.watermark_offset,
        finalized=chunk.finalized,
        stream_epoch=chunk.stream_epoch,
    )


@given(chunks)
def test_what_is_written_is_what_protobuf_writes(chunk: ShuffleChunk) -> None:
    assert encode_chunk(chunk).SerializeToString() == by_protobuf(chunk).SerializeToString()


@given(chunks)
def test_what_protobuf_writes_is_read(chunk: ShuffleChunk) -> None:
    raw = by_protobuf(chunk).SerializeToString()
    assert decode_chunk(ChunkOnWire.FromString(raw)) == chunk


@given(chunks, st.binary(max_size=20))
def test_fields_in_another_order_and_twice_are_read(chunk: ShuffleChunk, earlier: bytes) -> None:
    payload = wire.ShufflePartitionChunk(payload=bytes(chunk.payload)).SerializeToString()
    others = by_protobuf(attrs.evolve(chunk, payload=b"")).SerializeToString()
    before = wire.ShufflePartitionChunk(payload=earlier).SerializeToString()
    assert decode_chunk(ChunkOnWire.FromString(others + payload)) == chunk
    if chunk.payload:
        assert decode_chunk(ChunkOnWire.FromString(before + others + payload)) == chunk
    emptied = decode_chunk(ChunkOnWire.FromString(before + others + bytes([10, 0])))
    assert emptied == attrs.evolve(chunk, payload=b"")


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda rest: b"\n" + rest))
def test_R28_other_bytes_are_refused_as_protobuf_refuses_them(raw: bytes) -> None:
    try:
        expected = wire.ShufflePartitionChunk.FromString(raw)
    except DecodeError:
        with pytest.raises(DecodeError):
            ChunkOnWire.FromString(raw)
    else:
        found = decode_chunk(ChunkOnWire.FromString(raw))
        assert by_protobuf(found).SerializeToString() == (_known(expected).SerializeToString())


def _known(message: wire.ShufflePartitionChunk) -> wire.ShufflePartitionChunk:
    message.DiscardUnknownFields()
    return message
