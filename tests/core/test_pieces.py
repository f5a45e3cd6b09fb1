"""A table by attempt is a dict to whoever uses it, and none of its pieces gets large."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.core.pieces import ByAttempt
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId

PIECE = 4096
TASKS = st.sampled_from([0, 1, PIECE - 1, PIECE, 3 * PIECE, 10**6])
KEYS = st.builds(
    lambda task, attempt: AttemptKey(QueryId("q"), StageId(1), TaskId(task), Attempt(attempt)),
    TASKS,
    st.integers(1, 2),
)


@given(st.lists(st.tuples(KEYS, st.sampled_from(["put", "delete", "pop"]))))
def test_it_holds_what_a_dict_would_hold(steps: list[tuple[AttemptKey, str]]) -> None:
    table, like = ByAttempt[int](), dict[AttemptKey, int]()
    for number, (key, what) in enumerate(steps):
        if what == "put":
            table[key] = like[key] = number
        elif what == "delete" and key in like:
            del table[key], like[key]
        elif what == "pop" and like:
            taken, value = table.popitem()
            assert like.pop(taken) == value
        assert (len(table), bool(table)) == (len(like), bool(like))
        assert (key in table, table.get(key)) == (key in like, like.get(key))
        assert dict(table.items()) == like
        assert set(table) == set(like)
        assert sorted(table.values()) == sorted(like.values())
    assert {each: table[each] for each in table} == like


def test_what_is_not_there_is_an_error() -> None:
    table = ByAttempt[int]()
    key = AttemptKey(QueryId("q"), StageId(1), TaskId(0), Attempt(1))
    for look in (lambda: table[key], lambda: table.__delitem__(key), table.popitem):
        with pytest.raises(KeyError):
            look()


def test_tasks_that_are_no_neighbours_share_no_dict() -> None:
    table = ByAttempt[None]()
    for task in range(0, 5 * PIECE, PIECE // 4):
        table[AttemptKey(QueryId("q"), StageId(1), TaskId(task), Attempt(1))] = None
    assert [len(piece) for piece in table._pieces.values()] == [4] * 5
