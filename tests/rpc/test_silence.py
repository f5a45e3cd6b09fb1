"""A connection that falls silent without an end is given up, and the next call makes another."""

from __future__ import annotations

import attrs
import trio

from ffq.errors import Unavailable
from ffq.rpc.client import open_channel
from ffq.rpc.options import DEFAULT_OPTIONS, RpcOptions, message_arguments
from tests.processes import END_TIMEOUT_S
from tests.rpc.echo import call, open_echo

PINGED = RpcOptions(grace_s=0.2, keepalive_s=2)


@attrs.define
class Forwarder:
    """Moves bytes to `port`; after `freeze` those of the connections it has are swallowed."""

    port: int
    connections: int = 0
    frozen: int = 0

    def freeze(self) -> None:
        self.frozen = self.connections

    async def serve(self, here: trio.SocketStream) -> None:
        self.connections += 1
        number = self.connections
        there = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with there, here, trio.open_nursery() as nursery:
            nursery.start_soon(self._move, number, here, there)
            nursery.start_soon(self._move, number, there, here)

    async def _move(self, number: int, source: trio.SocketStream, to: trio.SocketStream) -> None:
        try:
            async for data in source:
                if number > self.frozen:
                    await to.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


async def test_calls_come_through_again_after_their_connection_fell_silent() -> None:
    async with open_echo(options=PINGED) as direct, trio.open_nursery() as nursery:
        forwarder = Forwarder(int(direct.endpoint.rpartition(":")[2]))
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, forwarder.serve, [listener])
        port = listener.socket.getsockname()[1]
        async with open_channel(f"127.0.0.1:{port}", PINGED) as channel:
            assert await call(channel) == "x"
            forwarder.freeze()
            with trio.fail_after(END_TIMEOUT_S):
                while True:
                    try:
                        assert await call(channel, timeout_s=1) == "x"
                        break
                    except Unavailable:
                        continue
            assert forwarder.connections > 1
        nursery.cancel_scope.cancel()


def test_by_default_a_silent_connection_is_given_up_within_half_a_minute() -> None:
    """A NAT that forgets, a cable that is pulled: nothing else tells of them."""
    told = dict(message_arguments(DEFAULT_OPTIONS))
    silent_ms, unanswered_ms = (told[f"grpc.keepalive_{name}_ms"] for name in ("time", "timeout"))
    assert 0 < int(silent_ms) + int(unanswered_ms) <= 30_000
    assert told["grpc.keepalive_permit_without_calls"] == 1
