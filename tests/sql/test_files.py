"""Files that a query reads by functions in FROM, and types of their columns that Arrow has not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ffq.errors import InvalidQuery
from ffq.plan.codec import dump_plan
from tests.profiles import CHOSEN
from tests.sql.world import World

_IDS = "md5(i::VARCHAR)::UUID AS u, ('{\"a\": ' || i || ', \"b\": [1, 2]}')::JSON AS j"
_FILES = {
    "x.csv": "SELECT i AS k, 's' || i AS s, i / 2 AS v FROM range(5) r(i)",
    "h.csv": "SELECT i AS k, 's' || i AS s FROM range(5) r(i)",
    "x.json": "SELECT i AS k, {'a': i} AS o FROM range(5) r(i)",
    "a.json": "SELECT i AS k, {'a': i} AS o FROM range(5) r(i)",
    "a.parquet": f"SELECT i AS k, {_IDS}, [uuid()] AS l, "
    "'08:00:00+00'::TIMETZ AS z FROM range(2100) r(i)",
    "b.parquet": "SELECT i AS k, i * 2.5 AS w, md5(i::VARCHAR) AS u FROM range(5) r(i)",
    "c.parquet": "SELECT i AS k, md5((i + 3)::VARCHAR)::UUID AS u FROM range(5) r(i)",
}
_WRITTEN = {"h.csv": "HEADER false", "a.json": "ARRAY true", "a.parquet": "ROW_GROUP_SIZE 2048"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    with duckdb.connect() as con:
        for name, query in _FILES.items():
            options = f" ({_WRITTEN[name]})" if name in _WRITTEN else ""
            con.execute(f"COPY ({query}) TO '{made / name}'{options}")
        for kind in ("parquet", "csv"):
            sides = "SELECT i AS k, i % 2 AS p FROM range(5) r(i)"
            con.execute(f"COPY ({sides}) TO '{made / kind}' (FORMAT {kind}, PARTITION_BY (p))")
        con.execute(f"COPY ({_FILES['b.parquet']}) TO '{made / 't.parquet'}'")
    (made / "wide.json").write_text('{\n "k": 1,\n "o": {"a": 2}\n}\n{\n "k": 3, "o": null }\n')
    return made


@pytest.mark.parametrize(
    "source",
    """
    read_csv('x.csv', header = true)
    read_csv('x.csv', columns = {'k': 'INTEGER', 's': 'VARCHAR', 'v': 'DOUBLE'})
    read_csv('x.csv', auto_detect = false, header = 1, columns = {k: 'INT', s: 'TEXT', v: 'FLOAT'})
    read_csv('h.csv', header = false, columns = {'k': 'INTEGER', 's': 'VARCHAR'})
    read_csv('h.csv', header = false, names = ['k', 's'])
    read_csv('h.csv', header = false, column_names = ['k'])
    read_csv('x.csv', all_varchar = true, parallel = false)
    read_csv('x.csv', filename = true)
    read_csv('csv/*/*.csv', hive_partitioning = true)
    read_csv('csv/*/*.csv', hive_partitioning = false, filename = true)
    read_parquet('parquet/**/*.parquet', hive_partitioning = 1, filename = true)
    read_parquet('parquet/*/*.parquet', hive_partitioning = false)
    read_parquet(['c.parquet', 'a.parquet'], union_by_name = true, filename = true)
    read_json('x.json')
    read_json('x.json', format = 'newline_delimited', records = true)
    read_ndjson('x.json')
    read_json('a.json')
    read_json('a.json', format = 'array', columns = {'k': 'INTEGER', 'o': 'JSON'})
    read_json('wide.json')
    read_json('wide.json', format = 'unstructured')
    'a.parquet'
    """.strip().splitlines()[:: CHOSEN.every_variant],
)
def test_functions_give_the_columns_of_the_engine(world: World, source: str) -> None:
    want = world.their_table(f"DESCRIBE FROM {source}").to_pylist()
    prepared = world.prepare(f"FROM {source}", tables={})
    assert list(prepared.columns) == [(one["column_name"], one["column_type"]) for one in want]


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        (
            "SELECT count(*), max(k) + $more FROM read_parquet($path)",
            {"more": 1, "path": "c.parquet"},
        ),
        ("SELECT ? AS a, count(*) FROM read_parquet(?) WHERE k > ?", ["x", "c.parquet", 2]),
        ("SELECT k FROM read_parquet(?) WHERE k > ?", ["c.parquet", 2]),
        ("SELECT count(*) FROM read_parquet(?)", ["c.parquet"]),
        ("SELECT count(*) FROM read_parquet([$1, $2])", ["c.parquet", "c.parquet"]),
        ("SELECT k, $2, count(*) FROM read_parquet($1) GROUP BY ALL", ["c.parquet", 5]),
    ],
)
def test_parameters_may_say_which_files(
    world: World, folder: Path, sql: str, parameters: Any
) -> None:
    def located(value: Any) -> Any:
        return str(folder / value) if str(value).endswith(".parquet") else value

    if isinstance(parameters, dict):
        given: Any = {name: located(value) for name, value in parameters.items()}
    else:
        given = list(map(located, parameters))
    if "[$1" in sql:  # the engine reads a file as often as it is named
        given[1] = str(folder / "t.parquet")
        sql = sql.replace("])", "], union_by_name = true)")
    assert world.run(sql, given, tables={}) == world.expected(sql, given)


def test_a_parameter_that_is_no_path_is_named(world: World) -> None:
    with pytest.raises(InvalidQuery, match=r"^line 1, column 19: the parameter \$1 is 5; right"):
        world.prepare("FROM read_parquet(?)", [5], tables={})
    with pytest.raises(InvalidQuery, match="delim is a parameter, and not a constant"):
        world.prepare("FROM read_csv('x.csv', delim = ?)", [";"], tables={})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("read_csv('x.csv', ignore_errors = true)", "a csv table has no option 'ignore_errors'"),
        ("read_csv('x.csv', sep = ',', delim = ';')", "read_csv: delim is given twice"),
        ("read_csv('x.csv', auto_detect = false)", "auto_detect is false; right beside it"),
        ("read_parquet('a.parquet', wat = 3)", "a parquet table has no option 'wat'"),
        ("read_json('x.json', format = 'xml')", "format is 'xml'; right would be auto, nd,"),
        ("read_json('x.json', records = false)", "records is false; right would be rows"),
        ("read_json('x.json', columns = {'k': 'BLOB'})", "column 'k' cannot be 'BLOB'"),
    ],
)
def test_other_options_are_refused_where_they_stand(
    world: World, source: str, message: str
) -> None:
    with pytest.raises(InvalidQuery, match=f"^line 2, column 6: .*{re.escape(message)}"):
        world.prepare(f"SELECT 1\nFROM {source}", tables={})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT typeof(u), typeof(j), typeof(l), typeof(z), count(*) FROM a GROUP BY ALL",
        "SELECT k, u, j, z FROM a WHERE u = 'c4ca4238-a0b9-2382-0dcc-509a6f75849b'",
        "SELECT k FROM a WHERE u IN (md5('3')::UUID, md5('2099')::UUID) ORDER BY u",
        "SELECT k FROM a WHERE u > 'ff000000-0000-0000-0000-000000000000' AND k < 1000",
        "SELECT min(u), max(u), count(DISTINCT u), min(j->>'a') FROM a",
        "SELECT j->'a', j->>'$.b[1]', json_extract(j, '$.a')::INT + 1 FROM a WHERE k < 3",
        "SELECT json_type(j), json_array_length(j->'b'), j.a FROM a WHERE j->>'a' = '7'",
        "SELECT a.k, c.k FROM a JOIN c USING (u) WHERE c.k > 2",
        "SELECT a.k, b.k FROM a JOIN b ON a.u = b.u::UUID",
        "SELECT u, count(*) FROM (SELECT u FROM a UNION ALL SELECT u FROM c) GROUP BY u "
        "ORDER BY 2 DESC, 1 LIMIT 5",
        "SELECT row_number() OVER (ORDER BY u) AS n, k FROM a ORDER BY u LIMIT 3",
    ][:: CHOSEN.every_variant],
)
def test_columns_have_the_types_of_the_engine(world: World, folder: Path, sql: str) -> None:
    names = {name: str(folder / f"{name}.parquet") for name in ("a", "b", "c")}
    for name, path in names.items():
        sql = re.sub(rf"(FROM|JOIN) {name}\b", rf"\1 '{path}' AS {name}", sql)
    got = world.run_plan(dump_plan(world.prepare(sql, tables={}).plan))
    want = world.their_table(sql)
    assert got.schema.remove_metadata() == want.schema.remove_metadata()
    assert sorted(got.to_pylist(), key=repr) == sorted(want.to_pylist(), key=repr)
