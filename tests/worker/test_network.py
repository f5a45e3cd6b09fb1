"""What a worker has seen of the network, and what that says of those who read its outputs."""

from __future__ import annotations

from math import inf

import pytest

from ffq.worker.network import LEAST_BYTES, Network, bytes_per_s

MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def network(clock: Clock, assumed: float = 100 * MIB) -> Network:
    return Network(assumed, clock)


def test_before_anything_was_read_it_is_what_is_assumed(clock: Clock) -> None:
    assert network(clock).to_readers_bytes_per_s() == 100 * MIB
    assert Network().to_readers_bytes_per_s() == 125e6
    assert bytes_per_s(100) == 12.5e6
    assert Network(bytes_per_s(0)).to_readers_bytes_per_s() == inf


@pytest.mark.parametrize(
    ("host", "one_host"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("[fe80::1]", False),
        ("worker-1", False),
    ],
)
def test_reached_at_a_loopback_address_all_are_here(
    clock: Clock, host: str, one_host: bool
) -> None:
    it = network(clock)
    it.reached_at(host)
    assert (it.to_readers_bytes_per_s() == inf) == one_host


def test_it_is_what_came_while_any_fetch_was_open(clock: Clock) -> None:
    it = network(clock)
    with it.fetching(50 * MIB) as first:
        clock.now = 1
        with it.fetching(50 * MIB) as second:
            clock.now = 2
            first(50 * MIB)
            second(30 * MIB)
        clock.now = 4
    clock.now = 100  # nothing is open
    with it.fetching(20 * MIB) as third:
        third(20 * MIB)
        clock.now = 101
    assert it.to_readers_bytes_per_s() == 20 * MIB


def test_small_fetches_say_nothing_of_the_rate(clock: Clock) -> None:
    it = network(clock)
    for _ in range(10):
        with it.fetching(LEAST_BYTES - 1) as came:
            came(LEAST_BYTES - 1)
            clock.now += 1
    assert it.to_readers_bytes_per_s() == 100 * MIB


def test_a_fetch_that_broke_counts_with_what_came(clock: Clock) -> None:
    it = network(clock)
    with pytest.raises(ZeroDivisionError), it.fetching(50 * MIB) as came:
        came(4 * MIB)
        clock.now += 2
        raise ZeroDivisionError
    assert it.to_readers_bytes_per_s() == 2 * MIB


def test_what_is_read_here_needs_no_network(clock: Clock) -> None:
    it = network(clock)
    it.near(30 * MIB)
    assert it.to_readers_bytes_per_s() == inf
    with it.fetching(10 * MIB) as came:
        came(10 * MIB)
        clock.now += 1
    assert it.to_readers_bytes_per_s() == 40 * MIB, "three of four bytes stay here"


def test_what_was_long_ago_counts_less(clock: Clock) -> None:
    it = network(clock)
    for rate in (1024 * MIB, 64 * MIB):
        for _ in range(4096):
            with it.fetching(MIB) as came:
                came(MIB)
                clock.now += MIB / rate
    assert it.to_readers_bytes_per_s() == pytest.approx(64 * MIB, rel=0.1)
