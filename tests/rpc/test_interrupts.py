"""Ctrl-C while gRPC is at work: it comes when gRPC is done."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import attrs
import grpc
import pytest
import trio

from ffq.proto import ffq_ext_pb2 as ext
from ffq.rpc.client import RpcChannel

ASKED = ext.ListTablesRequest()


@attrs.define
class Call:
    """Without any message."""

    cancelled: bool = False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def cancel(self) -> bool:
        self.cancelled = True
        return True


@attrs.define
class Interrupted:
    """A channel within whose methods Ctrl-C is pressed. `done`: those that came to their end."""

    done: list[str] = attrs.field(factory=list)

    def _do(self, what: str, found: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        self.done.append(what)
        return found

    def unary_unary(self, _path: str, **_: object) -> Any:
        @attrs.frozen
        class Method:
            future: Callable[..., Any]

        return Method(lambda *_, **__: self._do("unary", Future[Any]()))

    def unary_stream(self, _path: str, **_: object) -> Any:
        return lambda *_, **__: self._do("stream", Call())

    def stream_stream(self, _path: str, **_: object) -> Any:
        return lambda *_, **__: self._do("duplex", Call())

    def close(self) -> None:
        self._do("close", None)


async def unary(channel: RpcChannel) -> None:
    await channel.unary("/s/m", ASKED, ext.ListTablesResponse)


async def stream(channel: RpcChannel) -> None:
    async with channel.stream("/s/m", ASKED, ext.ListTablesResponse):
        await trio.sleep_forever()


async def duplex(channel: RpcChannel) -> None:
    channel.duplex("/s/m", iter(()), ext.ListTablesResponse)
    await trio.sleep_forever()


async def close(channel: RpcChannel) -> None:
    channel.close()
    await trio.sleep_forever()


@pytest.mark.parametrize("use", [unary, stream, duplex, close])
def test_what_grpc_has_begun_it_ends(
    use: Callable[[RpcChannel], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that it has noted and not started would keep the channel from closing, for ever."""
    inner = Interrupted()
    monkeypatch.setattr(grpc, "insecure_channel", lambda *_, **__: inner)
    channel = RpcChannel("127.0.0.1:1")
    with pytest.raises(KeyboardInterrupt):
        trio.run(use, channel)
    assert inner.done == [use.__name__]
