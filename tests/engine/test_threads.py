"""How many threads a fragment has: those of each task, or of one that is all of its stage."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.plan.bound import Match, SqlType
from ffq.plan.model import Join, Limit, Node, Values
from tests.engine.runner import TableSink, leaf

NOTHING = Values((SqlType("INTEGER"),), ())


@pytest.mark.parametrize(
    ("threads", "lone", "seen"),
    [(1, 3, [1, 3, 1, 3]), (2, None, [2, 2, 2, 2]), (3, 3, [3, 3, 3, 3])],
)
def test_a_fragment_that_is_alone_has_the_threads_of_such_a_one(
    threads: int, lone: int | None, seen: list[int]
) -> None:
    """One instance serves both kinds, one after the other."""
    engine = Engine(EngineSettings(threads=threads, lone_threads=lone))
    found = []
    for alone in (False, True, False, True):
        sink = TableSink()
        engine.run(FragmentSpec(NOTHING, alone=alone), sink.open, CancelToken())
        (instance,) = engine._idle
        found += instance.connection.execute("SELECT current_setting('threads')").fetchall()
    engine.close()
    assert [count for (count,) in found] == seen


@pytest.mark.parametrize(
    ("fragment", "input_bytes", "lone"),
    [
        (Limit(1, leaf()), 256 * 1024, False),
        (Limit(1, leaf()), 256 * 1024 + 1, True),
        (Limit(1, leaf()), None, True),
        (Join(leaf(), NOTHING, Match.INNER, None, ()), 1, True),
    ],
    ids=["few bytes", "many", "nobody knows how many", "combinations of few"],
)
def test_few_rows_that_meet_no_others_are_not_worth_a_change_of_threads(
    fragment: Node, input_bytes: int | None, *, lone: bool
) -> None:
    engine = Engine(EngineSettings(threads=1, lone_threads=3))
    shuffles = {0: pa.table({"a": [1]}).to_reader}
    spec = FragmentSpec(fragment, shuffles=shuffles, alone=True, input_bytes=input_bytes)
    engine.run(spec, TableSink().open, CancelToken())
    (instance,) = engine._idle
    found = instance.connection.execute("SELECT current_setting('threads')").fetchall()
    engine.close()
    assert found == [(3 if lone else 1,)]
