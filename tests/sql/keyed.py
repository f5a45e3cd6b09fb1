"""Queries that join a large side with one of which few keys are left, and tables for them."""

from __future__ import annotations

from typing import Final

from ffq.messages import ClusterSize
from ffq.sql.exchanges import TableEstimate

CLUSTER: Final = ClusterSize(slots=3, workers=3)
MANY: Final = "select nullif(i % 60, 5) as k, i % 3 as j, i as w from range(600) r(i)"
TABLES: Final = {
    "few": "select nullif(i % 7, 3) as k, i % 2 as j, i as v, 'few' || i as s from range(40) r(i)",
    "none": "select i as k, i as j, i as v, '' as s from range(0) r(i)",
    "nulls": "select null::bigint as k, 1::bigint as j, i as v, '' as s from range(3) r(i)",
    "every": "select i % 70 as k, i % 3 as j, i % 29 as v, 'every' as s from range(420) r(i)",
    "others": "select 1000 + i as k, i % 3 as j, i as v, '' as s from range(30) r(i)",
}
"""What is joined with `many`: rows that some of its keys have, none, all of them, or others."""
SIZES: Final = {
    **dict.fromkeys(TABLES, TableEstimate(10**6, 10**9)),
    "many": TableEstimate(10**8, 10**10),
}
KEYED: Final = {
    "inner": "select t.*, w from {} t join many m on m.k = t.k where v < 30",
    "inner, the other way round": "select t.*, w from many m join {} t on m.k = t.k where v < 30",
    "of two keys": "select t.*, w from {} t join many m on m.k = t.k and m.j = t.j where v < 30",
    "of one that is two": "select t.*, w from {} t join many m on m.k = t.k and m.j = t.k "
    "where v < 30",
    "of two that are one": "select t.*, w from {} t join many m on m.k = t.k and m.k = t.j "
    "where v < 30",
    "of a key that is computed": "select t.*, w from {} t join many m on m.k + 1 = t.k * 2 "
    "where v < 30",
    "of text": "select t.*, w from {} t join many m on 'few' || m.k = t.s where v < 30",
    "with a condition": "select t.*, w from {} t join many m on m.k = t.k and m.w > t.v "
    "where v < 30",
    "nulls are alike": "select t.*, w from {} t join many m on m.k is not distinct from t.k "
    "where v < 30",
    "nulls are alike in one of two keys": "select t.*, w from {} t "
    "join many m on m.k is not distinct from t.k and m.j = t.j where v < 30",
    "semi": "select * from many m where exists (from {} t where t.k = m.k and v < 30)",
    "semi with a condition": "select * from many m where exists "
    "(from {} t where t.k = m.k and t.v < m.w and v < 30)",
    "grouped": "select t.j, count(*) as n, sum(w) as w, max(s) as s from {} t "
    "join many m on m.k = t.k where v < 30 group by all",
}
"""In which rows of `many` without a key of the other side may be left out."""
OTHERS: Final = {
    "left": "select m.*, v from many m left join (from {} where v < 30) t on m.k = t.k",
    "anti": "select * from many m where not exists (from {} t where t.k = m.k and v < 30)",
    "full": "select m.*, v from many m full join (from {} where v < 30) t on m.k = t.k",
    "all rows": "select t.*, w from {} t join many m on m.k = t.k",
}
"""In which they are not, or no condition leaves any key out."""
