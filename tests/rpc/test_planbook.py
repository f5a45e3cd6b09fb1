"""Which plans the ends of a worker's stream keep."""

from __future__ import annotations

from ffq.rpc.planbook import PlanBook


def test_a_plan_is_found_by_its_name_and_the_name_by_the_plan() -> None:
    book = PlanBook()
    assert book.plan(b"1") is None
    assert book.digest(b"{1}") is None
    book.put(b"1", b"{1}")
    assert book.plan(b"1") == b"{1}"
    assert book.digest(b"{1}") == b"1"


def test_the_one_that_was_named_longest_ago_goes_first() -> None:
    book = PlanBook(max_plans=2)
    book.put(b"1", b"{1}")
    book.put(b"2", b"{2}")
    assert book.plan(b"1") is not None
    book.put(b"3", b"{3}")
    assert book.plan(b"2") is None
    assert book.digest(b"{2}") is None
    assert book.digest(b"{1}") == b"1"
    book.put(b"4", b"{4}")
    assert [book.plan(each) is None for each in (b"1", b"3", b"4")] == [False, True, False]


def test_plans_go_when_their_bytes_are_too_many_and_a_large_one_is_kept_alone() -> None:
    book = PlanBook(max_bytes=10)
    book.put(b"1", b"a" * 5)
    book.put(b"2", b"b" * 5)
    assert book.plan(b"1") is not None
    book.put(b"2", b"c" * 6)
    assert book.plan(b"1") is None
    assert book.digest(b"b" * 5) is None
    book.put(b"3", b"d" * 11)
    assert book.plan(b"2") is None
    assert book.plan(b"3") == b"d" * 11
    book.put(b"4", b"e")
    assert book.plan(b"3") is None
    assert book.plan(b"4") == b"e"
