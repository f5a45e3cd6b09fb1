"""In which order a fragment joins: streams as SQL was planned, files alone as the engine likes."""

from __future__ import annotations

import pyarrow as pa

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.plan.bound import Match, SqlType
from ffq.plan.model import Join, Limit, Node, Project, Values
from tests.engine.runner import TableSink, leaf

NOTHING = Values((SqlType("INTEGER"),), ())
PLAIN = Limit(1, leaf())
FILES_JOINED = Project((), Join(NOTHING, NOTHING, Match.INNER, None, ()))
JOINED = Project((), Join(NOTHING, leaf(), Match.INNER, None, ()))


def _left_out(engine: Engine, fragment: Node) -> str:
    """Which of the engine's passes the fragment was run without."""
    shuffles = {0: pa.table({"a": [1]}).to_reader}
    engine.run(FragmentSpec(fragment, shuffles=shuffles), TableSink().open, CancelToken())
    (instance,) = engine._idle
    row = instance.connection.execute("SELECT current_setting('disabled_optimizers')").fetchone()
    assert row is not None
    return str(row[0])


def test_streams_are_joined_in_the_order_of_planned_sql() -> None:
    """One instance serves all kinds, one after the other."""
    engine = Engine(EngineSettings(threads=1))
    found = [_left_out(engine, each) for each in (NOTHING, JOINED, FILES_JOINED, JOINED)]
    engine.close()
    assert found == ["", "join_order", "", "join_order"]


def test_a_fragment_that_joins_nothing_is_run_as_the_one_before() -> None:
    """A change would take longer than it: nothing in it depends on that."""
    engine = Engine(EngineSettings(threads=1))
    found = [_left_out(engine, each) for each in (PLAIN, JOINED, PLAIN, NOTHING, PLAIN)]
    engine.close()
    assert found == ["", "join_order", "join_order", "", ""]
