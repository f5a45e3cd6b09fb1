"""Addresses of servers, as flags, variables and messages give them."""

from __future__ import annotations

import re

from ffq.errors import InvalidRequest

DEFAULT_COORDINATOR = "127.0.0.1:50051"
"""Where a coordinator listens and others look for it, unless they are told."""

MAX_ENDPOINT_LENGTH = 300
_MAX_PORT = 65535
_TLS = "https://"
_ENDPOINT = re.compile(
    r"(?:http://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})/?"
)


def parse_endpoint(text: str, what: str = "endpoint", *, allow_any_port: bool = False) -> str:
    """`host:port` or `http://host:port` as `host:port`.

    `what` names the setting or field in the error; `allow_any_port` accepts port 0 (to bind).

    Raises:
        InvalidRequest: anything else; `https://`, as ffq speaks no TLS and would send in the clear.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"{what} is a {type(text).__name__}: want host:port as text")
    if text[: len(_TLS)].lower() == _TLS:
        raise InvalidRequest(
            f"{what} {text[:MAX_ENDPOINT_LENGTH]!r}: ffq does not speak TLS (yet): want host:port "
            f"or http://host:port of an endpoint without it"
        )
    match = _ENDPOINT.fullmatch(text) if len(text) <= MAX_ENDPOINT_LENGTH else None
    if match is None:
        raise InvalidRequest(f"{what} {text[:MAX_ENDPOINT_LENGTH]!r}: want host:port")
    lowest = 0 if allow_any_port else 1
    if not lowest <= int(match["port"]) <= _MAX_PORT:
        raise InvalidRequest(
            f"{what} {text!r}: want host:port with a port of {lowest} to {_MAX_PORT}"
        )
    return f"{match['host']}:{int(match['port'])}"
