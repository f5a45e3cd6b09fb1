"""In which order a fragment joins: as SQL was planned, else as the engine likes."""

from __future__ import annotations

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.plan.bound import Match, SqlType
from ffq.plan.model import Join, Node, Project, Values
from tests.engine.runner import TableSink

NOTHING = Values((SqlType("INTEGER"),), ())
JOINED = Project((), Join(NOTHING, NOTHING, Match.INNER, None, ()))


def _left_out(engine: Engine, fragment: Node) -> str:
    """Which of the engine's passes the fragment was run without."""
    engine.run(FragmentSpec(fragment), TableSink().open, CancelToken())
    (instance,) = engine._idle
    row = instance.connection.execute("SELECT current_setting('disabled_optimizers')").fetchone()
    assert row is not None
    return str(row[0])


def test_joins_of_planned_sql_are_done_in_its_order() -> None:
    """One instance serves both kinds, one after the other."""
    engine = Engine(EngineSettings(threads=1))
    found = [_left_out(engine, each) for each in (NOTHING, JOINED, NOTHING, JOINED)]
    engine.close()
    assert found == ["", "join_order", "", "join_order"]
