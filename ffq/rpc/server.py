"""A gRPC server whose handlers run in Trio."""

from __future__ import annotations

import socket
from typing import TypeAlias

import attrs
import grpc
import trio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from ffq.endpoint import parse_endpoint
from ffq.errors import StartupError
from ffq.rpc.bridge import Bridge, handlers_of
from ffq.rpc.duplex import DuplexServer, duplex_handlers
from ffq.rpc.loop import ServerLoop, shared_loop
from ffq.rpc.options import DEFAULT_OPTIONS, RpcOptions, server_arguments
from ffq.rpc.routes import AllRoutes, Duplex
from ffq.threads import run_blocking

# Typeshed's stub knows the blocking servicer only.
HealthServicer: TypeAlias = health.aio.HealthServicer  # pyright: ignore[reportAttributeAccessIssue]


@attrs.frozen
class ServerAddress:
    """Where a server listens: `endpoint` is `host:port` with the port really bound."""

    host: str
    port: int

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.endpoint


async def serve(
    routes: AllRoutes,
    bind: str,
    options: RpcOptions = DEFAULT_OPTIONS,
    *,
    task_status: trio.TaskStatus[ServerAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `routes` and the health service until cancelled; then let calls finish for `grace_s`.

    Start it with `address = await nursery.start(serve, routes, "127.0.0.1:0")`.

    Raises:
        InvalidRequest: `bind` is not host:port.
        StartupError: the address cannot be bound: taken, not ours, or unknown.
    """
    endpoint = parse_endpoint(bind, "bind", allow_any_port=True)
    await run_blocking(_check_free, endpoint)
    async with shared_loop() as loop:
        server = await loop.run(_make_server(options))
        await _serve_on(loop, server, routes, endpoint, options, task_status)


async def _serve_on(
    loop: ServerLoop,
    server: grpc.aio.Server,
    routes: AllRoutes,
    endpoint: str,
    options: RpcOptions,
    task_status: trio.TaskStatus[ServerAddress],
) -> None:
    try:
        port = server.add_insecure_port(endpoint)
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {endpoint}") from error
    async with trio.open_nursery() as nursery:
        calls: trio.Nursery = await nursery.start(_shielded_nursery)
        token = trio.lowlevel.current_trio_token()
        bridge = Bridge(loop.loop, token, calls, options, one_thread=loop.one_thread)
        simple = tuple(route for route in routes if not isinstance(route, Duplex))
        both_ways = [route for route in routes if isinstance(route, Duplex)]
        duplex = DuplexServer(bridge, options)
        server.add_generic_rpc_handlers(
            [*handlers_of(bridge, simple), *duplex_handlers(duplex, both_ways)]
        )
        servicer = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        try:
            await loop.run(_start(server, servicer, {route.service for route in routes}))
            task_status.started(ServerAddress(endpoint.rpartition(":")[0], port))
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await loop.run(duplex.end_all())
                await loop.run(_stop(server, servicer, options.grace_s))
            bridge.close()


async def _shielded_nursery(
    *, task_status: trio.TaskStatus[trio.Nursery] = trio.TASK_STATUS_IGNORED
) -> None:
    """A nursery for calls, which a closing server lets finish: it outlives the cancellation."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()


async def _make_server(options: RpcOptions) -> grpc.aio.Server:
    return grpc.aio.server(options=server_arguments(options))


async def _start(server: grpc.aio.Server, servicer: HealthServicer, services: set[str]) -> None:
    for service in services:
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    await server.start()


async def _stop(server: grpc.aio.Server, servicer: HealthServicer, grace_s: float) -> None:
    await servicer.enter_graceful_shutdown()
    await server.stop(grace_s)


def _check_free(endpoint: str) -> None:
    """Refuse an address that cannot be bound, before gRPC does so in several lines on stderr."""
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, proto, _, address = found[0]
        with socket.socket(family, kind, proto) as probe:
            # As gRPC does: connections that are closing do not count as a taken port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise StartupError(f"cannot listen on {endpoint}: {error.strerror or error}") from error
