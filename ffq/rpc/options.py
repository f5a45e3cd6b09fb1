"""Bounds of gRPC servers and channels (R30)."""

from __future__ import annotations

import attrs
import grpc.experimental
from attrs import validators

MIB = 1024 * 1024
MAX_MESSAGE_BYTES = 2**31 - 1
"""gRPC counts the bytes of a message in an int32."""
MESSAGE_OVERHEAD = 64 * 1024
"""What a message holds beside the part of it that has a bound of its own."""


@attrs.frozen
class RpcOptions:
    """Bounds of one server or channel.

    Attributes:
        max_message_bytes: largest message received or sent.
        chunk_bytes: payload of one message of a stream. (1 MiB messages stream fastest.)
        stream_window: messages of one stream that may wait for a slow receiver.
        max_concurrent_rpcs: calls a server handles at once; more are refused.
        max_streams: streams a server has open at once; more are refused.
        max_duplex: streams both ways that a server has open at once, beside those: one for each
            worker; more are refused.
        call_timeout_s: how long a client waits for a unary call, seconds.
        idle_timeout_s: how long a client waits for the next message of a stream, seconds.
        keepalive_s: a connection on which nothing came for so long is pinged, and given up when no
            answer comes for as long again, seconds.
        grace_s: how long a closing server lets its calls finish, seconds.
    """

    max_message_bytes: int = attrs.field(
        default=64 * MIB, validator=[validators.ge(64 * 1024), validators.le(MAX_MESSAGE_BYTES)]
    )
    chunk_bytes: int = attrs.field(default=MIB, validator=validators.ge(1024))
    stream_window: int = attrs.field(default=4, validator=validators.ge(1))
    max_concurrent_rpcs: int = attrs.field(default=1024, validator=validators.ge(1))
    max_streams: int = attrs.field(default=256, validator=validators.ge(1))
    max_duplex: int = attrs.field(default=512, validator=validators.ge(1))
    call_timeout_s: float = attrs.field(default=30.0, validator=validators.gt(0))
    idle_timeout_s: float = attrs.field(default=60.0, validator=validators.gt(0))
    keepalive_s: float = attrs.field(default=10.0, validator=validators.ge(0.1))
    grace_s: float = attrs.field(default=2.0, validator=validators.ge(0))


DEFAULT_OPTIONS = RpcOptions()

GrpcArguments = list[tuple[str, int]]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def message_arguments(options: RpcOptions) -> GrpcArguments:
    """gRPC's names for what servers and channels have in common."""
    return [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        # A connection may fall silent without an end: a NAT entry dropped, a cable pulled. One
        # that does not answer a ping is given up, and the next call makes another.
        ("grpc.keepalive_time_ms", _ms(options.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(options.keepalive_s)),
        # Of pings of gRPC's own, which measure the line; a keepalive does not go out beside one.
        ("grpc.http2.ping_timeout_ms", _ms(options.keepalive_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def server_arguments(options: RpcOptions) -> GrpcArguments:
    # With SO_REUSEPORT two servers would share a port, each getting some of the calls.
    return [
        *message_arguments(options),
        ("grpc.so_reuseport", 0),
        # Peers may ping as often as ours do; gRPC's own bound is once in five minutes.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(options.keepalive_s) // 2),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def channel_arguments(options: RpcOptions) -> GrpcArguments:
    return [
        *message_arguments(options),
        ("grpc.enable_http_proxy", 0),
        # A restarted coordinator is found again within about a second, not gRPC's two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Channels to one endpoint share no state: closing one does not disturb another.
        ("grpc.use_local_subchannel_pool", 1),
        # Who reads a stream waits in gRPC itself, not for a thread of gRPC's that hands over.
        (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
    ]
