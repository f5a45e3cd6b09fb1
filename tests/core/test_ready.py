"""The ready index: turns, profiles, and that what waits does not slow who is served."""

from __future__ import annotations

import pytest

from ffq.core.ready import Profile, ReadyIndex, Requirement
from ffq.ids import QueryId, StageId

ANY = Requirement(frozenset())
OP_A = Requirement(frozenset({"op.a"}))
PLAIN = Profile(frozenset(), "", ours=False)
ABLE = Profile(frozenset({"op.a"}), "", ours=False)


def q(name: str) -> QueryId:
    return QueryId(name)


def anybody(_query_id: QueryId, _stage_id: StageId) -> bool:
    """Every worker may be given something of every stage."""
    return True


def offer(index: ReadyIndex, names: str, requirement: Requirement = ANY) -> None:
    for name in names:
        index.offer(q(name), StageId(0), requirement, 0)


def turns(index: ReadyIndex, profile: Profile, times: int) -> str:
    served = []
    for _ in range(times):
        turn = index.pick(profile, anybody)
        if turn is None:
            break
        index.served(turn[0])
        served.append(str(turn[0]))
    assert list(index.inconsistencies()) == []
    return "".join(served)


@pytest.fixture
def index() -> ReadyIndex:
    index = ReadyIndex()
    index.add_worker(PLAIN, 0)
    index.add_worker(ABLE, 0)
    return index


def test_R11_queries_take_turns(index: ReadyIndex) -> None:
    offer(index, "abc")
    assert turns(index, PLAIN, 7) == "abcabca"


def test_R11_who_comes_later_enters_behind_and_is_served_within_a_round(index: ReadyIndex) -> None:
    offer(index, "abc")
    assert turns(index, PLAIN, 2) == "ab"
    offer(index, "d")
    assert turns(index, PLAIN, 5) == "cabdc"


def test_R11_a_turn_in_one_bucket_counts_in_the_others(index: ReadyIndex) -> None:
    offer(index, "a")
    offer(index, "ab", OP_A)
    assert turns(index, ABLE, 4) == "abab"
    assert turns(index, PLAIN, 2) == "aa"


def test_R10_a_profile_sees_only_what_it_meets(index: ReadyIndex) -> None:
    offer(index, "a", OP_A)
    assert index.pick(PLAIN, anybody) is None
    assert index.pick(ABLE, anybody) == ("a", 0)
    assert index.pick(Profile(frozenset({"op.a"}), "nobody's", ours=False), anybody) is None


def test_R7_a_closed_query_is_in_no_ring_until_it_reopens(index: ReadyIndex) -> None:
    offer(index, "ab")
    index.close(q("a"))
    assert turns(index, PLAIN, 2) == "bb"
    offer(index, "a", OP_A)
    assert turns(index, ABLE, 2) == "bb"
    index.reopen(q("a"))
    assert turns(index, ABLE, 3) == "bab"
    index.reopen(q("a"))
    assert turns(index, ABLE, 1) == "a"


def test_what_is_withdrawn_or_dropped_is_gone(index: ReadyIndex) -> None:
    offer(index, "ab")
    index.offer(q("a"), StageId(1), ANY, 0)
    index.withdraw(q("a"), StageId(0), ANY)
    index.withdraw(q("a"), StageId(7), ANY)
    assert index.pick(PLAIN, anybody) == ("a", 1)
    index.withdraw(q("a"), StageId(1), ANY)
    index.withdraw(q("a"), StageId(1), ANY)
    assert turns(index, PLAIN, 2) == "bb"
    index.drop(q("b"))
    index.drop(q("b"))
    assert index.pick(PLAIN, anybody) is None
    assert index.offered() == {}


def test_R10_it_is_known_since_when_nobody_meets_a_requirement(index: ReadyIndex) -> None:
    index.offer(q("a"), StageId(0), OP_A, 10)
    assert list(index.unmatched_of(q("a"))) == []
    index.remove_worker(ABLE, 20)
    assert list(index.unmatched_of(q("a"))) == [(OP_A, 20)]
    index.offer(q("b"), StageId(0), OP_A, 30)
    assert list(index.unmatched_of(q("b"))) == [(OP_A, 30)]
    assert index.unmatched_queries() == ("a", "b")
    index.add_worker(ABLE, 40)
    assert index.unmatched_queries() == ()


def test_R31_a_family_that_covers_all_stages_is_preferred() -> None:
    index = ReadyIndex()
    whole = Profile(frozenset({"op.a"}), "whole", ours=True)
    part = Profile(frozenset(), "part", ours=True)
    unfixed = Requirement(frozenset(), siblings=frozenset({frozenset({"op.a"})}))
    index.add_worker(part, 0)
    offer(index, "a", unfixed)
    assert index.pick(part, anybody) == ("a", 0)
    index.add_worker(whole, 0)
    assert (index.pick(part, anybody), index.pick(whole, anybody)) == (None, ("a", 0))
    index.remove_worker(whole, 0)
    assert index.pick(part, anybody) == ("a", 0)
    assert list(index.inconsistencies()) == []


def test_R11_what_does_not_suit_a_worker_keeps_its_turn(index: ReadyIndex) -> None:
    """Who comes next is served meanwhile, in turn; and what suits in another bucket counts too."""
    offer(index, "ab")
    offer(index, "c", OP_A)
    assert index.pick(ABLE, lambda query_id, _: query_id == "c") == ("c", 0)
    assert index.pick(ABLE, lambda query_id, _: query_id != "a") == ("b", 0)
    assert index.pick(ABLE, lambda *_: False) is None
    index.served(q("b"))
    assert index.pick(ABLE, anybody) == ("a", 0)


def test_of_a_querys_stages_the_first_that_suits_is_picked(index: ReadyIndex) -> None:
    offer(index, "a")
    index.offer(q("a"), StageId(1), ANY, 0)
    assert index.pick(PLAIN, lambda _, stage_id: stage_id == 1) == ("a", 1)
