"""Connections to many peers, kept open between calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from ffq.rpc.client import RpcChannel
from ffq.rpc.options import DEFAULT_OPTIONS, RpcOptions

MAX_CHANNELS = 256


@attrs.define
class _Pooled:
    channel: RpcChannel
    users: int = 0


class ChannelPool:
    """One channel per endpoint; beyond MAX_CHANNELS the one longest unused is closed.

    A context manager: leaving it closes all channels. For one Trio run.
    """

    def __init__(self, options: RpcOptions = DEFAULT_OPTIONS) -> None:
        self._options = options
        self._channels: OrderedDict[str, _Pooled] = OrderedDict()

    def __enter__(self) -> ChannelPool:
        return self

    def __exit__(self, *_: object) -> None:
        for pooled in self._channels.values():
            pooled.channel.close()
        self._channels.clear()

    @contextmanager
    def use(self, endpoint: str) -> Iterator[RpcChannel]:
        """A channel to `endpoint` that stays open inside the block. Raises InvalidRequest."""
        pooled = self._channels.get(endpoint)
        if pooled is None:
            pooled = self._channels[endpoint] = _Pooled(RpcChannel(endpoint, self._options))
        self._channels.move_to_end(endpoint)
        pooled.users += 1
        self._close_longest_unused()
        try:
            yield pooled.channel
        finally:
            pooled.users -= 1

    def _close_longest_unused(self) -> None:
        if len(self._channels) <= MAX_CHANNELS:
            return
        unused = (endpoint for endpoint, pooled in self._channels.items() if pooled.users == 0)
        endpoint = next(unused, None)
        if endpoint is not None:
            self._channels.pop(endpoint).channel.close()
