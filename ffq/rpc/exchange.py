"""A worker's stream over gRPC: the gateway's route, and the worker's end.

Assignments travel by stage, and each plan once: what the two ends remember of plans for it is no
affair of whoever speaks over the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias

import attrs

from ffq.errors import Unavailable
from ffq.messages import Assignment, FromWorker, ToWorker
from ffq.plan.codec import plan_digest
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.exchange import (
    decode_from_worker,
    decode_to_worker,
    encode_from_worker,
    encode_to_worker,
)
from ffq.proto.codec.grouped import decode_group, encode_grouped
from ffq.proto.codec.values import bounded
from ffq.rpc.client import RpcChannel
from ffq.rpc.duplex import open_duplex
from ffq.rpc.planbook import PlanBook
from ffq.rpc.routes import Duplex, Send
from ffq.service import ServesExchange

SERVICE: Final = ext.DESCRIPTOR.services_by_name["Exchange"].full_name
_METHOD: Final = "Work"
PATH: Final = f"/{SERVICE}/{_METHOD}"
WINDOW: Final = 4
"""Messages that the worker's end may be behind, each way."""

_SendOne: TypeAlias = Callable[[ext.WorkResponse], Awaitable[None]]


@attrs.define
class _ServerEnd:
    """One stream at the gateway. `by_stage`: its worker takes assignments so.

    (No async generator: those must be closed by their user.)
    """

    requests: AsyncIterator[ext.WorkRequest]
    encoded: _SendOne
    by_stage: bool = False
    plans: PlanBook = attrs.field(factory=PlanBook)

    def __aiter__(self) -> _ServerEnd:
        return self

    async def __anext__(self) -> FromWorker:
        while (message := await anext(self.requests)).missing:
            await self._say_again(message)
        self.by_stage = message.by_stage
        return decode_from_worker(message)

    async def _say_again(self, message: ext.WorkRequest) -> None:
        """Raises Unavailable: so much has been named since that a plan is not here any more. Its
        worker opens a new stream, and what it could not begin is taken back in time."""
        for digest in dict.fromkeys(bounded(message.missing, "missing")):
            plan = self.plans.plan(digest)
            if plan is None:
                raise Unavailable("Work: a plan that is missing was named too long ago")
            named = ext.NamedPlan(digest=digest, json=plan)
            await self.encoded(ext.WorkResponse(plans=(named,)))

    async def send(self, message: ToWorker) -> None:
        if not (self.by_stage and message.tasks):
            await self.encoded(encode_to_worker(message))
            return
        answer = encode_to_worker(message, tasks=False)
        answer.stages.extend(encode_grouped(message.tasks, lambda plan: self._name(plan, answer)))
        await self.encoded(answer)

    def _name(self, plan: bytes, answer: ext.WorkResponse) -> bytes:
        """How the plan is named; where that is new, the answer tells it."""
        digest = self.plans.digest(plan)
        if digest is None:
            digest = plan_digest(plan)
            self.plans.put(digest, plan)
            answer.plans.add(digest=digest, json=plan)
        return digest


def exchange_route(coordinator: ServesExchange) -> Duplex[ext.WorkRequest, ext.WorkResponse]:
    """The route by which a gateway serves its workers' streams."""

    async def handle(
        requests: AsyncIterator[ext.WorkRequest], send: Send[ext.WorkResponse]
    ) -> None:
        await serve_stream(coordinator, requests, send)

    return Duplex(SERVICE, _METHOD, ext.WorkRequest, handle)


async def serve_stream(
    coordinator: ServesExchange,
    requests: AsyncIterator[ext.WorkRequest],
    send: _SendOne,
) -> None:
    """One stream, whatever carries it. Raises what is to end it."""
    end = _ServerEnd(requests, send)
    await coordinator.serve_exchange(end, end.send)


class Line(Protocol):
    """The worker's end of what carries the messages."""

    async def send(self, message: ext.WorkRequest, /) -> None: ...

    async def receive(self) -> ext.WorkResponse | None: ...

    def finish(self) -> None: ...


@attrs.define
class RemoteExchange:
    """`ffq.service.Exchange` over gRPC.

    An assignment whose plan is not here (any more) waits for it: by digest, those that do.
    """

    _call: Line
    _plans: PlanBook = attrs.field(factory=PlanBook)
    _waiting: dict[bytes, list[ext.StageTasks]] = attrs.field(factory=dict)

    async def send(self, message: FromWorker) -> None:
        await self._call.send(encode_from_worker(message))

    async def receive(self) -> ToWorker | None:
        message = await self._call.receive()
        if message is None:
            return None
        heard = decode_to_worker(message)
        if not (message.plans or message.stages):
            return heard
        asked = frozenset(self._waiting)
        tasks = (*heard.tasks, *self._known(message))
        if missing := self._waiting.keys() - asked:
            await self._call.send(ext.WorkRequest(missing=missing))
        return attrs.evolve(heard, tasks=tasks)

    def _known(self, message: ext.WorkResponse) -> Iterator[Assignment]:
        """What can begin now; the rest of it waits."""
        for named in message.plans:
            self._plans.put(named.digest, named.json)
            for group in self._waiting.pop(named.digest, ()):
                yield from decode_group(group, named.json)
        for group in message.stages:
            plan = self._plans.plan(group.plan_digest)
            if plan is None:
                self._waiting.setdefault(group.plan_digest, []).append(group)
            else:
                yield from decode_group(group, plan)

    def finish(self) -> None:
        self._call.finish()


@asynccontextmanager
async def open_exchange(channel: RpcChannel) -> AsyncIterator[RemoteExchange]:
    """A stream to the coordinator at the channel's end; errors come with what is received."""
    async with open_duplex(channel, PATH, ext.WorkResponse, WINDOW) as call:
        yield RemoteExchange(call)
