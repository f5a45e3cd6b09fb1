"""Rows of a large side that no row of a small one meets are left out before they are exchanged: of
what comes out nothing changes, with nulls among the keys, empty sides and rows that are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ffq.engine import Engine
from ffq.plan import cut
from ffq.plan.model import Join
from ffq.plan.stages import Parallelism
from ffq.plan.walk import walk_stage
from ffq.sql.exchanges import TableEstimate
from ffq.sql.planning import PlanningInstance
from tests.engine.runner import LocalRunner
from tests.sql.compared import Compared, plan_of

# Of `few` a condition leaves some, and nothing of what `none` and `nulls` hold is in `many`.
_TABLES = {
    "few": "select nullif(i % 7, 3) as k, i % 2 as j, i as v from range(40) r(i)",
    "many": "select nullif(i % 60, 5) as k, i % 3 as j, i as w from range(600) r(i)",
    "none": "select i as k, i as j, i as v from range(0) r(i)",
    "nulls": "select null::bigint as k, 1::bigint as j, i as v from range(3) r(i)",
}
_SIZES = {
    "few": TableEstimate(10**4, 10**6),
    "none": TableEstimate(10**4, 10**6),
    "nulls": TableEstimate(10**4, 10**6),
    "many": TableEstimate(10**7, 10**9),
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("reduced")
    con = duckdb.connect()
    files: dict[str, list[Path]] = {}
    columns = {}
    for name, sql in _TABLES.items():
        con.execute(f"CREATE TABLE rows AS {sql}")
        files[name] = [root / f"{name}-{part}.parquet" for part in range(2)]
        for part, path in enumerate(files[name]):
            rows = f"SELECT * FROM rows WHERE rowid % 2 = {part}"
            con.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")
        con.execute("DROP TABLE rows")
        listed = ", ".join(f"'{path}'" for path in files[name])
        con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")
        described = con.execute(f"DESCRIBE {name}").fetchall()
        columns[name] = [(column, kind) for column, kind, *_ in described]
    found = Compared(
        con,
        PlanningInstance(columns),
        LocalRunner(Engine(), root / "shuffles", files, scan_tasks=2, inlines=True),
        estimates=_SIZES,
    )
    yield found
    found.close()


_REDUCED = {
    "semi": "select k, v from {} t where v < 30 and exists (from many m where m.k = t.k)",
    "semi of two keys": "select v from {} t where v < 30 and exists "
    "(from many m where m.k = t.k and m.j = t.j)",
    "semi with a condition": "select v from {} t where v < 30 and exists "
    "(from many m where m.k = t.k and m.w <> t.v)",
    "in": "select k, v from {} t where v < 30 and k in (select k from many)",
    "anti": "select k, v from {} t anti join many m on m.k = t.k where v < 30",
    "anti with a condition": "select k, v from {} t anti join many m on m.k = t.k and m.w > t.v "
    "where v < 30",
    "anti where nulls are alike": "select k, v from {} t anti join many m "
    "on m.k is not distinct from t.k and m.w <> t.v where v < 30",
    "left": "select t.k, v, w from (from {} where v < 30) t left join many m on m.k = t.k",
    "left with a condition": "select t.k, v, w from (from {} where v < 30) t "
    "left join many m on m.k = t.k and m.w < t.v",
    "nulls are alike": "select t.k, v, w from (from {} where v < 30) t "
    "left join many m on m.k is not distinct from t.k",
    "nulls are alike in one of two keys": "select t.k, v, w from (from {} where v < 30) t "
    "left join many m on m.k is not distinct from t.k and m.j = t.j",
    "right": "select t.k, v, w from many m right join (from {} where v < 30) t on m.k = t.k",
    "of a key that is computed": "select t.k, v, w from (from {} where v < 30) t "
    "left join many m on m.k + 1 = t.k * 2",
    "one after the other": "select v from {} t semi join many m on m.k = t.k "
    "anti join many n on n.k = t.k and n.j > t.j where v < 30",
}
_OTHERS = {
    "not exists": "select k, v from {} t where v < 30 and not exists (from many m where m.k = t.k)",
    "not exists with a condition": "select k, v from {} t where v < 30 and not exists "
    "(from many m where m.k = t.k and m.w > t.v)",
    "not in": "select k, v from {} t where v < 30 and k not in (select k from many)",
    "not in of some": "select k, v from {} t where v < 30 and k not in "
    "(select k from many where k is not null and k > 2)",
    "inner": "select t.k, v, w from {} t join many m on m.k = t.k where v < 30",
    "full": "select t.k, v, w from (from {} where v < 30) t full join many m on m.k = t.k",
    "right of a few": "select t.k, v, w from (from {} where v < 30) t right join many m "
    "on m.k = t.k",
}


@pytest.mark.parametrize("table", ["few", "none", "nulls"])
@pytest.mark.parametrize("name", list(_REDUCED | _OTHERS))
def test_answers_are_the_engines(compared: Compared, name: str, table: str) -> None:
    sql = (_REDUCED | _OTHERS)[name].format(table)
    planned = plan_of(compared.instance, sql)
    reductions = [join for join in cut(compared.plan(planned)).joins if join.reduction]
    assert bool(reductions) == (name in _REDUCED)
    compared.check(sql)


def test_a_right_join_without_an_equality_is_done_where_the_right_side_is_read(
    compared: Compared,
) -> None:
    """As a left join is where its left side is."""
    sql = "select t.k, v, w from few t right join many m on m.k < t.k and m.w > t.v"
    stages = cut(compared.plan(plan_of(compared.instance, sql))).stages
    (stage,) = (
        each for each in stages if any(isinstance(n, Join) for n in walk_stage(each.fragment))
    )
    assert stage.parallelism is Parallelism.SCAN
    assert [scan.table for scan in stage.scans if scan.split] == ["many"]
    compared.check(sql)
