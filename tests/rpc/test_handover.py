"""From one thread to another with one wake-up for all that waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ffq.rpc.handover import MOST, Handover


class Loop:
    """The other thread's loop, without a thread: what it was woken for, done when the test says."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.ended = False

    def wake(self, call: Callable[[], None]) -> None:
        if self.ended:
            raise RuntimeError("ended")
        self.calls.append(call)

    def turn(self) -> int:
        """Do what it was woken for. Returns how often that was."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        return len(calls)


def test_one_wake_up_serves_all_that_waits_in_its_order() -> None:
    loop, done = Loop(), list[int]()
    handover = Handover(loop.wake)
    for n in range(5):
        handover.put(done.append, n)
    assert done == []
    assert loop.turn() == 1
    assert done == [0, 1, 2, 3, 4]
    assert loop.turn() == 0


def test_what_comes_after_a_turn_wakes_again() -> None:
    loop, done = Loop(), list[int]()
    handover = Handover(loop.wake)
    for n in range(3):
        handover.put(done.append, n)
        assert loop.turn() == 1
    assert done == [0, 1, 2]


def test_what_is_put_in_during_a_turn_is_done_at_the_next() -> None:
    loop, done = Loop(), list[str]()
    handover = Handover(loop.wake)

    def again() -> None:
        done.append("first")
        handover.put(done.append, "second")

    handover.put(again)
    loop.turn()
    assert done == ["first"]
    assert loop.turn() == 1
    assert done == ["first", "second"]


def test_a_long_queue_lets_the_loop_have_its_turn_in_between() -> None:
    loop, done = Loop(), list[int]()
    handover = Handover(loop.wake)
    for n in range(2 * MOST + 1):
        handover.put(done.append, n)
    turns = [0]
    while loop.turn():
        turns.append(len(done))
    assert turns == [0, MOST, 2 * MOST, 2 * MOST + 1]
    assert done == sorted(done)


def test_after_an_action_that_raised_the_others_are_done_all_the_same() -> None:
    loop, done = Loop(), list[int]()
    handover = Handover(loop.wake)
    handover.put(done.pop)
    handover.put(done.append, 1)
    with pytest.raises(IndexError):
        loop.turn()
    loop.turn()
    assert done == [1]


def test_who_puts_in_hears_that_the_loop_has_ended_each_time() -> None:
    loop = Loop()
    loop.ended = True
    handover = Handover(loop.wake)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="ended"):
            handover.put(print)


class Lost:
    """What could not be handed over."""

    def __init__(self) -> None:
        self.actions: list[tuple[object, ...]] = []

    def __call__(self, *action: object) -> None:
        self.actions.append(action)


def test_what_is_put_in_within_one_turn_goes_over_together() -> None:
    own, other, lost, done = Loop(), Loop(), Lost(), list[int]()
    handover = Handover(other.wake, later=own.wake, lost=lost)
    for n in range(3):
        handover.put(done.append, n)
    assert other.turn() == 0
    assert own.turn() == 1
    assert other.turn() == 1
    assert done == [0, 1, 2]
    handover.put(done.append, 3)
    assert own.turn() == 1
    assert other.turn() == 1
    assert done == [0, 1, 2, 3]
    assert lost.actions == []


def test_what_an_earlier_wake_up_has_taken_along_wakes_nobody() -> None:
    own, other, done = Loop(), Loop(), list[int]()
    handover = Handover(other.wake, later=own.wake, lost=Lost())
    handover.put(done.append, 0)
    own.turn()
    handover.put(done.append, 1)
    other.turn()
    assert done == [0, 1]
    handover.put(done.append, 2)
    own.turn()
    other.turn()
    assert done == [0, 1, 2]
    own.turn()
    assert other.turn() == 0


def test_what_goes_over_to_a_loop_that_has_ended_is_lost_each_time() -> None:
    own, other, lost = Loop(), Loop(), Lost()
    other.ended = True
    handover = Handover(other.wake, later=own.wake, lost=lost)
    for n in range(2):
        handover.put(print, n)
        handover.put(print, "again")
        own.turn()
    assert lost.actions == [(print, 0), (print, "again"), (print, 1), (print, "again")]


@pytest.mark.parametrize("fails", [False, True])
def test_what_the_actions_give_back_goes_over_together_after_them(fails: bool) -> None:
    loop, first, done = Loop(), Loop(), list[int]()
    back = Handover(first.wake)
    handover = Handover(loop.wake, back=back)

    def answer(n: int) -> None:
        back.put(done.append, n)
        assert first.calls == []

    for n in range(3):
        handover.put(answer, n)
    if fails:
        handover.put(done.pop)
        with pytest.raises(IndexError):
            loop.turn()
    else:
        loop.turn()
    assert first.turn() == 1
    assert done == [0, 1, 2]
    back.put(done.append, 3)
    assert first.turn() == 1
