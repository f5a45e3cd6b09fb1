"""What a server serves: one route per RPC, typed by its protobuf messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import attrs
from google.protobuf.message import Message

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
R_contra = TypeVar("R_contra", bound=Message, contravariant=True)


class Send(Protocol[R_contra]):
    """Sends the next message of a stream; waits while the receiver is behind."""

    async def __call__(self, message: R_contra, /) -> None: ...


@attrs.frozen
class Unary(Generic[Q, R]):
    """One request, one reply. `handle` runs in Trio; what it raises becomes the status."""

    service: str
    method: str
    request_type: type[Q]
    handle: Callable[[Q], Awaitable[R]]


@attrs.frozen
class ServerStream(Generic[Q, R]):
    """One request, a stream of replies. `handle` runs in Trio and ends the stream by returning."""

    service: str
    method: str
    request_type: type[Q]
    handle: Callable[[Q, Send[R]], Awaitable[None]]


Routes = tuple[Unary[Any, Any] | ServerStream[Any, Any], ...]
