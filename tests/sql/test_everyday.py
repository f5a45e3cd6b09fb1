"""Everyday SQL, as users of the engine write it, gives what the engine gives.

The queries stand in `everyday/`, by theme. The default profile runs every few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb
import pytest

from tests.profiles import CHOSEN
from tests.sql.compared import Compared, write_tables

_FOLDER: Final = Path(__file__).with_name("everyday")


def _queries(theme: str) -> list[str]:
    text = (_FOLDER / f"{theme}.sql").read_text()
    return [query.strip() for query in text.split(";\n") if query.strip()]


_THEMES: Final = sorted(path.stem for path in _FOLDER.glob("*.sql") if path.stem != "tables")
_ALL: Final = [
    pytest.param(query, id=f"{theme}-{number}")
    for theme in _THEMES
    for number, query in enumerate(_queries(theme), 1)
]


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("everyday")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for statement in _queries("tables"):
            con.execute(statement)
        files = write_tables(con, root)
        compared = Compared.over(con, files, root / "shuffles")
        yield compared
        compared.close()


@pytest.mark.parametrize("sql", _ALL[:: CHOSEN.every_query])
def test_it_gives_what_the_engine_gives(everyday: Compared, sql: str) -> None:
    everyday.check(sql)


@pytest.mark.parametrize("sql", _ALL[:: CHOSEN.every_query])
def test_so_it_does_in_one_task(everyday: Compared, sql: str) -> None:
    everyday.together = True
    try:
        everyday.check(sql)
    finally:
        everyday.together = False


@pytest.mark.parametrize(
    "sql",
    [
        "select name from (select name, id from emp order by id desc) limit (select 3)",
        "select first_value(id) over (partition by dept) f from (from emp order by salary, id)",
        "select array_agg(name) as names from (select name, id from emp order by id)",
        "select dept || name as n from (select * from emp order by salary desc, id) limit 5",
    ],
)
def test_what_an_order_goes_by_is_not_given_out_with_it(everyday: Compared, sql: str) -> None:
    """Nor in its stead: the engine leaves such columns out above, and counts on it."""
    everyday.check(sql)
