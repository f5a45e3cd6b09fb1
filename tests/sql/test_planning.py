"""What cannot be planned is refused by its name and place; what is planned says why it is so."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from ffq.errors import InvalidQuery, UnsupportedPlan
from ffq.messages import MAX_SQL_PARTITIONS, ClusterSize
from ffq.plan import model
from ffq.plan.bound import Constant, Place
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.explain import bytes_text
from ffq.plan.model import Node
from ffq.plan.stages import Parallelism, cut
from ffq.plan.terms import Bound
from ffq.plan.walk import walk_stage
from ffq.sql.distribute import distribute
from ffq.sql.exchanges import BROADCAST_BYTES, TableEstimate
from ffq.sql.planning import PlanningInstance
from ffq.sql.prepare import prepare
from tests.sql.compared import plan_of

_TABLES = {
    "t": [("a", "INTEGER"), ("s", "VARCHAR"), ("x", "DOUBLE")],
    "u": [("a", "INTEGER"), ("k", "INTEGER")],
}


@pytest.fixture(scope="module")
def planning() -> Iterator[PlanningInstance]:
    instance = PlanningInstance(_TABLES)
    yield instance
    instance.close()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select a from t where is_histogram_other_bin(a)", "the function is_histogram_other_bin"),
        ("select 'ä', nextval('q') from t", "nextval|Sequence"),
        ("select reservoir_quantile(a, 0.5) from t", "the aggregate reservoir_quantile"),
        ("select '1010'::bit", "BIT"),
        ("select * from read_csv('/etc/passwd')", "disabled|Permission|denied|external"),
        ("from duckdb_settings()", "the table function duckdb_settings"),
        ("selec 1", ".*syntax"),
        ("select b\nfrom t", '.*"b" not found'),
        (
            "with recursive r(n, m) using key (n) as "
            "(select 1, 1 union select n, m + 1 from r where m < 3) from r",
            "USING KEY",
        ),
        ("select 'a' collate nocase except all select 'A'", "EXCEPT ALL of columns with COLLATE"),
        (
            "select 'a' intersect all (select 'A' collate nocase union all select 'b')",
            "INTERSECT ALL of columns with COLLATE",
        ),
        ("select * from t asof right join u on t.a >= u.a", "ASOF RIGHT JOIN; right would be ASOF"),
        ("select * from t asof full join u on t.a >= u.a", "ASOF FULL JOIN; right would be ASOF L"),
        ("select * from t positional join u", "POSITIONAL JOIN of rows that are in no order"),
        ("select " + "(" * 5000 + "1" + ")" * 5000, "depth|nests"),
        ("select " + "+".join(["a"] * 900) + " from t", "nests|depth"),
    ],
)
def test_it_is_refused_by_name_and_place(planning: PlanningInstance, sql: str, said: str) -> None:
    with pytest.raises((InvalidQuery, UnsupportedPlan), match=f"(?s){said}"):
        distribute(plan_of(planning, sql), partitions=2)


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("select 'ä',\n  is_histogram_other_bin(range) from range(3)", "line 2, column 3"),
        ("select * from range(3) where is_histogram_other_bin(range)", "line 1, column 30"),
    ],
)
def test_an_error_says_where_in_the_text_it_stands(sql: str, place: str) -> None:
    with pytest.raises(UnsupportedPlan, match=place):
        prepare(sql)


@pytest.mark.parametrize("word", ["or", "and"])
def test_many_conditions_on_a_column_are_no_deep_plan(
    planning: PlanningInstance, word: str
) -> None:
    conditions = f" {word} ".join(f"(a <> {at} or x > {at})" for at in range(100))
    if word == "or":
        conditions = " or ".join(f"(a = {at} and x > {at})" for at in range(100))
    plan, _ = _plan(planning, f"select s from t where {conditions}")
    assert parse_plan(dump_plan(plan)) == plan


def _plan(planning: PlanningInstance, sql: str, **estimates: int) -> tuple[Node, list[str]]:
    """estimates: bytes of tables, of a hundred bytes a row."""
    known = {name: TableEstimate(size // 100, size) for name, size in estimates.items()}
    choices: list[str] = []
    plan = distribute(plan_of(planning, sql), partitions=4, estimates=known, choices=choices)
    return plan, choices


_JOIN = "select t.s, u.k from t join u on t.a = u.a"


@pytest.mark.parametrize(
    ("estimates", "said", "broadcasts"),
    [
        (
            {},
            "decided when its right side is finished (nothing is known of it): broadcast up to",
            0,
        ),
        ({"t": 10**10, "u": 10**6}, "broadcast, its right side has about", 1),
        ({"t": 10**6, "u": 10**10}, "broadcast, its left side has about", 1),
        ({"t": 10**10, "u": 10**10}, "both sides are shuffled, the smaller has about", 0),
    ],
)
def test_a_small_side_is_broadcast(
    planning: PlanningInstance, estimates: dict[str, int], said: str, broadcasts: int
) -> None:
    plan, choices = _plan(planning, _JOIN, **estimates)
    assert len(choices) == 1
    assert said in choices[0]
    found = [node for stage in cut(plan).stages for node in walk_stage(stage.fragment)]
    assert sum(isinstance(node, model.Broadcast) for node in found) == broadcasts


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select t.s, u.k from t join u on t.a = u.a where u.k < 3", "when its right side"),
        ("select t.s, u.k from u join t on t.a = u.a where u.k < 3", "side is finished (about"),
        ("select t.s from t where a in (select a from u group by a)", "when its right side"),
        ("select t.s, u.k from t left join u on t.a = u.a where t.x < 3", "both sides are shuf"),
        ("select t.s, u.k from t full join u on t.a = u.a and u.k < 3", "both sides are shuf"),
        (
            "with c as (select t.s, u.k from t join u on t.a = u.a where u.k < 3) "
            "select * from c union all select * from c",
            "both sides are shuf",
        ),
    ],
)
def test_the_size_of_a_side_decides_where_its_estimate_may_be_wrong(
    planning: PlanningInstance, sql: str, said: str
) -> None:
    plan, choices = _plan(planning, sql, t=10**10, u=10**10)
    assert said in choices[0]
    (*joins,) = cut(plan).joins
    assert bool(joins) == ("decided" in choices[0])
    assert all(join.broadcast_bytes == BROADCAST_BYTES for join in joins)


def test_a_full_join_is_never_broadcast(planning: PlanningInstance) -> None:
    _, choices = _plan(planning, _JOIN.replace("join", "full join"), t=10**10, u=10)
    assert "shuffled" in choices[0]


def test_a_size_at_the_bound_is_broadcast_and_none_above(planning: PlanningInstance) -> None:
    sql = "select t.s, t.x, u.a, u.k from t left join u on t.a = u.a"
    for size, said in ((BROADCAST_BYTES, "broadcast"), (BROADCAST_BYTES + 200, "shuffled")):
        _, choices = _plan(planning, sql, t=10**12, u=size)
        assert said in choices[0]


def test_an_answer_of_one_row_is_broadcast_from_a_stage_of_its_own(
    planning: PlanningInstance,
) -> None:
    """If not, the rows that are compared with it would all be in one task."""
    plan, _ = _plan(planning, "select a from t where x > (select avg(x) from t)")
    assert cut(plan).stages[0].parallelism is Parallelism.SCAN


@pytest.mark.parametrize(
    ("below", "gathers"),
    [
        ("(select a, count(*) as x from t group by a)", 1),
        ("(select t.x from t join u on t.a = u.a)", 1),
        ("t", 0),
        ("(select x from t where a > 3)", 0),
    ],
)
def test_an_aggregate_of_few_exchanged_rows_is_of_one_task(
    planning: PlanningInstance, below: str, gathers: int
) -> None:
    """Where they are read from files, each task aggregates its own share."""
    plan, _ = _plan(planning, f"select max(x) from {below}")
    graph = cut(plan)
    assert [(one.stage_id, one.below) for one in graph.gathers] == [(0, 1)] * gathers
    assert graph.stages[0].parallelism is Parallelism.SINGLE


def test_unlike_sides_of_a_union_are_in_several_tasks(planning: PlanningInstance) -> None:
    plan, _ = _plan(planning, "select a from t union all select a from u group by a")
    assert cut(plan).stages[0].parallelism is Parallelism.HASH


_WINDOWS = [
    "first_value(s) over (partition by a order by x)",
    "nth_value(s, 2) over (partition by a order by x)",
    "last_value(s) over (partition by a)",
    "string_agg(s) over (partition by a order by x)",
    "list(s order by x) over (partition by a order by x rows 1 preceding)",
    "mode(s) over (partition by a)",
    "sum(x) over (partition by a)",
]


@pytest.mark.parametrize("window", _WINDOWS)
def test_a_window_that_is_read_twice_takes_its_rows_in_one_order(
    planning: PlanningInstance, window: str
) -> None:
    """Where it does not, only now and then its two readings differ."""
    twice = f"with w as (select s, {window} v from t) select p.v = q.v from w p join w q using (s)"
    for sql, orders in ((twice, True), (f"select s, {window} v from t", False)):
        plan, _ = _plan(planning, sql)
        found = [node for stage in cut(plan).stages for node in walk_stage(stage.fragment)]
        windows = [
            each for node in found if isinstance(node, model.OverWindows) for each in node.windows
        ]
        assert len(windows) == 1 + orders
        for each in windows:
            by = {key.expr for key in each.function.order}
            assert ({Place(0), Place(1)} <= by) == orders


@pytest.mark.parametrize("zero", ["-0.0::double", "[-0.0::double][1]", "'-0'::float"])
def test_a_zero_keeps_its_sign(planning: PlanningInstance, zero: str) -> None:
    plan, _ = _plan(planning, f"select {zero} as z")
    assert isinstance(plan, model.Project)
    below = plan.input
    assert isinstance(below, model.Project)
    ((expr, _),) = below.exprs
    assert isinstance(expr, Bound)
    assert isinstance(expr.tree, Constant)
    assert str(expr.tree.value) == "-0.0"
    assert plan.exprs[0][0] == Bound(Place(0))


def test_now_is_one_moment_of_the_whole_query(planning: PlanningInstance) -> None:
    plan, _ = _plan(planning, "select now() as n, count(*) from t where x < epoch(now())")
    assert "now" not in str(plan)


@pytest.mark.parametrize("of", ["last row", "first row"])
def test_samples_decide_nothing_of_what_a_query_gives(of: str) -> None:
    """Passes that bake what the tables hold into a plan are off."""
    rows = pa.table({"a": [1, 2, 3], "s": ["x", "y", None], "x": [0.5, 1.5, 2.5]})
    sample = rows.slice(2, 1) if of == "last row" else rows.slice(0, 1)
    instance = PlanningInstance(_TABLES, samples={"t": sample})
    bare = PlanningInstance(_TABLES)
    try:
        for sql in (
            "select min(a), max(a), count(*), count(s) from t",
            "select a from t where a > 2 and s is null",
            "select distinct a from t order by a limit 1",
        ):
            assert distribute(plan_of(instance, sql), partitions=2) == distribute(
                plan_of(bare, sql), partitions=2
            )
    finally:
        instance.close()
        bare.close()


def test_a_kept_instance_knows_the_tables_of_the_present_query_alone() -> None:
    first, second = pa.table({"a": [1]}), pa.table({"a": [2]})
    instance = PlanningInstance({"t": [("a", "INTEGER")], "U": [("b", "DATE")]})
    try:
        instance.add("made", [("c", "INTEGER")])
        instance.hold({"u": [("a", "BIGINT")], "t": [("a", "INTEGER")]}, {"t": first})
        assert plan_of(instance, "FROM u").types == ("BIGINT",)
        for gone in ("made", '"U".b'):
            with pytest.raises(InvalidQuery):
                plan_of(instance, f"SELECT * FROM {gone}")
        instance.hold({"t": [("a", "INTEGER")]}, {"t": second})
        assert instance._connection.execute("FROM t").fetchall() == [(2,)]
        instance._connection.execute("INSERT INTO t VALUES (3)")
        instance.hold({"t": [("a", "INTEGER")]}, {"t": second})  # nothing is done twice
        assert instance._connection.execute("FROM t").fetchall() == [(2,), (3,)]
        with pytest.raises(InvalidQuery, match="u"):
            plan_of(instance, "FROM u")
    finally:
        instance.close()


# --- what the cluster decides ------------------------------------------------------------------

_MIB = 1024 * 1024


def _planned_for(
    planning: PlanningInstance, sql: str, cluster: ClusterSize, partitions: int = 0, **bytes_of: int
) -> tuple[Node, str]:
    known = {name: TableEstimate(size // 100, size) for name, size in bytes_of.items()}
    choices: list[str] = []
    plan = distribute(
        plan_of(planning, sql),
        partitions=partitions,
        estimates=known,
        choices=choices,
        cluster=cluster,
    )
    return plan, choices[0]


@pytest.mark.parametrize(
    ("workers", "small", "large", "said"),
    [
        (2, 12, 16, "broadcast"),
        (3, 12, 16, "both sides are shuffled"),
        (3, 7, 16, "broadcast"),
        (100, 7, 16, "both sides are shuffled"),
        (1, 40, 50, "broadcast"),
        (1, 80, 90, "both sides are shuffled"),
        (2, 80, 10**6, "both sides are shuffled"),
        (1000, 1, 2, "broadcast"),
    ],
)
def test_a_side_is_broadcast_where_that_sends_less_than_the_other_side_has(
    planning: PlanningInstance, workers: int, small: int, large: int, said: str
) -> None:
    """Sizes in MiB of all rows; the join reads as large a part of both."""
    sql = "select t.a, t.s, t.x, u.* from t join u on t.a = u.a"
    cluster = ClusterSize(2 * workers, workers)
    _, choice = _planned_for(planning, sql, cluster, t=large * _MIB, u=small * _MIB)
    assert said in choice, choice


def test_a_join_that_sizes_decide_has_the_bound_of_the_cluster(planning: PlanningInstance) -> None:
    sql = "select t.s, u.k from t join u on t.a = u.a where u.k < 3"
    bounds = []
    for workers in (0, 1, 2, 9, 10**6):
        plan, choice = _planned_for(
            planning, sql, ClusterSize(workers, workers), t=400 * _MIB, u=2 * 10**10
        )
        (join,) = cut(plan).joins
        bounds.append(join.broadcast_bytes)
        assert f"broadcast up to {bytes_text(join.broadcast_bytes)}" in choice
    assert bounds[:2] == [BROADCAST_BYTES, 64 * _MIB]
    assert bounds[2] == 64 * _MIB
    assert BROADCAST_BYTES < bounds[3] < 64 * _MIB
    assert bounds[4] == _MIB


@pytest.mark.parametrize(
    ("workers", "small", "said"),
    [
        (1, 7, "broadcast, its right side has about"),
        (1, 12, "decided when its right side is finished (about 12.0 MiB): broadcast up to 64.0"),
        (1, 80, "decided when its right side is finished (about 80.0 MiB): broadcast up to 64.0"),
        (101, 3, "decided when its right side is finished (about 3.0 MiB): broadcast up to 2.0"),
        (0, 12, "decided when its right side is finished (about 12.0 MiB): broadcast up to 8.0"),
    ],
)
def test_what_is_not_small_anyway_waits_for_a_size_that_the_estimate_may_miss(
    planning: PlanningInstance, workers: int, small: int, said: str
) -> None:
    """A fifth of the rows of `u`, and all of its columns; of `t` half of the bytes."""
    sql = "select t.a, t.s, t.x, u.* from t join u on t.a = u.a where u.k < 3"
    cluster = ClusterSize(2 * workers, workers)
    _, choice = _planned_for(planning, sql, cluster, t=200 * _MIB, u=5 * small * _MIB)
    assert said in choice, choice


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select {} from t join u on t.a = u.a", "broadcast, its right side has about 12.0 MiB"),
        ("select {} from t join u on t.a = u.a where t.x < 3", "decided when its left side is"),
        ("select {} from t left join u on t.a = u.a where t.x < 3", "broadcast, its right side"),
        (
            "with c as (select {} from t join u on t.a = u.a where t.x < 3) "
            "select * from c union all select * from c",
            "broadcast, its right side has about 12.0 MiB",
        ),
    ],
)
def test_a_side_of_known_size_is_sent_where_the_other_ones_estimate_need_not_be_waited_for(
    planning: PlanningInstance, sql: str, said: str
) -> None:
    """The other side, by estimate larger, may be the smaller one: waiting for it may tell."""
    _, choice = _planned_for(
        planning, sql.format("t.a, t.s, t.x, u.*"), ClusterSize(4, 2), t=400 * _MIB, u=12 * _MIB
    )
    assert said in choice, choice


def _partitions(plan: Node) -> set[int]:
    return {stage.output_partitions for stage in cut(plan).stages[1:]}


def test_an_exchange_has_a_partition_for_each_slot_and_more_where_it_is_large(
    planning: PlanningInstance,
) -> None:
    sql = "select t.s, t.x, t.a, u.* from t join u on t.a = u.a"
    sizes = {"t": 320 * 1000 * _MIB, "u": 300 * 1000 * _MIB}
    small = {"t": 80 * _MIB, "u": 80 * _MIB}
    for slots, most in ((3, 3), (0, 8), (7, 7)):
        plan, _ = _planned_for(planning, sql, ClusterSize(slots, 10**6 * bool(slots)), **small)
        assert _partitions(plan) == {most}
    plan, choice = _planned_for(planning, sql, ClusterSize(3, 10**6), **sizes)
    (count,) = _partitions(plan)
    assert 1000 < count <= MAX_SQL_PARTITIONS
    assert "shuffled" in choice
    plan, _ = _planned_for(planning, sql, ClusterSize(3, 3), 5, **sizes)
    assert _partitions(plan) == {5}


# --- estimates ----------------------------------------------------------------------------------


def _planned_with(
    planning: PlanningInstance, sql: str, known: dict[str, TableEstimate], slots: int = 2
) -> tuple[Node, list[str]]:
    choices: list[str] = []
    plan = distribute(
        plan_of(planning, sql),
        partitions=0,
        estimates=known,
        choices=choices,
        cluster=ClusterSize(slots, slots),
    )
    return plan, choices


def test_that_values_are_there_leaves_all_rows(planning: PlanningInstance) -> None:
    """As what makes a SEMI join of a correlated EXISTS asks of either side's keys."""
    sql = (
        "select t.s from t left join (from u where a is not null and k is not null) u on t.a = u.a"
    )
    known = {"t": TableEstimate(10**9, 10**11), "u": TableEstimate(10**6, 10**8)}
    _, (choice,) = _planned_with(planning, sql, known)
    assert "about 47.7 MiB" in choice  # a million values, of 50 bytes


@pytest.mark.parametrize("conditions", [2, 3, 30])
def test_many_conditions_leave_no_less_than_two_do(
    planning: PlanningInstance, conditions: int
) -> None:
    columns = ["u.k <> 1", "u.a < 9", *(f"u.a + u.k <> {at}" for at in range(28))]
    where = " and ".join(columns[:conditions])
    sql = f"select t.s from t left join (from u where {where}) u on t.a = u.a"
    known = {"t": TableEstimate(10**9, 10**11), "u": TableEstimate(10**7, 10**9)}
    _, (choice,) = _planned_with(planning, sql, known)
    assert "about 19.1 MiB" in choice


def test_what_may_be_far_larger_than_its_estimate_is_not_broadcast_by_it(
    planning: PlanningInstance,
) -> None:
    """A twenty-fifth of them is less than 8 MiB."""
    sql = "select t.s from t join u on t.a = u.a where u.k < 3 and u.a < 9"
    for rows, said in ((3 * 10**6, "broadcast, its right"), (4 * 10**6, "decided when its right")):
        known = {"t": TableEstimate(10**9, 10**11), "u": TableEstimate(rows, rows * 40)}
        _, (choice,) = _planned_with(planning, sql, known)
        assert said in choice, choice


def test_columns_are_as_wide_as_their_values_are(planning: PlanningInstance) -> None:
    widths = {"a": 4.0, "s": 400.0, "x": 8.0}
    known = {"t": TableEstimate(10**4, 100, widths), "u": TableEstimate(10**9, 10**11)}
    for column, said in (("s", "about 3.9 MiB"), ("x", "about 117.2 KiB")):
        _, (choice,) = _planned_with(
            planning, f"select t.{column}, u.k from u join t on t.a = u.a", known
        )
        assert said in choice, choice


def test_a_join_with_a_part_of_a_table_leaves_that_part(planning: PlanningInstance) -> None:
    sql = "select v.s, t.s from t join (from t w join u using (a)) v on t.x = v.x where v.k < 3"
    known = {"t": TableEstimate(10**7, 10**9), "u": TableEstimate(10**5, 10**7)}
    _, (first, second) = _planned_with(planning, sql, known)
    assert "about" in first
    assert "finished (about 127.2 MiB)" in second, second  # a fifth of what t has


def test_columns_that_nobody_reads_any_more_are_not_exchanged(planning: PlanningInstance) -> None:
    sql = (
        "select sum(v.k) from (t full join u on t.a = u.a) v "
        "full join t w on v.x = w.x where v.k < 3 or w.s = 'b'"
    )
    plan, _ = _plan(planning, sql, t=10**10, u=10**10)
    widths = [
        len(stage.fragment.input.exprs)
        for stage in cut(plan).stages
        if isinstance(stage.fragment, model.ShuffleWrite)
        and isinstance(stage.fragment.input, model.Project)
    ]
    assert sorted(widths) == [2, 2, 2, 2], "of each two, of which one is the key"


def test_each_slot_has_as_many_partitions_as_the_others(planning: PlanningInstance) -> None:
    sql = "select t.s, t.x, t.a, u.* from t full join u on t.a = u.a"
    known = {name: TableEstimate(10**6, 10**8, {}) for name in "tu"}
    for slots, most in ((2, 4), (3, 3), (5, 5)):
        plan, _ = _planned_with(planning, sql, known, slots)
        assert _partitions(plan) == {most}
