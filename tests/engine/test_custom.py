"""Custom operators between the parts of a fragment, and their registry."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ffq.engine import Engine, FragmentSpec, OperatorRegistry, load_operators, operator
from ffq.errors import (
    DataError,
    OperatorError,
    PlanningError,
    ShuffleInputError,
    StartupError,
    Unavailable,
)
from ffq.plan.model import Custom, Filter, HashJoin, Limit, Node, PartialHashAggregate, Project
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    BinaryOp,
    BinaryOperator,
    BuildSide,
    Column,
    JoinStrategy,
    JoinType,
)
from tests.engine.runner import integer, leaf, run_fragment, run_over, text

Batches = Iterator[pa.RecordBatch]
Config = Mapping[str, str]

REGISTRY = OperatorRegistry()
FILE = re.escape(__file__)


def register(
    name: str,
) -> Callable[[Callable[..., Iterable[pa.RecordBatch]]], Callable[..., Iterable[pa.RecordBatch]]]:
    return operator(name, registry=REGISTRY)


@register("times")
def times(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    for batch in batches:
        product = pc.multiply(batch["a"].cast(pa.float64()), float(config["by"]))
        yield pa.record_batch({"a": batch["a"], "product": product})


@register("raises")
def raises(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield from batches
    raise KeyError("no such key")


@register("exits")
def exits(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield next(batches)
    raise SystemExit(3)


class Panic(BaseException):
    """As extension modules raise that are written in other languages."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Exiting(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


_UNUSUAL = {
    "panics": Panic("index out of bounds"),
    "interrupts": KeyboardInterrupt(),
    "leaves": GeneratorExit(),
    "mute": Mute(),
    "exits in its text": Exiting(),
    "is not answered": Unavailable("127.0.0.1:1 does not answer"),
    "reads a shuffle": ShuffleInputError("one of its own"),
    "computes": DataError("its own data"),
}


@register("is no generator")
def is_no_generator(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    return [next(batch for batch in batches if batch.num_rows < 0)]


@register("runs out")
def runs_out(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield next(batches)
    next(iter(()))


def _raising(error: BaseException) -> Callable[[Batches, Config], Iterable[pa.RecordBatch]]:
    def function(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
        yield next(batches)
        raise error

    return function


for _name, _error in _UNUSUAL.items():
    register(_name)(_raising(_error))


@register("yields none")
def yields_none(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield None


@register("returns none")
def returns_none(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    return None  # type: ignore[return-value]


@register("yields rows")
def yields_rows(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield from batches
    yield [1, 2, 3]


@register("changes schema")
def changes_schema(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield from batches
    yield pa.record_batch({"other": ["x"]})


@register("yields nothing")
def yields_nothing(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    for _ in batches:
        pass
    return iter(())


@register("uuids")
def uuids(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield pa.record_batch({"u": pa.array([UUID(int=5).bytes], pa.uuid())})


class Frame:
    """As a data frame of another library: what it calls a schema is none of ours."""

    schema: Mapping[str, str] = {"a": "Int64"}


class Closed:
    @property
    def schema(self) -> pa.Schema:
        raise RuntimeError("it is closed")


@register("yields frames")
def yields_frames(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield Frame()


@register("yields closed")
def yields_closed(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    yield Closed()


@register("swallows")
def swallows(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    with suppress(Exception):
        yield from batches


@register("says it anew")
def says_it_anew(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    try:
        yield from batches
    except Exception as error:
        raise ValueError("it went wrong") from error


@pytest.fixture(scope="module")
def custom_engine() -> Iterator[Engine]:
    engine = Engine(registry=REGISTRY)
    yield engine
    engine.close()


def numbers(rows: int) -> pa.Table:
    return pa.table({"a": pa.array(range(rows), pa.int64())})


def custom(name: str, below: Node, **config: str) -> Custom:
    return Custom(name, tuple(sorted(config.items())), below)


def count(below: Node) -> Node:
    aggregates = ((AggregateExpr(AggregateFunction.COUNT, integer(1)), "n"),)
    return PartialHashAggregate((), aggregates, below)


@pytest.mark.parametrize("rows", [0, 3, 200_000])
def test_rows_pass_through_with_the_schema_that_it_yields(custom_engine: Engine, rows: int) -> None:
    """Also for no rows: an operator always gets a batch, if an empty one."""
    table = run_over(custom_engine, custom("times", leaf(), by="2"), numbers(rows))
    assert table.schema == pa.schema([("a", pa.int64()), ("product", pa.float64())])
    assert sorted(table["a"].to_pylist()) == list(range(rows))
    assert table["product"].to_pylist() == [value * 2.0 for value in table["a"].to_pylist()]


def test_nodes_above_and_below_and_two_in_a_row(custom_engine: Engine) -> None:
    below = Filter(BinaryOp(Column("a"), BinaryOperator.LT, integer(10)), leaf())
    twice = custom(
        "times", Project(((Column("product"), "a"),), custom("times", below, by="3")), by="2"
    )
    node = Filter(BinaryOp(Column("product"), BinaryOperator.GT, integer(50)), twice)
    table = run_over(custom_engine, node, numbers(1000))
    assert sorted(table["product"].to_pylist()) == [54.0]


def test_on_both_sides_of_a_join(custom_engine: Engine) -> None:
    sides = custom("times", leaf(), by="1"), custom("times", leaf(), by="2")
    node = HashJoin(*sides, (("a", "a"),), JoinType.INNER, JoinStrategy.AUTO, BuildSide.LEFT)
    table = run_over(custom_engine, count(node), numbers(5000), numbers(9000))
    assert table.to_pydict() == {"n": [5000]}


def test_a_limit_above_ends_it_early(custom_engine: Engine) -> None:
    drawn = 0

    def source() -> pa.RecordBatchReader:
        def batches() -> Batches:
            nonlocal drawn
            for at in range(10_000):
                drawn += 1
                yield pa.record_batch({"a": pa.array([at] * 2048, pa.int64())})

        return pa.RecordBatchReader.from_batches(numbers(0).schema, batches())

    node = Limit(3, custom("times", leaf(), by="1"))
    table = run_fragment(custom_engine, FragmentSpec(node, shuffles={0: source}))
    assert table.num_rows == 3
    assert drawn < 2000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", rf"operator 'raises' raised KeyError at {FILE}:\d+: 'no such key'"),
        ("exits", rf"operator 'exits' raised SystemExit at {FILE}:\d+: 3"),
        ("panics", rf"operator 'panics' raised Panic at {FILE}:\d+: index out of bounds"),
        ("interrupts", rf"operator 'interrupts' raised KeyboardInterrupt at {FILE}:\d+: "),
        ("leaves", rf"operator 'leaves' raised GeneratorExit at {FILE}:\d+: "),
        ("is no generator", rf"raised StopIteration at {FILE}:\d+: "),
        ("runs out", rf"'runs out' raised RuntimeError at {FILE}:\d+: generator raised StopIter"),
        ("mute", rf"operator 'mute' raised Mute at {FILE}:\d+: \(its text cannot be had: Runtime"),
        (
            "exits in its text",
            rf"raised Exiting at {FILE}:\d+: \(its text cannot be had: SystemExi",
        ),
        ("is not answered", rf"'is not answered' raised Unavailable at {FILE}:\d+: 127.0.0.1:1 do"),
        ("reads a shuffle", rf"raised ShuffleInputError at {FILE}:\d+: one of its own"),
        ("computes", rf"operator 'computes' raised DataError at {FILE}:\d+: its own data"),
        ("returns none", rf"'returns none' \(at {FILE}:\d+\) returned None; right would be to yi"),
        ("yields none", rf"'yields none' \(at {FILE}:\d+\) yielded None; right would be to yield"),
        ("yields rows", rf"'yields rows' \(at {FILE}:\d+\) yielded a list; right would be record"),
        (
            "yields frames",
            rf"\(at {FILE}:\d+\) yielded a Frame; right would be record",
        ),
        (
            "yields closed",
            rf"\(at {FILE}:\d+\) yielded a Closed; right would be record",
        ),
        (
            "changes schema",
            "yielded a batch with columns other: string; right would be columns a: int",
        ),
        ("times", rf"operator 'times' raised KeyError at {FILE}:\d+: 'by'"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda node: node, count], ids=["bare", "counted"])
def test_what_it_raises_is_an_operator_error_with_its_name(
    custom_engine: Engine, name: str, message: str, wrap: Callable[[Node], Node]
) -> None:
    with pytest.raises(OperatorError, match=message) as raised:
        run_over(custom_engine, wrap(custom(name, leaf())), numbers(100_000))
    assert "\n" not in raised.value.message
    assert run_over(custom_engine, count(leaf()), numbers(2)).to_pydict() == {"n": [2]}


class Doubled:
    """An operator that is an object, with a line of its own."""

    def __call__(self, batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
        return map(self.double, batches)

    def double(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        raise ValueError("its own line")  # here: Doubled


def quoted(batches: Batches, config: Config) -> Iterable[pa.RecordBatch]:
    for _ in batches:
        yield json.loads("{")  # here: quoted


def logged(function: Callable[..., Iterable[pa.RecordBatch]]) -> Callable[..., Batches]:
    @functools.wraps(function)
    def wrapper(batches: Batches, config: Config) -> Batches:
        yield from function(batches, config)

    return wrapper


@pytest.mark.parametrize(
    ("function", "mark"),
    [
        (Doubled(), "Doubled"),
        (quoted, "quoted"),
        (logged(quoted), "quoted"),
        (functools.partial(quoted), "quoted"),
    ],
    ids=["object", "library", "wrapped", "partial"],
)
def test_R17_it_names_the_innermost_line_of_the_operators_own_file(
    function: Callable[..., Iterable[pa.RecordBatch]], mark: str
) -> None:
    """Not the library's that it called, nor that of what is wrapped around it."""
    lines = Path(__file__).read_text().splitlines()
    (line,) = (n for n, text in enumerate(lines, 1) if text.endswith(f"  # here: {mark}"))
    registry = OperatorRegistry()
    function.__module__ = __name__
    operator("own", registry=registry)(function)
    engine = Engine(registry=registry)
    with pytest.raises(OperatorError) as raised:
        run_over(engine, custom("own", leaf()), numbers(3))
    assert f" at {__file__}:{line}: " in raised.value.message
    engine.close()


def test_what_fails_below_is_not_its_fault(custom_engine: Engine) -> None:
    divide = BinaryOp(integer(1), BinaryOperator.DIVIDE, Column("a"))
    node = count(custom("times", Project(((divide, "a"),), leaf()), by="1"))
    with pytest.raises(DataError, match="Division by zero"):
        run_over(custom_engine, node, numbers(100_000))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda node: node,
        count,
        lambda node: custom("times", node, by="1"),
        lambda node: custom("swallows", node),
        lambda node: custom("says it anew", node),
    ],
    ids=["bare", "counted", "times", "swallows", "says it anew"],
)
@pytest.mark.parametrize("rows", [3, 1_000_000], ids=["at once", "late"])
def test_an_input_that_breaks_keeps_its_own_error(
    custom_engine: Engine, wrap: Callable[[Node], Node], rows: int
) -> None:
    def source() -> pa.RecordBatchReader:
        def batches() -> Batches:
            yield from numbers(rows).to_batches(max_chunksize=50_000)
            raise ShuffleInputError("map output 1/2/3/4 is lost")

        return pa.RecordBatchReader.from_batches(numbers(0).schema, batches())

    with pytest.raises(ShuffleInputError, match="map output 1/2/3/4 is lost"):
        run_fragment(custom_engine, FragmentSpec(wrap(leaf()), shuffles={0: source}))


def test_one_that_yields_nothing_gives_no_rows(custom_engine: Engine) -> None:
    table = run_over(custom_engine, custom("yields nothing", leaf()), numbers(3))
    assert (table.num_rows, table.schema) == (0, numbers(0).schema)


def test_a_declared_schema_holds_for_no_batches_too() -> None:
    registry = OperatorRegistry()
    schema = pa.schema([("score", pa.float64())])
    operator("scored", output_schema=schema, registry=registry)(yields_nothing)
    engine = Engine(registry=registry)
    assert run_over(engine, custom("scored", leaf()), numbers(3)).schema == schema
    operator("wrong", output_schema=schema, registry=registry)(times)
    with pytest.raises(OperatorError, match="right would be columns score"):
        run_over(engine, custom("wrong", leaf(), by="1"), numbers(3))
    engine.close()


def test_a_declared_schema_is_one_of_arrow() -> None:
    with pytest.raises(
        StartupError, match=r"'x': its output_schema is a int; right would be a pyarrow"
    ):
        operator("x", output_schema=7, registry=OperatorRegistry())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (5, "an operator's name is a int; right would be a text"),
        (times, "an operator's name is a function; right would be a text, as @ffq.operator"),
        ("", "an operator needs a name that is not empty"),
        ("a\ud800", r"operator 'a\\ud800': a lone surrogate is not text"),
        (
            "y" * 257,
            r"operator 'y{40}'\.\.\.: its name has 257 characters; at most 256 are allowed",
        ),
    ],
)
def test_a_name_that_no_worker_could_advertise_is_refused_where_it_is_given(
    name: Any, message: str
) -> None:
    registry = OperatorRegistry()
    with pytest.raises(StartupError, match=message):
        operator(name, registry=registry)(times)
    assert registry.names() == frozenset()
    operator("y" * 256, registry=registry)(times)


def test_what_cannot_be_called_is_no_operator() -> None:
    not_called: Any = [times]
    with pytest.raises(StartupError, match="operator 'x' is a list; right would be a function of"):
        operator("x", registry=OperatorRegistry())(not_called)


def test_an_operator_that_is_not_loaded(custom_engine: Engine) -> None:
    with pytest.raises(PlanningError, match="operator 'nope' is not loaded here; loaded: changes"):
        run_over(custom_engine, custom("nope", leaf()), numbers(3))


def test_uuids_that_an_operator_gives_out_are_text(custom_engine: Engine) -> None:
    is_text = BinaryOp(Column("u"), BinaryOperator.NOT_EQ, text("no UUID"))
    table = run_over(custom_engine, Filter(is_text, custom("uuids", leaf())), numbers(1))
    assert table.to_pydict() == {"u": [str(UUID(int=5))]}


# --- the registry ----------------------------------------------------------------------------


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


DEFINES = """
from ffq.engine import operator
@operator({name!r})
def work(batches, config):
    yield from batches
"""


def test_modules_are_loaded_and_their_operators_named(modules: Path) -> None:
    (modules / "ffq_test_ops_a.py").write_text(DEFINES.format(name="test.a"))
    (modules / "ffq_test_ops_b.py").write_text(DEFINES.format(name="test.b"))
    assert load_operators("ffq_test_ops_a, ffq_test_ops_b,") == {"test.a", "test.b"}
    assert load_operators("ffq_test_ops_a") == {"test.a"}
    assert load_operators("") == frozenset()


def test_a_package_names_the_operators_of_its_modules(modules: Path) -> None:
    package = modules / "ffq_test_shop"
    package.mkdir()
    (package / "__init__.py").write_text("from ffq_test_shop import clean")
    (package / "clean.py").write_text(DEFINES.format(name="test.shop"))
    (modules / "ffq_test_shopping.py").write_text(DEFINES.format(name="test.shopping"))
    load_operators("ffq_test_shopping")
    assert load_operators("ffq_test_shop") == {"test.shop"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "'ffq_test_bad' cannot be imported: ModuleNotFoundError: No module named"),
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def (", "cannot be imported: SyntaxError"),
        ("raise SystemExit(2)", "cannot be imported: SystemExit: 2"),
        ("x = 1", "registers no operator"),
        (DEFINES.format(name=""), "needs a name that is not empty"),
        (
            DEFINES.format(name="test.twice")
            + DEFINES.format(name="test.twice").replace("work", "w"),
            "'test.twice' is defined twice",
        ),
    ],
)
def test_a_module_that_cannot_be_used(modules: Path, source: str | None, message: str) -> None:
    if source is not None:
        (modules / "ffq_test_bad.py").write_text(source)
    with pytest.raises(StartupError, match=message):
        load_operators("ffq_test_bad")
