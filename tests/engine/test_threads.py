"""How many threads a fragment has: those of each task, or of one that is all of its stage."""

from __future__ import annotations

import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.plan.bound import SqlType
from ffq.plan.model import Values
from tests.engine.runner import TableSink

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
