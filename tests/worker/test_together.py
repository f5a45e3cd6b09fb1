"""Fetching many parts of one worker in one stream, and what becomes of those it does not bring."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.errors import ShuffleInputError
from ffq.worker.inputs import FetchSettings, fetch_inputs
from ffq.worker.ports import Fetched
from ffq.worker.together import GROUP_BYTES, GROUP_PARTS, grouped
from ffq.worker.wanted import InputPart
from tests.worker.fakes import FakeTransport, MemorySpool, key

W1, W2 = "w1:1", "w2:2"
MANY = 20


def data_of(part: InputPart) -> bytes:
    return bytes([65 + part.key.task_id % 26, part.reduce_partition]) * part.bytes


def parts_of(endpoint: str, *tasks: int) -> list[InputPart]:
    return [InputPart(key(1, task), at, endpoint, 3 + task % 5) for task in tasks for at in (0, 4)]


def serving(parts: list[InputPart], **faults: object) -> FakeTransport:
    data = {(part.endpoint, part.key, part.reduce_partition): data_of(part) for part in parts}
    return FakeTransport(data, **faults)  # type: ignore[arg-type]


async def fetch(transport: FakeTransport, parts: list[InputPart]) -> list[bytes]:
    fetched = await fetch_inputs({0: parts}, transport, FetchSettings(), lambda part: MemorySpool())
    return [item.spool.data for item in fetched[0]]  # type: ignore[attr-defined]


def sized(parts: list[InputPart]) -> list[InputPart]:
    return [attrs.evolve(part, bytes=len(data_of(part))) for part in parts]


PARTS = [*parts_of(W1, *range(MANY)), *parts_of(W2, *range(MANY, 2 * MANY))]
REGISTERED = sized(PARTS)
WHOLE = [data_of(part) for part in PARTS]


async def test_the_parts_of_a_worker_arrive_in_one_stream(autojump_clock: MockClock) -> None:
    transport = serving(PARTS)
    assert await fetch(transport, REGISTERED) == WHOLE
    assert sorted(endpoint for endpoint, *_ in transport.opened) == [W1, W2]


async def test_R24_a_part_goes_on_where_their_stream_broke(autojump_clock: MockClock) -> None:
    """What has arrived is not fetched again."""
    transport = serving(PARTS, breaks=1)
    assert await fetch(transport, REGISTERED) == WHOLE
    resumed = [each for each in transport.opened if each[3]]
    firsts = [(W1, key(1, 0), 0, transport.chunk), (W2, key(1, MANY), 0, transport.chunk)]
    assert len(resumed) == 1
    assert resumed[0] in firsts


async def test_a_worker_that_serves_the_first_part_alone_is_asked_for_each(
    autojump_clock: MockClock,
) -> None:
    transport = serving(PARTS, together=False)
    assert await fetch(transport, REGISTERED) == WHOLE


@pytest.mark.parametrize("gone", [0, 7, 2 * MANY - 1])
async def test_R23_one_output_that_is_gone_takes_no_other_with_it(
    autojump_clock: MockClock, gone: int
) -> None:
    transport = serving(PARTS)
    lost = PARTS[gone]
    del transport.data[lost.endpoint, lost.key, lost.reduce_partition]
    with pytest.raises(ShuffleInputError, match="not registered") as info:
        await fetch(transport, REGISTERED)
    assert info.value.inputs == ((1, lost.key.task_id, 1),)


@pytest.mark.parametrize("more", [-1, 1])
async def test_an_output_of_another_size_than_registered_is_the_one_lost(
    autojump_clock: MockClock, more: int
) -> None:
    """Else the bytes of those behind it would be taken for others'."""
    transport = serving(PARTS)
    wrong = attrs.evolve(REGISTERED[5], bytes=REGISTERED[5].bytes + more)
    with pytest.raises(ShuffleInputError, match=r"registered were") as info:
        await fetch(transport, [*REGISTERED[:5], wrong, *REGISTERED[6:]])
    assert info.value.inputs == ((1, wrong.key.task_id, 1),)


async def test_a_chunk_with_a_gap_is_refused(autojump_clock: MockClock) -> None:
    with pytest.raises(ShuffleInputError, match="expected 0 on"):
        await fetch(serving(PARTS, skew=1), REGISTERED)


async def test_a_worker_that_is_away_costs_its_patience_once(autojump_clock: MockClock) -> None:
    transport = serving(PARTS, away={W1, ""})
    began = trio.current_time()
    with pytest.raises(ShuffleInputError) as info:
        await fetch(transport, REGISTERED)
    assert info.value.inputs == tuple((1, task, 1) for task in range(MANY))
    assert trio.current_time() - began < 3 * FetchSettings().patience_ms / 1000


async def test_parts_arrive_through_the_coordinator_where_their_worker_is_away(
    autojump_clock: MockClock,
) -> None:
    transport = serving(PARTS, away={W1})
    for part in PARTS:
        transport.data["", part.key, part.reduce_partition] = data_of(part)
    assert await fetch(transport, REGISTERED) == WHOLE


def test_groups_are_bounded_and_hold_what_one_worker_has() -> None:
    def groups(parts: list[InputPart]) -> list[list[InputPart]]:
        found = grouped([Fetched(part, MemorySpool()) for part in parts])
        return [[wanted.item.part for wanted in group] for group in found]

    assert groups(REGISTERED) == [REGISTERED[: 2 * MANY], REGISTERED[2 * MANY :]]
    unknown = attrs.evolve(REGISTERED[0], bytes=0)
    by_coordinator = attrs.evolve(REGISTERED[0], endpoint="")
    assert groups([unknown, by_coordinator]) == [[unknown], [by_coordinator]]
    many = [attrs.evolve(REGISTERED[0], reduce_partition=at) for at in range(GROUP_PARTS + 2)]
    assert [len(group) for group in groups(many)] == [GROUP_PARTS, 2]
    large = [attrs.evolve(part, bytes=GROUP_BYTES // 2) for part in REGISTERED[:5]]
    assert [len(group) for group in groups(large)] == [2, 2, 1]
