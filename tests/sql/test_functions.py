"""The functions that plans may call: what the lists hold, and what each function gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb
import pytest

from ffq.engine import Engine
from ffq.engine.bound import BoundWriter
from ffq.engine.scalars import AGGREGATES, INFIX, PREFIX, RUN, WINDOWS, is_run
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.bound import BoundAggregate, BoundWindow, Call, Place, SqlType
from ffq.plan.volatile import VOLATILE
from ffq.sql.planning import PlanningInstance
from tests.engine.runner import LocalRunner
from tests.profiles import CHOSEN
from tests.sql.compared import Compared

_FORBIDDEN: Final = re.compile(
    r".*(file|read_|getenv|setting|database|schema|catalog|currval|nextval|setval|random|uuid(v\d)?$"
    r"|seed|sleep|log_message|write_log|connection|transaction|txid|version$|query|variable|now$"
    r"|today|current_|getvariable|json_serialize|json_execute|reservoir|to_aggregate_state|finalize"
    r"|combine|stats|vector_type|in_search_path|path_exists|glob$).*"
)
"""What reads files, settings, the catalog or the session, or gives something else each time."""
_HARMLESS: Final = frozenset({"parse_filename", "uuid_extract_version"})
"""They take apart what they are given."""
_VARY: Final = re.compile(
    r"now|current|transaction|txid|random|uuid(v\d)?\(|setseed|sleep|stats|log\("
)
_NOT_PLANNED: Final = re.compile(r"::BIT|union_value")
"""Constants of types that plans do not hold: refused by name."""
_NO_DATE_OF_PYTHON: Final = "make_timestamp_ms(1732117793000000)"


def _named(kind: str) -> set[str]:
    with duckdb.connect() as con:
        sql = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = ?"
        return {name for (name,) in con.execute(sql, [kind]).fetchall()}


def test_the_engine_has_every_function_that_is_listed() -> None:
    assert _named("scalar") >= RUN | VOLATILE
    signs = INFIX | PREFIX
    written = {"=", "<>", "<", ">", "<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"}
    # Operators that the engine has as syntax, and as functions under other names.
    assert signs - _named("scalar") <= written | {"->"}
    assert _named("aggregate") >= AGGREGATES
    assert _named("window") | {"rank_dense"} >= WINDOWS - AGGREGATES


def test_no_function_is_listed_that_a_plan_may_not_call() -> None:
    found = {name for name in RUN | AGGREGATES | WINDOWS if _FORBIDDEN.fullmatch(name)}
    assert found == _HARMLESS


@pytest.mark.parametrize("name", ["getenv", "read_text", "setseed", "nextval", "current_setting"])
def test_a_worker_refuses_what_is_not_listed(name: str) -> None:
    assert not is_run(name, 1)
    with pytest.raises(UnsupportedPlan, match=name):
        BoundWriter(0, "Project").sql(Call(name, (), SqlType("VARCHAR")))


def test_a_worker_refuses_more_names_than_arguments() -> None:
    call = Call("struct_insert", (Place(0),), SqlType("VARCHAR"), ("a", "b"))
    with pytest.raises(PlanningError, match="struct_insert of 1 arguments and more names"):
        BoundWriter(1, "Project").sql(call)


def test_a_worker_refuses_aggregates_that_are_not_listed() -> None:
    one = BoundAggregate("reservoir_quantile", (), SqlType("DOUBLE"))
    writer = BoundWriter(0, "Aggregate")
    with pytest.raises(UnsupportedPlan, match="reservoir_quantile"):
        writer.aggregate(one)
    with pytest.raises(UnsupportedPlan, match="reservoir_quantile"):
        writer.window(BoundWindow(one, (), (), None))


def _examples() -> list[str]:
    """Of the engine's own documentation, those that run, and give the same each time."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        rows = con.execute(
            "SELECT DISTINCT unnest(examples) FROM duckdb_functions() "
            "WHERE function_type IN ('scalar', 'aggregate', 'macro') ORDER BY ALL"
        ).fetchall()
        found = []
        for (written,) in rows[:: CHOSEN.every_query]:
            example = written.rstrip("; ")
            if _VARY.search(example) or _NOT_PLANNED.search(example):
                continue
            try:
                con.execute(f"SELECT {example}").fetchall()
            except (duckdb.Error, OverflowError):
                continue
            found.append(example)
        return [each for each in found if each != _NO_DATE_OF_PYTHON]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        root: Path = tmp_path_factory.mktemp("functions")
        compared = Compared(con, PlanningInstance({}), LocalRunner(Engine(), root, {}, 2))
        yield compared
        compared.close()


def test_the_examples_of_the_engines_documentation(bare: Compared) -> None:
    examples = _examples()
    assert len(examples) * CHOSEN.every_query > 350
    for example in examples:
        bare.check(f"SELECT {example} AS x")
