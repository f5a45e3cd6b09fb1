"""What the gateway's process pays for a call that does next to nothing, and for idle workers.

A Heartbeat and a GetTask that finds nothing, from one worker, with 32 and with 1 call in flight, to
a real gateway process and to a bare grpc.aio server's, which reads and writes the same messages.
Counted is processor time of the server's process a call; who calls is the same for both, in a third
process. Idle: workers as they are, with nothing to do, and what share of a core the gateway takes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any, Final

import grpc

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Samples
from benchmarks._processes import INVARIANTS, Server, bare_server, cpu_seconds, gateway
from ffq.proto import ffq_distributed_pb2 as pb
from tests.processes import running

OURS, BARE = "gateway", "bare grpc.aio"
IN_FLIGHT: Final = (32, 1)
WARM_CALLS = 200
TARGET, IDLE_TARGET = 1.25, 0.01
PACKAGE = "/ffq.distributed.v1"
BEAT = pb.HeartbeatRequest(
    worker_id="measured",
    at_ms=1,
    custom_operator_capabilities=["ffq.splits"],
    incarnation=1,
    shuffle_endpoint="127.0.0.1:1",
    engine_family="benchmark",
    reports_attempts=True,
    slots=1,
)
CALLS: Final[dict[str, tuple[str, Any, Any]]] = {
    "Heartbeat": (f"{PACKAGE}.HeartbeatService/Heartbeat", BEAT, pb.HeartbeatResponse),
    "GetTask": (
        f"{PACKAGE}.ControlPlane/GetTask",
        pb.GetTaskRequest(worker_id="measured", capacity=1, incarnation=1),
        pb.GetTaskResponse,
    ),
}


async def _many(channel: grpc.aio.Channel, name: str, calls: int, in_flight: int) -> None:
    path, message, reply = CALLS[name]
    call = channel.unary_unary(
        path,
        request_serializer=type(message).SerializeToString,
        response_deserializer=reply.FromString,
    )

    async def some(count: int) -> None:
        for _ in range(count):
            await call(message)

    await asyncio.gather(*(some(calls // in_flight) for _ in range(in_flight)))


async def _cost(server: Server, name: str, calls: int, in_flight: int) -> tuple[float, float]:
    """Microseconds of the server's processor time a call, and of the clock."""
    async with grpc.aio.insecure_channel(server.endpoint) as channel:
        await _many(channel, "Heartbeat", 1, 1)
        await _many(channel, name, WARM_CALLS, in_flight)
        cpu, clock = cpu_seconds(server.pid), time.perf_counter()
        await _many(channel, name, calls, in_flight)
        spent, passed = cpu_seconds(server.pid) - cpu, time.perf_counter() - clock
        made = calls // in_flight * in_flight
        return spent / made * 1e6, passed / made * 1e6


def _figure(name: str, in_flight: int) -> str:
    return f"{name}, {in_flight} in flight: server CPU"


def _calls(request: Request, samples: Samples) -> None:
    with gateway() as ours, bare_server() as bare:
        servers = {OURS: ours, BARE: bare}
        for number in range(request.rounds):
            for in_flight in IN_FLIGHT:
                for name in CALLS:
                    for side in in_turn(list(servers), number):
                        cpu, clock = asyncio.run(
                            _cost(servers[side], name, request.options.calls, in_flight)
                        )
                        samples.add(_figure(name, in_flight), side, cpu)
                        samples.add(f"{name}, {in_flight} in flight: time a call", side, clock)


def _idle(request: Request, samples: Samples) -> str:
    options = request.options
    figure = f"idle, {options.workers} workers: CPU"
    arguments = (str(options.workers),)
    with (
        gateway() as ours,
        running(ours.endpoint, *arguments, module="benchmarks._idle_workers") as workers,
    ):
        workers.wait_for("workers ready")
        # Workers that find nothing ask less and less often, for a while.
        time.sleep(options.settle)
        for _ in range(request.rounds):
            cpu, clock = cpu_seconds(ours.pid), time.perf_counter()
            time.sleep(options.window)
            samples.add(figure, OURS, cpu_seconds(ours.pid) - cpu)
            samples.add(figure, "a core", time.perf_counter() - clock)
        assert workers.process.stdin is not None
        workers.process.stdin.close()
        workers.wait()
    return figure


def measure(request: Request) -> Outcome:
    """Calls first, then idleness, each with a gateway of its own."""
    samples = Samples()
    _calls(request, samples)
    called = [each for each in samples.figures if each.endswith("CPU")]
    timed = [each for each in samples.figures if each.endswith("a call")]
    idle = _idle(request, samples)
    return Outcome(
        ratios=[
            *(samples.ratio(figure, OURS, BARE, target=TARGET) for figure in called),
            *(samples.ratio(figure, OURS, BARE) for figure in timed),
            samples.ratio(idle, OURS, "a core", better=Better.LOWER, target=IDLE_TARGET),
        ],
        amounts=[samples.amount(each, side, "us") for each in called for side in (OURS, BARE)],
        checks=[INVARIANTS],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=1_600, help="a side, call and round (1600)")
    parser.add_argument("--workers", type=int, default=20, help="that are idle (20)")
    parser.add_argument("--settle", type=float, default=12.0, help="s until they are idle (12)")
    parser.add_argument("--window", type=float, default=3.0, help="s of idleness a round (3)")


BENCHMARK = Benchmark(
    question="What does a call cost the gateway's process, and what do idle workers cost it?",
    baseline="a bare grpc.aio server process that reads and writes the same messages",
    measure=measure,
    packages=("grpcio", "protobuf", "trio"),
    options=_options,
)
