"""Operators that read their input on a thread of their own, which outlives them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import attrs
import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec, OperatorRegistry, operator
from ffq.errors import FfqError, OperatorError, QueryCanceled, StorageError
from ffq.plan.model import Custom, Filter, Node
from ffq.plan.terms import BinaryOp, BinaryOperator, Column
from tests.engine.runner import TableSink, integer, leaf

SCHEMA = pa.schema([("k", pa.int64())])
ONE_ROW = pa.record_batch({"k": [0]}, schema=SCHEMA)


def filtered(below: Node) -> Node:
    """The second pull of it has no end."""
    return Filter(BinaryOp(Column("k"), BinaryOperator.EQ, integer(1)), below)


def through_another(below: Node) -> Node:
    return Custom("passes", (), below)


@attrs.define
class Reading:
    """A run whose operator reads on a thread and ends while that pulls."""

    end: Callable[[CancelToken], None]
    cancel: CancelToken = attrs.field(factory=CancelToken)
    pulling: threading.Event = attrs.field(factory=threading.Event)
    over: bool = False
    drawn_after: int = 0
    failure: FfqError | None = None
    thread: threading.Thread | None = None

    def source(self) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield from [pa.record_batch({"k": [1] * 50_000}, schema=SCHEMA)] * 40
            while True:  # only an interrupt ends it
                self.pulling.set()
                time.sleep(0.002)
                self.drawn_after += self.over
                yield ONE_ROW

        return pa.RecordBatchReader.from_batches(SCHEMA, batches())

    def pull(self, batches: Iterator[pa.RecordBatch]) -> None:
        try:
            for _ in batches:
                pass
        except FfqError as error:
            self.failure = error

    def run(self, below: Callable[[Node], Node], sink: object = None) -> None:
        """Raises as `Engine.run`; `failure` is then what the thread was told."""
        registry = OperatorRegistry()

        @operator("passes", registry=registry)
        def passes(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            yield from batches

        @operator("reads ahead", registry=registry)
        def reads_ahead(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            self.thread = threading.Thread(target=self.pull, args=(batches,), daemon=True)
            self.thread.start()
            self.pulling.wait()
            self.end(self.cancel)
            yield ONE_ROW

        engine = Engine(registry=registry)
        spec = FragmentSpec(Custom("reads ahead", (), below(leaf())), shuffles={0: self.source})
        try:
            engine.run(spec, lambda schema: sink or TableSink(), self.cancel)  # type: ignore[arg-type, return-value]
        finally:
            self.over = True
            assert self.thread is not None
            self.thread.join(20)
            assert not self.thread.is_alive()
            engine.close()


def fails(cancel: CancelToken) -> None:
    raise ValueError("one bad row")


BELOW = pytest.mark.parametrize(
    "below",
    [lambda node: node, filtered, through_another, lambda node: filtered(through_another(node))],
    ids=["bare", "filtered", "through another", "filtered through another"],
)


@BELOW
def test_one_that_ends_early(below: Callable[[Node], Node]) -> None:
    """Its input is closed under no pull; the thread is told, and not that the rows have ended."""
    reading = Reading(lambda cancel: None)
    reading.run(below)
    assert reading.drawn_after == 0
    assert isinstance(reading.failure, OperatorError)
    assert "operator 'reads ahead' (at " in reading.failure.message
    assert "has ended: its input can be read no more" in reading.failure.message


@BELOW
def test_one_that_raises(below: Callable[[Node], Node]) -> None:
    reading = Reading(fails)
    with pytest.raises(OperatorError, match="'reads ahead' raised ValueError at .*: one bad row"):
        reading.run(below)
    assert reading.drawn_after == 0


@BELOW
def test_one_that_is_canceled_in_the_midst_of_a_pull(below: Callable[[Node], Node]) -> None:
    reading = Reading(lambda cancel: cancel.cancel())
    with pytest.raises(QueryCanceled):
        reading.run(below)
    assert reading.drawn_after == 0


@BELOW
def test_a_pull_that_is_interrupted_is_not_why_the_fragment_failed(
    below: Callable[[Node], Node],
) -> None:
    class Full:
        def write(self, batch: pa.RecordBatch) -> None:
            raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="the disk is full"):
        Reading(lambda cancel: None).run(below, Full())
