"""Groups and joins by keys that are no single words: they travel by hash and equal as in DuckDB."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest

from ffq import plan as p
from ffq.engine import Engine
from tests.engine.test_values import Tables

KEYS = {
    "intervals": [
        "INTERVAL '1 month'",
        "INTERVAL '30 days'",
        "INTERVAL '720 hours'",
        "INTERVAL '1 day'",
        "NULL::INTERVAL",
        "NULL",
    ],
    "lists": ["[1, NULL]", "[1, NULL]", "[]::INT[]", "NULL::INT[]", "[1]", "NULL"],
    "lists of floats": ["[0.0::DOUBLE]", "[-0.0::DOUBLE]", "['nan'::DOUBLE]", "[-'nan'::DOUBLE]"],
    "arrays": ["[1, 2]::INT[2]", "[1, 2]::INT[2]", "[2, 1]::INT[2]", "NULL", "[NULL, 1]::INT[2]"],
    "structs": [
        "{'a': 1, 'b': NULL::TEXT}",
        "{'a': 1, 'b': NULL}",
        "{'a': 2, 'b': 'x'}",
        "NULL",
        "{'a': NULL, 'b': NULL}",
        "{'a': NULL, 'b': NULL}",
    ],
    "maps": ["MAP {'a': 1, 'b': 2}", "MAP {'b': 2, 'a': 1}", "MAP {}", "NULL", "MAP {'a': NULL}"],
    "lists of structs of lists": ["[{'a': [1, 2]}]", "[{'a': [1, 2]}]", "[{'a': NULL}]", "[NULL]"],
    "lists of times with a zone": ["['10:00:00+01'::TIMETZ]", "['09:00:00+00'::TIMETZ]", "[]"],
}


@pytest.mark.parametrize("kind", KEYS)
def test_any_key_groups_and_joins_as_in_duckdb(engine: Engine, tmp_path: Path, kind: str) -> None:
    rows = ", ".join(f"({key}, {at})" for at, key in enumerate(KEYS[kind] * 2))
    tables = Tables(engine, tmp_path)
    parts = (f"x, i FROM (VALUES {rows}) AS t(x, i) WHERE i % 3 = {part}" for part in range(3))
    files = f"read_parquet({[str(path) for path in tables.write_by_duckdb('t', *parts)]})"
    scan = p.scan("t", ["x", "i"])
    with duckdb.connect() as duck:
        sizes = duck.sql(f"SELECT count(*) FROM {files} GROUP BY x").fetchall()
        same = duck.sql(
            f"SELECT a.i, b.i FROM {files} AS a JOIN {files} AS b ON a.x = b.x"
        ).fetchall()
    groups = scan.aggregate(["x"], [p.count().alias("n")], partitions=5)
    assert Counter(tables.column(groups, "n")) == Counter(size for (size,) in sizes)
    other = scan.project(p.col("x").alias("y"), p.col("i").alias("j"))
    for strategy in ("shuffle", "broadcast_right"):
        joined = scan.join(other, [("x", "y")], strategy=strategy, partitions=5)
        found = tables._runner.run(joined.node)
        pairs = zip(found["i"].to_pylist(), found["j"].to_pylist(), strict=True)
        assert Counter(pairs) == Counter(same)
