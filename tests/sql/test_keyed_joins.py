"""Rows of a large side without a key that the other one has are left out before both are exchanged:
of what comes out nothing changes, whatever keys there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import duckdb
import pytest

from ffq.messages import NO_CLUSTER, ClusterSize
from ffq.plan import cut
from ffq.plan.model import KeyedPartitioning, Node, ShuffleRead
from ffq.plan.walk import children
from ffq.sql.distribute import distribute
from ffq.sql.exchanges import TableEstimate
from ffq.sql.sharing import with_shared
from tests.sql.compared import Compared, plan_of, write_tables
from tests.sql.keyed import CLUSTER, KEYED, MANY, OTHERS, SIZES, TABLES


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    root = tmp_path_factory.mktemp("keyed")
    con = duckdb.connect()
    for name, sql in {**TABLES, "many": MANY}.items():
        con.execute(f"CREATE TABLE {name} AS {sql}")
    found = Compared.over(con, write_tables(con, root), root / "shuffles")
    found.estimates, found.cluster, found.runner.reduces = SIZES, CLUSTER, True
    yield found
    found.close()


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize("name", list(KEYED | OTHERS))
def test_answers_are_the_engines(compared: Compared, name: str, table: str) -> None:
    sql = (KEYED | OTHERS)[name].format(table)
    joins = cut(compared.plan(plan_of(compared.instance, sql))).joins
    assert any(join.keys_bytes is not None for join in joins) == (name in KEYED)
    compared.check(sql)


def _planned(
    compared: Compared, cluster: ClusterSize = CLUSTER, **sizes: TableEstimate
) -> tuple[int | None, str]:
    """The bytes of keys that go first in a join with `few`, and what is said of it."""
    choices: list[str] = []
    sql = KEYED["inner"].format("few")
    known = {**SIZES, **sizes}
    planned = plan_of(compared.instance, sql)
    plan = distribute(planned, partitions=3, estimates=known, cluster=cluster, choices=choices)
    (join,) = cut(plan).joins or (None,)
    return None if join is None else join.keys_bytes, choices[0]


def test_keys_go_first_up_to_a_part_of_what_is_reduced(compared: Compared) -> None:
    """At most half of those that there are, and a quarter of the other side for each receiver."""
    widths = {"k": 8.0, "j": 8.0, "v": 8.0, "s": 1000.0}
    few = TableEstimate(10**6, 10**9, widths)
    bound, said = _planned(compared, few=few)
    assert bound == 8 * 10**6 // 2
    assert said.endswith(
        "the other one without rows that have none of its keys, if those have up to 3.8 MiB"
    )
    many = TableEstimate(10**6, 24 * 10**6, {"k": 8.0, "j": 8.0, "w": 8.0})
    assert _planned(compared, few=few, many=many)[0] == 16 * 10**6 // 2 // 4
    assert _planned(compared, ClusterSize(2, 2), few=few, many=many)[0] == 4 * 10**6
    assert _planned(compared, ClusterSize(9, 9), few=few, many=many)[0] == 16 * 10**6 // 8 // 4


def test_they_do_not_where_nothing_says_that_it_pays(compared: Compared) -> None:
    widths = {"k": 8.0, "j": 8.0, "v": 8.0, "s": 1000.0}
    few = TableEstimate(10**6, 10**9, widths)
    least = TableEstimate(3 * 10**5, 9 * 10**6, {"k": 8.0, "j": 8.0, "w": 8.0})
    assert _planned(compared, NO_CLUSTER, few=few)[0] is None
    assert _planned(compared, ClusterSize(20, 20), few=few, many=least)[0] is None
    # All rows of the table may be sent as they are.
    assert _planned(compared, few=TableEstimate(5 * 10**4, 5 * 10**7, widths))[0] is None


def _reads(plan: Node) -> Iterator[ShuffleRead]:
    pending = [plan]
    while pending:
        node = pending.pop()
        if isinstance(node, ShuffleRead):
            yield node
        pending.extend(children(node))


def test_what_is_read_twice_is_exchanged_once_and_gives_out_no_keys(compared: Compared) -> None:
    """Two joins with the same rows, of which one may leave out rows and the other may not."""
    rows = "(select k, v, s from few where v < 30)"
    sql = (
        f"select m.w, t.s, u.s as other from many m join {rows} t on m.k = t.k "
        f"left join {rows} u on m.k = u.k"
    )
    planned = plan_of(compared.instance, sql)
    apart = distribute(planned, partitions=3, estimates=SIZES, cluster=CLUSTER)
    assert any(isinstance(each.partitioning, KeyedPartitioning) for each in _reads(apart))
    shared, spared = with_shared(apart)
    assert spared == 1
    assert not any(isinstance(each.partitioning, KeyedPartitioning) for each in _reads(shared))
    attrs.evolve(compared).check(sql)
