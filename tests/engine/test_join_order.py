"""In which order a fragment joins: streams as SQL was planned, files alone as the engine likes."""

from __future__ import annotations

import pyarrow as pa

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.plan.bound import Match, SqlType
from ffq.plan.model import (
    Join,
    Node,
    Project,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
    Values,
)
from tests.engine.runner import TableSink

NOTHING = Values((SqlType("INTEGER"),), ())
STREAM = ShuffleRead(ShuffleWrite(NOTHING, SinglePartitioning()), SinglePartitioning())
FILES_JOINED = Project((), Join(NOTHING, NOTHING, Match.INNER, None, ()))
JOINED = Project((), Join(NOTHING, STREAM, Match.INNER, None, ()))


def _left_out(engine: Engine, fragment: Node) -> str:
    """Which of the engine's passes the fragment was run without."""
    table = pa.table({"k": pa.array([], pa.int32())})
    spec = FragmentSpec(fragment, shuffles={0: table.to_reader})
    engine.run(spec, TableSink().open, CancelToken())
    (instance,) = engine._idle
    row = instance.connection.execute("SELECT current_setting('disabled_optimizers')").fetchone()
    assert row is not None
    return str(row[0])


def test_streams_are_joined_in_the_order_of_planned_sql() -> None:
    """One instance serves all kinds, one after the other."""
    engine = Engine(EngineSettings(threads=1))
    found = [_left_out(engine, each) for each in (STREAM, JOINED, FILES_JOINED, JOINED)]
    engine.close()
    assert found == ["", "join_order", "", "join_order"]
