"""Plans as the tested release of the engine writes them: one query for each kind of node.

They stand in `golden/`. After a change of the release, look at what changed, and write them anew:

    python -m tests.sql.golden_plans
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ffq.sql.planning import Planned, PlanningInstance
from tests.sql.compared import plan_of

FOLDER: Final = Path(__file__).with_name("golden")
TABLES: Final = {
    "t": [("a", "INTEGER"), ("s", "VARCHAR"), ("l", "INTEGER[]"), ("d", "DATE")],
    "u": [("a", "INTEGER"), ("x", "DOUBLE"), ("r", "STRUCT(p INTEGER, q VARCHAR)")],
}
QUERIES: Final = {
    "filters": "select a from t where a > 1 and s is not null and a in (1, 2, 3, 5) "
    "and s like 'x%'",
    "expressions": "select case when a = 1 then s end, try_cast(s as integer), a between 1 and x, "
    "not (a = 1 or x > 2), coalesce(a, 1), nullif(a, 2), l[1], r.p from t join u using (a)",
    "constants": "select 1::tinyint, 2.5, date '2020-01-01', interval 1 month, [1, 2], {'k': 'v'}, "
    "map {'a': 1}, null, 'nan'::double, 1e40::hugeint::varchar, true",
    "lambda": "select list_transform(l, lambda e: e + a) from t",
    "aggregate": "select s, sum(a) filter (where a > 0), string_agg(s, '|' order by a), "
    "quantile_cont(a, 0.5), count(distinct a) from t group by s",
    "grouping_sets": "select s, a, grouping(s) from t group by rollup (s, a)",
    "distinct": "select distinct s from t",
    "distinct_on": "select distinct on (s) s, a from t order by s, a",
    "joins": "select t.a from t left join u on t.a = u.a and t.a > u.x",
    "any_join": "select t.a from t left join u on t.a > u.x or t.s is null",
    "mark_join": "select a in (select a from u) from t",
    "asof_join": "select t.a, u.x from t asof join u on t.a >= u.a",
    "positional_join": "select * from (values (1)) v positional join (values (2)) w",
    "cross_product": "select t.a, u.a from t, u",
    "union": "select a from t union all select a from u",
    "except": "select a from t except select a from u",
    "intersect": "select a from t intersect all select a from u",
    "unnest": "select unnest(l) from t",
    "lateral_range": "select t.a, g from t, range(t.a) r(g)",
    "series": "select * from range(3)",
    "ordinality": "select * from unnest([1, 2]) with ordinality",
    "dummy": "select 1",
    "empty": "select a from t where false",
    "values": "select * from (values (1, 'a'), (2, null)) v",
    "values_of_expressions": "select x from (values (random()), (2)) v(x)",
    "correlated": "select a, (select max(u.x) from u where u.a = t.a) from t",
    "cte": "with c as materialized (select a, count(*) n from t group by a) "
    "select * from c x join c y using (a)",
    "recursive": "with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) "
    "from r",
    "windows": "select lag(a, 2, 0) over (partition by s order by a), sum(a) over (order by a rows "
    "between 1 preceding and current row exclude ties) from t",
    "order": "select a from t order by s desc nulls first, a",
    "top_n": "select a from t order by a limit 2 offset 1",
    "limit": "select a from t limit 2",
    "limit_by_expression": "select a from t limit (select count(*) from u)",
    "limit_percent": "select a from t limit 10%",
    "chunk": "describe select 1 as x",
    "sample": "select a from t using sample 10 rows",
}


def planned() -> dict[str, Planned]:
    instance = PlanningInstance(TABLES)
    try:
        return {name: plan_of(instance, sql) for name, sql in QUERIES.items()}
    finally:
        instance.close()


def text_of(plan: Mapping[str, Any]) -> str:
    return json.dumps(plan, indent=1, allow_nan=True) + "\n"


def nodes(value: Any, key: str) -> Iterator[str]:
    """What stands under this key, anywhere in a plan, where it is a text."""
    if isinstance(value, list):
        for each in value:
            yield from nodes(each, key)
    elif isinstance(value, dict):
        found = value.get(key)
        if isinstance(found, str):
            yield found
        for each in value.values():
            yield from nodes(each, key)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, one in planned().items():
        (FOLDER / f"{name}.json").write_text(text_of(one.plan))


if __name__ == "__main__":
    main()
