"""`python -m benchmarks._bare_server [ANSWER]`: what gRPC itself costs, for the calls of workers.

A grpc.aio server with nothing behind it: it reads the request's message, and writes an answer that
is always the same. ANSWER is a file with a GetTaskResponse; without one, no task is ever found.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from ffq.proto import ffq_distributed_pb2 as pb

PACKAGE = "ffq.distributed.v1"


def _handler(request: Any, answer: Any) -> grpc.RpcMethodHandler[Any, Any]:
    async def answered(_message: Any, _context: Any) -> Any:
        return answer

    call: Callable[[Any, Any], Awaitable[Any]] = answered
    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=request.FromString,
        response_serializer=type(answer).SerializeToString,
    )


def services(tasks: Any) -> dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    """The methods by service. `tasks`: the answer of each GetTask."""
    return {
        "HeartbeatService": {
            "Heartbeat": _handler(pb.HeartbeatRequest, pb.HeartbeatResponse(accepted=True))
        },
        "ControlPlane": {
            "GetTask": _handler(pb.GetTaskRequest, tasks),
            "ReportTaskStatus": _handler(
                pb.ReportTaskStatusRequest, pb.ReportTaskStatusResponse(counted=True)
            ),
            "RegisterQueryResults": _handler(
                pb.RegisterQueryResultsRequest, pb.RegisterQueryResultsResponse(counted=True)
            ),
        },
        "ShuffleService": {
            "RegisterMapOutput": _handler(
                pb.RegisterMapOutputRequest, pb.RegisterMapOutputResponse(counted=True)
            )
        },
    }


async def serve(tasks: Any) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(f"{PACKAGE}.{name}", methods)
            for name, methods in services(tasks).items()
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"bare server ready on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Serve until ended."""
    answer = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else b""
    asyncio.run(serve(pb.GetTaskResponse.FromString(answer)))


if __name__ == "__main__":
    main()
