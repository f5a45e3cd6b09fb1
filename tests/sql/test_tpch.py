"""The 22 queries of TPC-H, as TPC writes them, over several tasks and stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.profiles import variants
from tests.sql.compared import Compared, reading
from tests.sql.tpch import QUERIES


@pytest.fixture(scope="module")
def over_tpch(
    tmp_path_factory: pytest.TempPathFactory, tpch: dict[str, list[Path]]
) -> Iterator[Compared]:
    with duckdb.connect() as con:
        for name, files in tpch.items():
            con.execute(f"CREATE VIEW {name} AS {reading(files)}")
        compared = Compared.over(con, tpch, tmp_path_factory.mktemp("shuffles"), tasks=2)
        compared.partitions = 2
        yield compared
        compared.close()


@pytest.mark.parametrize("name", variants(list(QUERIES)))
def test_it_gives_what_the_engine_gives(over_tpch: Compared, name: str) -> None:
    answer = over_tpch.check(QUERIES[name])
    assert answer.num_rows or name in _EMPTY


@pytest.mark.parametrize("name", variants(["q5", "q8", "q9", "q12", "q13", "q16", "q21"]))
def test_so_it_does_where_joins_and_groups_are_done_in_place(
    over_tpch: Compared, name: str
) -> None:
    """As when all right sides, and all groups, turn out few; of joins, one within the other."""
    over_tpch.runner.inlines = True
    try:
        over_tpch.check(QUERIES[name])
    finally:
        over_tpch.runner.inlines = False


@pytest.mark.parametrize("name", variants(list(QUERIES)))
def test_so_it_does_in_one_task(over_tpch: Compared, name: str) -> None:
    over_tpch.together = True
    try:
        over_tpch.check(QUERIES[name])
    finally:
        over_tpch.together = False


_EMPTY = {"q2", "q17", "q18", "q20", "q21"}
"""At this scale some find nothing."""
