"""Rows that are in the plan: DESCRIBE, SHOW and VALUES give them out as they stand."""

from __future__ import annotations

from ffq.engine import Engine, FragmentSpec
from ffq.engine.engine import EngineSettings
from ffq.plan.bound import Constant, SqlType
from ffq.plan.model import Values
from tests.engine.runner import run_fragment

BIGINT, TEXT = SqlType("BIGINT"), SqlType("VARCHAR")
TIMES = 20
"""In another order, threads would give them out in one that changes."""


def _read(engine: Engine, node: Values) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = run_fragment(engine, FragmentSpec(node)).to_pylist()
    return rows


def test_listed_rows_come_in_their_order_whatever_the_threads() -> None:
    rows = tuple(
        (Constant(BIGINT, at), Constant(TEXT, None if at % 3 else str(at))) for at in range(300)
    )
    engine = Engine(EngineSettings(threads=4))
    for _ in range(TIMES):
        assert _read(engine, Values((BIGINT, TEXT), rows)) == [
            {"c0": at, "c1": None if at % 3 else str(at)} for at in range(300)
        ]
    engine.close()


def test_rows_of_no_columns_and_no_rows_are_listed_too() -> None:
    engine = Engine(EngineSettings(threads=1))
    assert len(_read(engine, Values((), ((), ())))) == 2
    assert _read(engine, Values((BIGINT,), ())) == []
    engine.close()
