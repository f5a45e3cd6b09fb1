"""The connection that stays open between fragments: what stays on it, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import ref

import duckdb
import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec, kept
from ffq.engine.engine import EngineSettings
from ffq.engine.kept import KeptCursor, Prepared
from ffq.errors import ShuffleInputError
from ffq.plan.bound import SqlType
from ffq.plan.model import Custom, Inline, Limit, Node
from tests.engine.runner import leaf, run_fragment

PLAN = Limit(10, leaf())


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(EngineSettings(threads=1))
    yield made
    made.close()


def idle(engine: Engine) -> Prepared | None:
    (instance,) = engine._idle
    return instance.kept._idle


def rows(engine: Engine, table: pa.Table, plan: Node = PLAN) -> pa.Table:
    return run_fragment(engine, FragmentSpec(plan, shuffles={0: table.to_reader}))


def test_a_query_that_is_run_again_is_made_once_on_one_connection(engine: Engine) -> None:
    rows(engine, pa.table({"a": [1]}))
    first = idle(engine)
    assert first is not None
    queries = dict(first._queries)
    rows(engine, pa.table({"a": [2]}))
    assert idle(engine) is first
    assert dict(first._queries) == queries
    assert len(queries) == 1


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [2, 3]}),
        pa.table({"a": ["text"]}),
        pa.table({"a": pa.array([], pa.float64())}),
        pa.table({"b": [1.5]}),
        pa.table({"a": [[1, 2], None]}),
    ],
)
def test_what_it_gives_is_of_what_it_reads_now_in_whatever_types(
    engine: Engine, table: pa.Table
) -> None:
    """The SQL is the same for all."""
    rows(engine, pa.table({"a": [1]}))
    assert rows(engine, table).equals(table)
    prepared = idle(engine)
    assert prepared is not None
    assert len(prepared._queries) == 1


def test_what_a_fragment_has_read_is_let_go(engine: Engine) -> None:
    class Rows:
        def __iter__(self) -> Iterator[pa.RecordBatch]:
            yield pa.record_batch({"a": [1]})

    held = []

    def reader() -> pa.RecordBatchReader:
        source = Rows()
        held.append(ref(source))
        return pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), iter(source))

    run_fragment(engine, FragmentSpec(PLAN, shuffles={0: reader}))
    prepared = idle(engine)
    assert prepared is not None
    assert [each() for each in held] == [None]
    with pytest.raises(duckdb.CatalogException):
        prepared.cursor.execute("SELECT * FROM shuffle_0")


def test_after_a_failure_there_is_another_one(engine: Engine) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        raise OSError("gone")

    rows(engine, pa.table({"a": [1]}))
    first = idle(engine)
    schema = pa.schema([("a", pa.int64())])
    spec = FragmentSpec(
        PLAN, shuffles={0: lambda: pa.RecordBatchReader.from_batches(schema, broken())}
    )
    with pytest.raises(ShuffleInputError):
        run_fragment(engine, spec)
    assert idle(engine) is None
    assert rows(engine, pa.table({"a": [2]}))["a"].to_pylist() == [2]
    assert idle(engine) not in {None, first}


def test_one_that_was_canceled_at_its_end_is_not_used_again() -> None:
    """It may be interrupted yet."""
    cancel, kept_cursor = CancelToken(), KeptCursor(duckdb.connect())
    with kept_cursor.use(cancel) as first:
        pass
    with kept_cursor.use(cancel) as second:
        cancel.cancel()
    with kept_cursor.use(CancelToken()) as third:
        pass
    kept_cursor.close()
    assert first is second is not third


@pytest.mark.parametrize(
    "plan",
    [Custom("op", (), leaf()), Inline("t", (("a", SqlType("BIGINT")),))],
    ids=["several connections", "a table on it"],
)
def test_fragments_that_leave_more_have_connections_of_their_own(
    engine: Engine, plan: Node
) -> None:
    with pytest.raises(Exception, match="op|'t'"):
        rows(engine, pa.table({"a": [1]}), plan)
    (instance,) = engine._idle
    rows(engine, pa.table({"a": [1]}))
    first = instance.kept._idle
    with pytest.raises(Exception, match="op|'t'"):
        rows(engine, pa.table({"a": [1]}), plan)
    assert instance.kept._idle is first


@pytest.mark.parametrize(("name", "most"), [("_MOST_QUERIES", 2), ("_MOST_CHARACTERS", 25)])
def test_queries_that_were_not_run_for_longest_go(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(kept, name, most)
    prepared = Prepared.opened(duckdb.connect())
    for sql in ("SELECT 11", "SELECT 22", "SELECT 11", "SELECT 33"):
        prepared.query(sql)
    assert list(prepared._queries) == ["SELECT 11", "SELECT 33"]
    assert prepared._characters == len("SELECT 11") * 2
    prepared.cursor.close()
