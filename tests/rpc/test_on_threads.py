"""What blocks, iterated from Trio: order, how far a step goes, errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from ffq.rpc.routes import AHEAD, OnThreads


class Counted:
    """Numbers up to a limit, then the end or an error; `made` says how many were asked for."""

    def __init__(self, limit: int, error: Exception | None = None) -> None:
        self.made = 0
        self._limit = limit
        self._error = error

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.made < self._limit:
            self.made += 1
            return self.made
        if self._error is not None:
            raise self._error
        raise StopIteration


@pytest.mark.parametrize("count", range(2 * AHEAD + 2))
async def test_every_item_comes_in_order(count: int) -> None:
    items = OnThreads(Counted(count), trio.CapacityLimiter(1))
    assert [each async for each in items] == list(range(1, count + 1))


async def test_R30_no_more_is_made_than_one_step_makes() -> None:
    source = Counted(100)
    items = OnThreads(source, trio.CapacityLimiter(1))
    for taken in range(1, 10):
        await anext(items)
        assert taken <= source.made < taken + AHEAD


@pytest.mark.parametrize("count", range(2 * AHEAD + 1))
async def test_an_error_comes_after_the_items_before_it(count: int) -> None:
    items = OnThreads(Counted(count, ZeroDivisionError()), trio.CapacityLimiter(1))
    got = []
    with pytest.raises(ZeroDivisionError):
        async for each in items:
            got.append(each)
    assert got == list(range(1, count + 1))
    with pytest.raises(StopAsyncIteration):
        await anext(items)


@pytest.mark.parametrize("count", range(2 * AHEAD + 2))
async def test_items_at_hand_come_in_order_with_the_others(count: int) -> None:
    """`now` of the source gives every second item, and says of the others to wait."""
    source = Counted(count)
    asked = 0

    def now() -> int | None:
        nonlocal asked
        asked += 1
        return next(source) if asked % 2 else None

    items = OnThreads(source, trio.CapacityLimiter(1), now)
    got = []
    async for each in items:
        got.append(each)
        while items.goes_on and (more := items.now()) is not None:
            got.append(more)
    assert got == list(range(1, count + 1))


async def test_without_a_way_to_them_nothing_is_at_hand_but_what_was_made() -> None:
    items = OnThreads(Counted(AHEAD + 1), trio.CapacityLimiter(1))
    assert not items.goes_on
    assert items.now() is None
    assert await anext(items) == 1
    assert [items.now() for _ in range(AHEAD - 1)] == list(range(2, AHEAD + 1))
    assert not items.goes_on
    assert items.now() is None
    assert await anext(items) == AHEAD + 1
