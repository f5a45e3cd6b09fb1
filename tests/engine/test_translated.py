"""Fragments that are translated once for all their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.engine.operators import OperatorRegistry, operator
from ffq.engine.sql import Columns
from ffq.engine.translate import Translator
from ffq.errors import PlanningError
from ffq.plan.bound import Call, Constant, Conversion, Form, Match, Place, Special, SqlType
from ffq.plan.model import Custom, Filter, Join, Node, ParquetScan, Project
from ffq.plan.terms import Bound
from tests.engine.runner import leaf, run_fragment, whole_files

NEXT = Bound(Call("+", (Place(0), Constant(SqlType("INTEGER"), 1)), SqlType("BIGINT")))
PLAN = Project(((NEXT, "next"),), leaf())
NUMBERS = pa.table({"a": pa.array([1, 2], pa.int32())})


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(EngineSettings(threads=1))
    yield made
    made.close()


@pytest.fixture
def translated(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The fragments that were translated, in order."""
    seen: list[Node] = []
    query = Translator.query

    def seeing(self: Translator, fragment: Node) -> object:
        seen.append(fragment)
        return query(self, fragment)

    monkeypatch.setattr(Translator, "query", seeing)
    return seen


def rows(engine: Engine, plan: Node, table: pa.Table = NUMBERS) -> list[object]:
    found = run_fragment(engine, FragmentSpec(plan, shuffles={0: table.to_reader}))
    return list(found.column(0).to_pylist())


def test_a_fragment_that_reads_alike_is_translated_once(
    engine: Engine, translated: list[Node]
) -> None:
    for table in (NUMBERS, NUMBERS, pa.table({"a": pa.array([5], pa.int32())})):
        assert rows(engine, PLAN, table) == [each + 1 for each in table["a"].to_pylist()]
    assert translated == [PLAN]


@pytest.mark.parametrize(("kind", "steps"), [(pa.int64(), 1), (pa.int32(), 2)])
def test_what_gives_out_the_columns_that_there_are_is_no_step(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: pa.DataType, steps: int
) -> None:
    """Nor is a cast of a file's column to the type that it has; one to another type is."""
    texts: list[str] = []
    query = Translator.query

    def hearing(self: Translator, fragment: Node) -> tuple[str, Columns]:
        text, columns = query(self, fragment)
        texts.append(text)
        return text, columns

    monkeypatch.setattr(Translator, "query", hearing)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"k": pa.array([1, 2], kind), "v": pa.array(["a", "b"])}), path)
    cast = Bound(Conversion(Place(0), SqlType("BIGINT")))
    scan = ParquetScan("t", None, ("k", "v"), ())
    typed = Project(((cast, "k"), (Bound(Place(1)), "v")), scan)
    renamed = Project(((Bound(Place(0)), "a"), (Bound(Place(1)), "b")), typed)
    found = run_fragment(engine, FragmentSpec(renamed, {0: whole_files([path])}))
    assert found == pa.table({"a": [1, 2], "b": ["a", "b"]})
    (text,) = texts
    assert text.count(" AS NOT MATERIALIZED ") == steps
    turned = Project(((Bound(Place(1)), "b"), (Bound(Place(0)), "a")), typed)
    found = run_fragment(engine, FragmentSpec(turned, {0: whole_files([path])}))
    assert found == pa.table({"b": ["a", "b"], "a": [1, 2]})


def test_what_reads_other_types_is_translated_for_them(
    engine: Engine, translated: list[Node]
) -> None:
    for _ in range(2):
        assert rows(engine, PLAN) == [2, 3]
        assert rows(engine, PLAN, pa.table({"a": [1.5]})) == [2.5]
    assert len(translated) == 2


def test_another_fragment_is_another_one_however_alike(
    engine: Engine, translated: list[Node]
) -> None:
    """It is found by what it is, not by what it is worth: a comparison would walk the plan."""
    again = attrs.evolve(PLAN)
    assert again == PLAN
    for plan in (PLAN, again, PLAN, again):
        assert rows(engine, plan) == [2, 3]
    assert len(translated) == 2


def test_scans_and_reads_are_asked_for_in_the_same_order_again(
    engine: Engine, translated: list[Node]
) -> None:
    plan = Join(leaf(), leaf(), Match.INNER, None, ())
    one, other = pa.table({"a": [1]}), pa.table({"a": [2]})
    for left, right in ((one, other), (other, one)):
        spec = FragmentSpec(plan, shuffles={0: left.to_reader, 1: right.to_reader})
        found = [each.to_pylist() for each in run_fragment(engine, spec).columns]
        assert found == [left["a"].to_pylist(), right["a"].to_pylist()]
    assert len(translated) == 1


def test_what_the_engine_refuses_is_told_in_the_same_words_again(engine: Engine) -> None:
    year = Call("year", (Place(1),), SqlType("BIGINT"))
    plan = Filter(Bound(Special(Form.IS_NULL, (year,))), leaf())
    said = set()
    for _ in range(3):
        with pytest.raises(PlanningError) as info:
            rows(engine, plan, pa.table({"a": [1], "d": [[1]]}))
        said.add(info.value.message)
    assert len(said) == 1
    assert said.pop().startswith("Filter")


def test_what_an_operator_gives_out_is_read_by_another_name_each_time(
    translated: list[Node],
) -> None:
    registry = OperatorRegistry()
    operator("same", registry=registry)(lambda batches, config: batches)
    plan = Custom("same", (), PLAN)
    engine = Engine(EngineSettings(threads=1), registry=registry)
    for table in (NUMBERS, pa.table({"a": pa.array([5], pa.int32())})):
        assert rows(engine, plan, table) == [each + 1 for each in table["a"].to_pylist()]
    engine.close()
    assert translated == [plan, PLAN, plan]
