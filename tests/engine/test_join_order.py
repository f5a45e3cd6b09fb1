"""In which order a fragment joins: streams as SQL was planned, files alone as the engine likes."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.errors import ShuffleInputError
from ffq.plan.bound import Call, Constant, Match, Place, SqlType
from ffq.plan.model import Join, Limit, Node, Project, RangeJoin, Values
from tests.engine.runner import TableSink, leaf, run_over

NOTHING = Values((SqlType("INTEGER"),), ())
PLAIN = Limit(1, leaf())
FILES_JOINED = Project((), Join(NOTHING, NOTHING, Match.INNER, None, ()))
JOINED = Project((), Join(NOTHING, leaf(), Match.INNER, None, ()))
STREAMS_JOINED = Join(leaf(), leaf(), Match.INNER, None, ())
RANGED = RangeJoin(JOINED, NOTHING, Match.ANTI, None, (), right_leads=False)
ONE_ROW = pa.table({"a": [1]})


def _left_out(engine: Engine, fragment: Node, stream: pa.Table = ONE_ROW) -> str:
    """Which of the engine's passes the fragment was run without."""
    shuffles = {0: stream.to_reader, 1: stream.to_reader}
    engine.run(FragmentSpec(fragment, shuffles=shuffles), TableSink().open, CancelToken())
    (instance,) = engine._idle
    row = instance.connection.execute("SELECT current_setting('disabled_optimizers')").fetchone()
    assert row is not None
    return str(row[0])


def test_streams_are_joined_in_the_order_of_planned_sql() -> None:
    """One instance serves all kinds, one after the other."""
    engine = Engine(EngineSettings(threads=1))
    plans = (NOTHING, JOINED, FILES_JOINED, STREAMS_JOINED)
    found = [_left_out(engine, each) for each in plans]
    engine.close()
    assert found == ["", "join_order", "", "join_order"]


def test_files_that_are_joined_beside_streams_are_looked_up_on_the_right_side() -> None:
    """The engine would take either side for all rows of its files, or for none."""
    engine = Engine(EngineSettings(threads=1))
    inner = attrs.evolve(RANGED, match=Match.INNER)
    alone = RangeJoin(NOTHING, NOTHING, Match.INNER, None, (), right_leads=False)
    found = [_left_out(engine, each) for each in (JOINED, inner, alone, RANGED, inner)]
    engine.close()
    both = "build_side_probe_side,join_order"
    assert [",".join(sorted(each.split(","))) for each in found] == [
        "join_order",
        both,
        "",
        "",
        both,
    ]


def test_a_fragment_that_joins_nothing_is_run_as_the_one_before() -> None:
    """A change would take longer than it: nothing in it depends on that."""
    engine = Engine(EngineSettings(threads=1))
    found = [_left_out(engine, each) for each in (PLAIN, JOINED, PLAIN, NOTHING, PLAIN)]
    engine.close()
    assert found == ["", "join_order", "join_order", "", ""]


def test_beside_semi_and_anti_joins_by_ranges_streams_of_few_rows_are_counted() -> None:
    """The engine knows all that it joins then, as of files alone."""
    engine = Engine(EngineSettings(threads=1))
    many = pa.table({"a": pa.array(range(2**21), pa.int64())})
    times = pa.table({"a": pa.array([1], pa.time64("us"))})
    found = [_left_out(engine, RANGED, stream) for stream in (ONE_ROW, many, ONE_ROW, times)]
    engine.close()
    assert found == ["", "", "", "join_order"]
    assert many.nbytes == 16 * 2**20, "the most that are counted"
    engine = Engine(EngineSettings(threads=1))
    assert _left_out(engine, attrs.evolve(RANGED, match=Match.LEFT)) == "join_order"
    more = pa.concat_tables([many, many])
    assert _left_out(engine, RANGED, more) == "join_order"
    engine.close()


@pytest.mark.parametrize("rows", [0, 7, 3 * 2**20])
def test_all_rows_are_joined_whether_they_are_counted_or_not(rows: int) -> None:
    stream = pa.table({"a": pa.array(range(rows), pa.int64()), "b": ["x"] * rows})
    same = Call("=", (Place(0), Place(2)), SqlType("BOOLEAN"))
    values = Values(
        (SqlType("BIGINT"),), tuple((Constant(SqlType("BIGINT"), at),) for at in (6, 9))
    )
    node = RangeJoin(leaf(), values, Match.SEMI, same, (), right_leads=False)
    engine = Engine(EngineSettings(threads=1))
    got = run_over(engine, node, stream)
    engine.close()
    assert got.sort_by("c0").to_pydict() == {
        "c0": [at for at in (6, 9) if at < rows],
        "c1": ["x" for at in (6, 9) if at < rows],
    }


def test_why_a_stream_that_is_counted_breaks_is_told() -> None:
    def broken() -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield from ONE_ROW.to_batches()
            raise ShuffleInputError("the worker that has it is gone")

        return pa.RecordBatchReader.from_batches(ONE_ROW.schema, batches())

    engine = Engine(EngineSettings(threads=1))
    with pytest.raises(ShuffleInputError, match="is gone"):
        engine.run(FragmentSpec(RANGED, shuffles={0: broken}), TableSink().open, CancelToken())
    engine.close()
