"""The 99 queries of TPC-DS over several tasks and stages.

The default profile leaves them out (`conftest.py`): they take minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import duckdb
import pytest

from ffq.sql.planning import PlanningInstance
from tests.sql import tpcds
from tests.sql.compared import Compared, estimates, write_tables

_LEAST_SAMPLE: Final = 100
_SHARE: Final = 30
"""One row of so many is in a planning table: over empty ones some join orders are bad."""


@pytest.fixture(scope="module")
def over_tpcds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("tpcds")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for name, (file,) in tpcds.tables().items():
            con.execute(f"CREATE TABLE {name} AS FROM '{file}'")
        files = write_tables(con, root)
        compared = Compared.over(con, files, root / "shuffles")
        compared.instance.close()
        known = compared.estimates = estimates(files)
        samples = {
            name: con.sql(
                f"FROM {name} LIMIT {max(_LEAST_SAMPLE, of.rows // _SHARE)}"
            ).to_arrow_table()
            for name, of in known.items()
        }
        columns = {
            name: [
                (column, kind) for column, kind, *_ in con.execute(f"DESCRIBE {name}").fetchall()
            ]
            for name in files
        }
        compared.instance = PlanningInstance(columns, samples=samples)
        yield compared
        compared.close()


@pytest.fixture(scope="module")
def texts() -> dict[int, str]:
    return tpcds.queries()


@pytest.mark.parametrize("number", range(1, 100))
def test_it_gives_what_the_engine_gives(
    over_tpcds: Compared, texts: dict[int, str], number: int
) -> None:
    over_tpcds.check(texts[number].rstrip().rstrip(";"))
