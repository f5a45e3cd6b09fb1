"""Addresses as flags, variables and messages give them."""

from __future__ import annotations

import pytest

from ffq.endpoint import parse_endpoint
from ffq.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("http://127.0.0.1:50051", "127.0.0.1:50051"),
        ("http://node-1.example:50051/", "node-1.example:50051"),
        ("[::1]:050", "[::1]:50"),
    ],
)
def test_host_and_port_with_or_without_scheme(text: str, endpoint: str) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":1",
        "host:",
        "host:0",
        "host:65536",
        "host:٣",
        "a b:1",
        "unix:/tmp/x:1",
        "h:1/path",
        "x" * 300 + ":1",
    ],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="^FLAG .*want host:port"):
        parse_endpoint(text, "FLAG")


@pytest.mark.parametrize("text", ["host:0", "host:65536", "[::1]:99999"])
def test_a_port_that_cannot_be_is_told_from_no_endpoint(text: str) -> None:
    with pytest.raises(InvalidRequest, match="with a port of 1 to 65535$"):
        parse_endpoint(text, "FLAG")
    with pytest.raises(InvalidRequest, match="with a port of 0 to 65535$"):
        parse_endpoint("host:65536", "FLAG", allow_any_port=True)


@pytest.mark.parametrize("text", ["https://h:1", "HTTPS://h:1/", "https://h", "https://"])
def test_tls_is_refused_and_not_taken_as_plaintext(text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^FLAG '{text}'.*TLS.*http://host:port"):
        parse_endpoint(text, "FLAG")


def test_port_zero_is_for_binding_only() -> None:
    assert parse_endpoint("127.0.0.1:0", allow_any_port=True) == "127.0.0.1:0"
