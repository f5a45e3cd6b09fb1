"""A fragment stops when it is told to, at any moment; others go on."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec, OperatorRegistry, operator
from ffq.errors import OperatorError, QueryCanceled
from ffq.plan.model import Custom, Filter, HashJoin, Node, PartialHashAggregate
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    Column,
    IsNotNull,
    JoinStrategy,
    JoinType,
)
from ffq.plan.terms import BuildSide as Side
from tests.engine.runner import TableSink, leaf, run_fragment, run_over

SAME_KEY = pa.table({"k": pa.array([1] * 200_000, pa.int64())})


def count(below: Node) -> Node:
    aggregates = ((AggregateExpr(AggregateFunction.COUNT, Column("k")), "n"),)
    return PartialHashAggregate((), aggregates, below)


def endless() -> Node:
    """4 * 10^10 pairs of rows: if it does not stop, the test's timeout ends it."""
    pairs = HashJoin(leaf(), leaf(), (("k", "k"),), JoinType.INNER, JoinStrategy.AUTO, Side.LEFT)
    return count(pairs)


def test_canceled_before_it_starts(engine: Engine) -> None:
    cancel = CancelToken()
    cancel.cancel()
    cancel.cancel()
    assert cancel.canceled
    sink = TableSink()
    spec = FragmentSpec(leaf(), shuffles={0: SAME_KEY.to_reader})
    with pytest.raises(QueryCanceled):
        engine.run(spec, sink.open, cancel)
    assert sink.schema is None


@pytest.mark.parametrize("delay_s", [0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2])
def test_canceled_while_duckdb_works(engine: Engine, delay_s: float) -> None:
    """Whatever it is at: planning, just about to execute, or executing."""
    cancel = CancelToken()
    timer = threading.Timer(delay_s, cancel.cancel)
    timer.start()
    with pytest.raises(QueryCanceled):
        run_over(engine, endless(), SAME_KEY, SAME_KEY, cancel=cancel)
    timer.join()
    assert run_over(engine, count(leaf()), SAME_KEY).to_pydict() == {"n": [200_000]}


def test_canceled_between_batches_of_output(engine: Engine) -> None:
    cancel = CancelToken()
    seen = 0

    class Sink:
        def write(self, batch: pa.RecordBatch) -> None:
            nonlocal seen
            seen += batch.num_rows
            cancel.cancel()

    spec = FragmentSpec(Filter(IsNotNull(Column("k")), leaf()), shuffles={0: endless_batches})
    with pytest.raises(QueryCanceled):
        engine.run(spec, lambda schema: Sink(), cancel)
    assert seen > 0


def endless_batches() -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            yield pa.record_batch({"k": pa.array([1] * 2048, pa.int64())})

    return pa.RecordBatchReader.from_batches(SAME_KEY.schema, batches())


@pytest.mark.parametrize("wrap", [lambda node: node, count], ids=["bare", "counted"])
def test_canceled_while_an_operator_yields(wrap: Callable[[Node], Node]) -> None:
    registry = OperatorRegistry()
    running = threading.Event()

    @operator("endless", registry=registry)
    def forever(
        batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
    ) -> Iterable[pa.RecordBatch]:
        batch = next(batches)
        while True:
            running.set()
            yield batch.slice(0, 1)

    engine = Engine(registry=registry)
    cancel = CancelToken()

    def stop() -> None:
        running.wait()
        cancel.cancel()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(QueryCanceled):
        run_over(engine, wrap(Custom("endless", (), leaf())), SAME_KEY, cancel=cancel)
    stopper.join()
    engine.close()


def test_only_the_canceled_one_of_two_stops(engine: Engine) -> None:
    cancel = CancelToken()
    first_batch, canceled = threading.Event(), threading.Event()

    def slow() -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield SAME_KEY.to_batches()[0]
            first_batch.set()
            canceled.wait()
            yield SAME_KEY.to_batches()[0]

        return pa.RecordBatchReader.from_batches(SAME_KEY.schema, batches())

    results: list[pa.Table] = []
    spec = FragmentSpec(count(leaf()), shuffles={0: slow})
    other = threading.Thread(target=lambda: results.append(run_fragment(engine, spec)))
    other.start()
    first_batch.wait()
    timer = threading.Timer(0.05, cancel.cancel)
    timer.start()
    with pytest.raises(QueryCanceled):
        run_over(engine, endless(), SAME_KEY, SAME_KEY, cancel=cancel)
    canceled.set()
    other.join()
    timer.join()
    assert results[0].to_pydict() == {"n": [400_000]}


def test_the_interrupting_thread_ends_with_the_fragment(engine: Engine) -> None:
    cancel = CancelToken()
    timer = threading.Timer(0.02, cancel.cancel)
    timer.start()
    with pytest.raises(QueryCanceled):
        run_over(engine, endless(), SAME_KEY, SAME_KEY, cancel=cancel)
    timer.join()
    for thread in threading.enumerate():
        if thread.name == "ffq-cancel":
            thread.join()
    assert "ffq-cancel" not in {thread.name for thread in threading.enumerate()}


def test_fragments_run_at_once_on_threads(engine: Engine) -> None:
    results: dict[int, pa.Table] = {}
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                table = pa.table({"k": list(range(number * 1000))})
                results[number] = run_over(engine, count(leaf()), table)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {number: table["n"][0].as_py() for number, table in results.items()} == {
        number: number * 1000 for number in range(8)
    }


def test_interrupts_repeat_until_the_fragment_is_left() -> None:
    """One that comes just before a statement starts is forgotten by DuckDB."""
    cancel = CancelToken()
    third = threading.Event()
    calls = itertools.count(1)
    with cancel.interrupting(lambda: third.set() if next(calls) >= 3 else None):
        cancel.cancel()
        third.wait()
    with pytest.raises(QueryCanceled), cancel.interrupting(lambda: None):
        pass


@pytest.mark.parametrize("cancel_it", [True, False])
def test_nothing_of_a_failed_fragment_stays_in_memory(cancel_it: bool) -> None:
    """What a DuckDB connection held for good would be out of the garbage collector's sight."""
    tokens = [CancelToken()]
    gone = weakref.ref(tokens[0])
    registry = OperatorRegistry()

    @operator("fails", registry=registry)
    def fails(
        batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
    ) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            yield batch
            if not cancel_it:
                raise ValueError("on purpose")
            tokens[0].cancel()

    engine = Engine(registry=registry)
    with pytest.raises(QueryCanceled if cancel_it else OperatorError):
        run_over(engine, count(Custom("fails", (), leaf())), SAME_KEY, cancel=tokens[0])
    tokens.clear()
    for thread in threading.enumerate():
        if thread.name == "ffq-cancel":  # it ends with the fragment, and holds the token until then
            thread.join()
    gc.collect()
    assert gone() is None
    engine.close()
