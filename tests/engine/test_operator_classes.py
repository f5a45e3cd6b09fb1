"""Operators that are classes: set up once for each config, called batch by batch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, OperatorRegistry, operator
from ffq.engine.batches import MAX_BATCH_BYTES
from ffq.engine.instances import Instance, Instances
from ffq.errors import OperatorError, QueryCanceled, StartupError
from ffq.plan.model import Custom, HashJoin, Node
from ffq.plan.terms import BuildSide, JoinStrategy, JoinType
from tests.engine.runner import leaf, run_over

ROWS = pa.table({"a": pa.array(range(200_000), pa.int64())})
NO_ROWS = ROWS.slice(0, 0)


@pytest.fixture
def registry() -> OperatorRegistry:
    return OperatorRegistry()


@pytest.fixture
def engine(registry: OperatorRegistry) -> Iterator[Engine]:
    engine = Engine(registry=registry)
    yield engine
    engine.close()


def custom(below: Node | None = None, **config: str) -> Custom:
    return Custom("o", tuple(sorted(config.items())), below or leaf())


class Counted:
    """Counts what is made, called and closed of it."""

    made: ClassVar[list[int]] = []
    closed: ClassVar[list[int]] = []

    def __init_subclass__(cls) -> None:
        cls.made, cls.closed = [], []

    def __init__(self, add: int = 0) -> None:
        self.add = add
        self.made.append(add)

    def __call__(self, batch: pa.RecordBatch) -> Any:
        return batch

    def close(self) -> None:
        self.closed.append(self.add)


def test_it_is_set_up_once_for_each_config(registry: OperatorRegistry, engine: Engine) -> None:
    @operator("o", registry=registry)
    class One(Counted): ...

    for _ in range(3):
        assert run_over(engine, custom(), ROWS).num_rows == ROWS.num_rows
    assert run_over(engine, custom(custom(add="2"), add="1"), ROWS).num_rows == ROWS.num_rows
    assert sorted(One.made) == [0, 1, 2]
    assert One.closed == []


def test_it_is_closed_when_no_engine_is_open_any_more(registry: OperatorRegistry) -> None:
    @operator("o", registry=registry)
    class One(Counted): ...

    first, second = Engine(registry=registry), Engine(registry=registry)
    run_over(first, custom(), ROWS)
    first.close()
    run_over(second, custom(), ROWS)
    assert (One.made, One.closed) == ([0], [])
    second.close()
    assert One.closed == [0]
    third = Engine(registry=registry)
    run_over(third, custom(), ROWS)
    assert One.made == [0, 0]
    third.close()


def test_two_tasks_that_begin_at_once_set_it_up_once(
    registry: OperatorRegistry, engine: Engine
) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    @operator("o", registry=registry)
    class One(Counted):
        def __init__(self, add: int = 0) -> None:
            super().__init__(add)
            begun.release()
            assert go.wait(60)

    results: list[int] = []
    tasks = [
        threading.Thread(target=lambda: results.append(run_over(engine, custom(), ROWS).num_rows))
        for _ in range(4)
    ]
    tasks[0].start()
    assert begun.acquire(timeout=60)
    for task in tasks[1:]:
        task.start()
    waiting = registry.instances
    while _users(waiting) < len(tasks):  # all are at it, or wait for it
        pass
    go.set()
    for task in tasks:
        task.join()
    assert results == [ROWS.num_rows] * 4
    assert One.made == [0]


def _users(instances: Instances) -> int:
    return sum(one.users for one in list(instances._known.values()))


def test_a_setup_that_raises_fails_the_query_and_is_tried_again_by_the_next(
    registry: OperatorRegistry, engine: Engine
) -> None:
    @operator("o", registry=registry)
    class One(Counted):
        def __init__(self, add: int = 0) -> None:
            super().__init__(add)
            if len(self.made) == 1:
                raise FileNotFoundError("model.onnx")

    with pytest.raises(OperatorError, match=r"operator 'o' raised FileNotFoundError at .*: model"):
        run_over(engine, custom(), ROWS)
    assert run_over(engine, custom(), ROWS).num_rows == ROWS.num_rows
    assert One.made == [0, 0]


def test_who_waits_for_a_setup_can_be_canceled(registry: OperatorRegistry, engine: Engine) -> None:
    begun, go = threading.Event(), threading.Event()

    @operator("o", registry=registry)
    class One(Counted):
        def __init__(self, add: int = 0) -> None:
            super().__init__(add)
            begun.set()
            assert go.wait(60)

    first = threading.Thread(target=lambda: run_over(engine, custom(), ROWS))
    first.start()
    assert begun.wait(60)
    cancel = CancelToken()
    raised: list[BaseException] = []

    def second() -> None:
        try:
            run_over(engine, custom(), ROWS, cancel=cancel)
        except QueryCanceled as error:
            raised.append(error)

    waiting = threading.Thread(target=second)
    waiting.start()
    while _users(registry.instances) < 2:
        pass
    cancel.cancel()
    waiting.join()  # though the setup goes on
    assert len(raised) == 1
    go.set()
    first.join()
    assert One.made == [0]


@pytest.mark.parametrize(("concurrent", "wanted"), [(False, 1), (True, 2)])
def test_calls_of_one_instance_wait_for_each_other_but_of_one_that_says_so(
    registry: OperatorRegistry,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    concurrent: bool,
    wanted: int,
) -> None:
    """The first call ends when another has been tried, or is in the midst of it."""
    tried: list[int] = []
    inside: list[int] = []
    alone = Instance.alone

    def seen(self: Instance, cancel: CancelToken) -> AbstractContextManager[None]:
        tried.append(1)
        return alone(self, cancel)

    monkeypatch.setattr(Instance, "alone", seen)
    most: list[int] = []

    @operator("o", concurrent=concurrent, registry=registry)
    class One:
        def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            inside.append(1)
            while len(tried) < 2 and len(inside) < 2 and not most:
                pass
            most.append(len(inside))
            inside.pop()
            return batch

    rows = ROWS.slice(0, 10)
    tasks = [threading.Thread(target=run_over, args=(engine, custom(), rows)) for _ in range(2)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert max(most) == wanted


def test_one_instance_on_both_sides_of_a_join_and_over_itself(
    registry: OperatorRegistry, engine: Engine
) -> None:
    """A generator that is not at its end holds up nobody."""

    @operator("o", registry=registry)
    class One(Counted):
        def __call__(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
            half = batch.num_rows // 2
            yield batch.slice(0, half)
            yield batch.slice(half)

    sides = custom(custom()), custom(custom())
    node = HashJoin(*sides, (("a", "a"),), JoinType.INNER, JoinStrategy.AUTO, BuildSide.LEFT)
    assert run_over(engine, node, ROWS, ROWS).num_rows == ROWS.num_rows
    assert One.made == [0]


def test_one_that_never_ends_is_canceled_between_batches(
    registry: OperatorRegistry, engine: Engine
) -> None:
    cancel = CancelToken()

    @operator("o", registry=registry)
    class One:
        def __call__(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
            for at in itertools.count():
                if at == 3:
                    cancel.cancel()
                yield batch.slice(0, 1)

    with pytest.raises(QueryCanceled):
        run_over(engine, custom(), ROWS, cancel=cancel)


def test_a_batch_of_any_size_is_passed_on_in_bounded_ones(
    registry: OperatorRegistry, engine: Engine
) -> None:
    text = pa.table({"s": pa.array(["x" * 1000]).take(pa.array([0] * 50_000))})

    @operator("o", registry=registry)
    class One:
        def __call__(self, batch: pa.RecordBatch) -> pa.Table:
            return text

    table = run_over(engine, custom(), ROWS.slice(0, 1))
    assert table.num_rows == text.num_rows
    assert max(batch.nbytes for batch in table.to_batches()) <= MAX_BATCH_BYTES


def test_no_rows_of_a_declared_schema_need_neither_setup_nor_call(
    registry: OperatorRegistry, engine: Engine
) -> None:
    schema = pa.schema([("s", pa.float64())])

    @operator("o", output_schema=schema, registry=registry)
    class One(Counted): ...

    table = run_over(engine, custom(), NO_ROWS)
    assert (table.schema, table.num_rows, One.made) == (schema, 0, [])


def test_no_rows_are_one_empty_batch_where_no_schema_is_declared(
    registry: OperatorRegistry, engine: Engine
) -> None:
    @operator("o", registry=registry)
    class One(Counted):
        def __call__(self, batch: pa.RecordBatch) -> pa.Table:
            return pa.table({"s": batch["a"].cast(pa.float64())})

    table = run_over(engine, custom(), NO_ROWS)
    assert (table.schema, table.num_rows) == (pa.schema([("s", pa.float64())]), 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda self, batch: None,
            r"'o' \(at .*test_operator_classes.py:\d+\) returned None; right",
        ),
        (lambda self, batch: 5, "returned a int; right would be to yield record batches"),
        (lambda self, batch: [5], "yielded a int; right would be record batches"),
        (lambda self, batch: 1 // 0, r"raised ZeroDivisionError at .*test_operator_classes.py:\d+"),
    ],
)
def test_what_its_call_gives_is_checked(
    registry: OperatorRegistry, engine: Engine, call: Callable[..., Any], message: str
) -> None:
    operator("o", registry=registry)(type("One", (), {"__call__": call, "__module__": __name__}))
    with pytest.raises(OperatorError, match=message):
        run_over(engine, custom(), ROWS)


def test_a_class_without_call_and_a_function_that_is_concurrent_are_refused() -> None:
    class NoCall: ...

    def function(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return batches

    with pytest.raises(StartupError, match="'o' is a class without __call__; right would be: def"):
        operator("o", registry=OperatorRegistry())(NoCall)
    with pytest.raises(StartupError, match="'o' is a function, .* concurrent=True is for classes"):
        operator("o", concurrent=True, registry=OperatorRegistry())(function)


# --- those that are kept ---------------------------------------------------------------------


class Closed:
    def __init__(self, closed: list[str], name: str, *, fails: bool = False) -> None:
        self.closed, self.name, self.fails = closed, name, fails

    def close(self) -> None:
        self.closed.append(self.name)
        if self.fails:
            raise RuntimeError("no")


def test_those_used_last_are_kept_and_one_in_use_is_never_closed() -> None:
    instances, cancel = Instances(most_idle=2), CancelToken()
    closed: list[str] = []
    instances.open()

    def use(name: str) -> Instance:
        with instances.using((name, ()), lambda: Closed(closed, name), cancel) as instance:
            return instance

    with instances.using(("held", ()), lambda: Closed(closed, "held"), cancel):
        first = use("a")
        use("b")
        assert use("a") is first
        use("c")
        assert closed == ["b"]
        instances.close()
        assert sorted(closed) == ["a", "b", "c"]
    assert sorted(closed) == ["a", "b", "c", "held"]


def test_a_close_that_fails_is_logged_and_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    instances = Instances(most_idle=0)
    closed: list[str] = []
    instances.open()
    with instances.using(("x", ()), lambda: Closed(closed, "x", fails=True), CancelToken()):
        pass
    assert closed == ["x"]
    assert "an operator's close() failed: Closed" in caplog.text
