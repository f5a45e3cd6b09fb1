"""By which address others reach this worker's shuffle service."""

from __future__ import annotations

import socket

from ffq.endpoint import parse_endpoint
from ffq.errors import InvalidRequest

_WILDCARDS = frozenset({"0.0.0.0", "[::]"})


def advertised_endpoint(advertise: str, bound: str, coordinator: str) -> str:
    """`host:port` for others.

    Args:
        advertise: as told: `host:port`, or a host that goes with the bound port; empty: found out.
        bound: what the service listens on, with its real port.
        coordinator: `host:port`; the way to it tells which address of ours a network sees.

    Raises:
        InvalidRequest: `advertise` is malformed, or `https://`.
    """
    host, _, port = bound.rpartition(":")
    if advertise:
        named = advertise if _has_port(advertise) else f"{advertise}:{port}"
        return parse_endpoint(named, "--shuffle-advertise:")
    if host not in _WILDCARDS:
        return bound
    return f"{_own_address(coordinator)}:{port}"


def _has_port(text: str) -> bool:
    try:
        parse_endpoint(text)
    except InvalidRequest:
        return False
    return True


def _own_address(coordinator: str) -> str:
    """Our address on the way to the coordinator; nothing is sent. The host's name if unknown."""
    host, _, port = coordinator.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        family, kind, proto, _, address = found[0]
        with socket.socket(family, kind, proto) as probe:
            probe.connect(address)
            name = str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()
    return f"[{name}]" if ":" in name else name
