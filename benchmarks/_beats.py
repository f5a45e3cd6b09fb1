"""`python -m benchmarks._beats ENDPOINT COUNT WAY`: workers that only beat, once a second.

WAY is `calls`, a Heartbeat each, or `streams`, of which each worker holds one. Bare grpc.aio, all
in one process. They end when stdin closes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc

from ffq.proto import ffq_distributed_pb2 as pb
from ffq.proto import ffq_ext_pb2 as ext

PERIOD_S = 1.0


def beat_of(number: int) -> pb.HeartbeatRequest:
    """Of a worker that nothing can be given to: it has no slots."""
    return pb.HeartbeatRequest(
        worker_id=f"beats-{number}", at_ms=1, incarnation=1, engine_family="benchmark"
    )


async def by_calls(channel: grpc.aio.Channel, number: int, late_s: float) -> None:
    """Each second a call, the first one after so long."""
    call = channel.unary_unary(
        "/ffq.distributed.v1.HeartbeatService/Heartbeat",
        request_serializer=pb.HeartbeatRequest.SerializeToString,
        response_deserializer=pb.HeartbeatResponse.FromString,
    )
    loop = asyncio.get_running_loop()
    due = loop.time() + late_s
    while True:
        await asyncio.sleep(due - loop.time())
        await call(beat_of(number))
        due = max(due + PERIOD_S, loop.time())


async def by_stream(channel: grpc.aio.Channel, number: int, late_s: float) -> None:
    """Each second a message, on one stream; what comes down is read."""

    async def beats() -> AsyncIterator[ext.WorkRequest]:
        await asyncio.sleep(late_s)
        while True:
            yield ext.WorkRequest(beat=beat_of(number))
            await asyncio.sleep(PERIOD_S)

    call = channel.stream_stream(
        "/ffq.ext.v1.Exchange/Work",
        request_serializer=ext.WorkRequest.SerializeToString,
        response_deserializer=ext.WorkResponse.FromString,
    )
    async for _ in call(beats()):
        pass


WAYS = {"calls": by_calls, "streams": by_stream}


async def main(endpoint: str, count: int, way: str) -> None:
    """Until stdin closes. The beats are spread over the second."""
    # One connection takes a hundred streams at a time.
    channels = [
        grpc.aio.insecure_channel(endpoint, [("ffq.number", n)]) for n in range(count // 50)
    ]
    beating = [
        asyncio.create_task(WAYS[way](channels[n % len(channels)], n, n / count * PERIOD_S))
        for n in range(count)
    ]
    print("beating", file=sys.stderr, flush=True)
    closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([*beating, closed], return_when=asyncio.FIRST_COMPLETED)
    for each in done:
        each.result()
    for each in beating:
        each.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
