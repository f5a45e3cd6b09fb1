"""Cutting plans: stage ids, sources, operators, and exchanges that do not pair up."""

from __future__ import annotations

import pytest
from hypothesis import given

from ffq.errors import PlanningError
from ffq.ids import StageId
from ffq.plan import (
    Parallelism,
    PlanLimits,
    ScanSource,
    ShuffleSource,
    cut,
    dump_plan,
    parse_plan,
    terms,
)
from ffq.plan import model as m
from ffq.plan.bound import Match
from ffq.plan.stages import partition_count
from ffq.plan.walk import children, walk_stage
from tests.strategies import graphs
from tests.strategies.plans import stage_plans

SINGLE = m.SinglePartitioning()


def scan(table: str) -> m.ParquetScan:
    return m.ParquetScan(table, None, None, ())


def hashed(*keys: str, partitions: int = 4) -> m.HashPartitioning:
    return m.HashPartitioning(keys, partitions)


def exchange(node: m.Node, partitioning: m.Partitioning) -> m.ShuffleRead:
    return m.ShuffleRead(m.ShuffleWrite(node, partitioning), partitioning)


def join(left: m.Node, right: m.Node, *on: tuple[str, str]) -> m.HashJoin:
    return m.HashJoin(
        left, right, on, terms.JoinType.INNER, terms.JoinStrategy.SHUFFLE, terms.BuildSide.RIGHT
    )


def test_a_plan_without_exchange_is_one_stage_the_sink() -> None:
    (sink,) = cut(m.Filter(terms.Column("a"), scan("t"))).stages
    assert sink.stage_id == 0
    assert sink.output is None
    assert sink.output_partitions == 0
    assert sink.parents == ()
    assert sink.scans == (ScanSource(0, "t", split=True, home=(StageId(0), 0)),)
    assert sink.parallelism is Parallelism.SCAN


def test_ids_follow_the_walk_depth_first_left_to_right() -> None:
    left = exchange(m.Filter(terms.Column("a"), exchange(scan("a"), hashed("k"))), hashed("k"))
    right = exchange(scan("b"), hashed("k"))
    graph = cut(m.Limit(1, exchange(join(left, right, ("k", "k")), SINGLE)))
    # 0 limit, 1 join, 2 left filter, 3 scan of a below it, 4 scan of b.
    assert [graph.parents_of(StageId(i)) for i in range(5)] == [(1,), (2, 4), (3,), (), ()]
    assert [graph.consumers_of(StageId(i)) for i in range(5)] == [(), (0,), (1,), (2,), (1,)]
    assert [[s.table for s in stage.scans] for stage in graph.stages] == [[], [], [], ["a"], ["b"]]


def test_the_rust_clients_two_phase_aggregate() -> None:
    groups = (terms.Column("g"),)
    aggregates = ((terms.AggregateExpr(terms.AggregateFunction.SUM, terms.Column("x")), "s"),)
    partial = m.PartialHashAggregate(groups, aggregates, scan("t"))
    by_group = hashed("g", partitions=64)
    final = m.FinalHashAggregate(groups, aggregates, exchange(partial, by_group))
    sink, maps = cut(m.Project(((terms.Column("g"), "g"),), final)).stages
    assert sink.parallelism is Parallelism.HASH
    assert sink.reduce_partitions == 64
    assert sink.parents == (ShuffleSource(0, StageId(1), 64, whole=False),)
    assert maps.parallelism is Parallelism.SCAN
    assert maps.output == by_group
    assert maps.output_partitions == 64
    assert maps.fragment == m.ShuffleWrite(partial, by_group)


def test_a_global_aggregate_is_one_reduce_task_whatever_its_partitions() -> None:
    final = m.FinalHashAggregate((), (), exchange(scan("t"), hashed(partitions=64)))
    sink, maps = cut(final).stages
    assert sink.parallelism is Parallelism.SINGLE
    assert sink.reduce_partitions == 0
    assert sink.parents == (ShuffleSource(0, StageId(1), 64, whole=True),)
    assert maps.output_partitions == 64


def test_single_has_one_output_partition() -> None:
    sink, maps = cut(exchange(scan("t"), SINGLE)).stages
    assert maps.output_partitions == 1
    assert sink.parents == (ShuffleSource(0, StageId(1), 1, whole=True),)


def test_leaves_are_numbered_in_the_walk_of_their_own_stage() -> None:
    whole = m.Broadcast(m.UnionAll(scan("b"), exchange(scan("far"), SINGLE)))
    sink = cut(join(join(scan("a"), whole, ("k", "k")), m.Broadcast(scan("c")), ("k", "k"))).stages[
        0
    ]
    assert sink.scans == (
        ScanSource(0, "a", split=True, home=(StageId(0), 0)),
        ScanSource(1, "b", split=False, home=(StageId(0), 1)),
        ScanSource(2, "c", split=False, home=(StageId(0), 2)),
    )
    assert sink.parents == (ShuffleSource(0, StageId(1), 1, whole=True),)
    assert sink.parallelism is Parallelism.SCAN


def test_tables_that_a_plan_brings_change_nothing_in_its_stages_and_stand_at_its_root() -> None:
    below = exchange(scan("a"), hashed("k"))
    plain, brought = cut(below), cut(m.WithTables(('{"name":"a"}',), below))
    assert [stage.parallelism for stage in brought.stages] == [
        stage.parallelism for stage in plain.stages
    ]
    assert brought.stages[1] == plain.stages[1]
    inner = exchange(m.WithTables((), scan("a")), hashed("k"))
    for plan in (inner, m.Filter(terms.Column("k"), m.WithTables((), scan("a")))):
        with pytest.raises(PlanningError, match="WithTables is not the root of the plan"):
            cut(plan)


def test_a_task_needs_the_operators_of_its_own_stage_only() -> None:
    below = exchange(m.Custom("below", (), m.Custom("lowest", (), scan("t"))), hashed("k"))
    graph = cut(m.Custom("above", (), join(below, exchange(scan("u"), hashed("k")), ("k", "k"))))
    assert [stage.operators for stage in graph.stages] == [{"above"}, {"below", "lowest"}, set()]


def test_a_cte_is_cut_again_each_time_it_stands_in_the_plan() -> None:
    cte = m.CteRef("c", exchange(scan("t"), hashed("k")))
    graph = cut(join(cte, cte, ("k", "k")))
    assert len(graph.stages) == 3
    assert graph.parents_of(StageId(0)) == (1, 2)
    assert graph.stages[0].parallelism is Parallelism.HASH
    assert graph.stages[1].fragment == graph.stages[2].fragment


def test_row_preserving_nodes_between_read_and_write_join_the_stage_below() -> None:
    write = m.ShuffleWrite(scan("t"), SINGLE)
    for between in (m.CoalesceBatches(100, write), m.CteRef("c", m.CoalesceBatches(100, write))):
        sink, maps = cut(m.ShuffleRead(between, SINGLE)).stages
        assert maps.fragment == m.ShuffleWrite(m.CoalesceBatches(100, scan("t")), SINGLE)
        assert sink.parents == (ShuffleSource(0, StageId(1), 1, whole=True),)


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (
            m.Limit(1, m.ShuffleRead(scan("t"), SINGLE)),
            "plan.Limit.input.ShuffleRead reads ParquetScan; right would be a ShuffleWrite",
        ),
        (
            m.ShuffleRead(m.Limit(1, m.ShuffleWrite(scan("t"), SINGLE)), SINGLE),
            "plan.ShuffleRead reads Limit; right would be a ShuffleWrite",
        ),
        (
            m.ShuffleRead(m.ShuffleWrite(scan("t"), hashed("a")), hashed("b", partitions=2)),
            "plan.ShuffleRead reads HashKeys(b; 2 partitions), but the ShuffleWrite below it "
            "writes HashKeys(a; 4 partitions)",
        ),
        (
            m.UnionAll(scan("t"), m.ShuffleWrite(scan("t"), SINGLE)),
            "plan.UnionAll.right.ShuffleWrite has no ShuffleRead directly above it",
        ),
        (m.ShuffleWrite(scan("t"), SINGLE), "plan.ShuffleWrite has no ShuffleRead"),
        (
            m.ShuffleRead(m.ShuffleWrite(m.ShuffleWrite(scan("t"), SINGLE), SINGLE), SINGLE),
            "plan.ShuffleRead.input.ShuffleWrite.input.ShuffleWrite has no ShuffleRead",
        ),
    ],
)
def test_exchanges_that_do_not_pair_up_are_refused(plan: m.Node, complaint: str) -> None:
    with pytest.raises(PlanningError) as caught:
        cut(plan)
    assert complaint in caught.value.message


def test_a_repeated_cte_cannot_blow_up_the_cut() -> None:
    node: m.Node = scan("t")
    for _ in range(40):
        node = m.CteRef("c", m.UnionAll(node, node))
    with pytest.raises(PlanningError, match="more than 100000 nodes"):
        cut(node)
    chain: m.Node = scan("t")
    for _ in range(1000):
        chain = m.Limit(1, chain)
    with pytest.raises(PlanningError, match="nests deeper than 256"):
        cut(chain)
    stages: m.Node = scan("t")
    for _ in range(250):
        stages = exchange(stages, SINGLE)
    with pytest.raises(PlanningError, match="nests deeper than 256"):
        cut(stages)


def test_stages_are_bounded() -> None:
    node: m.Node = scan("t")
    for _ in range(4):
        node = exchange(node, SINGLE)
    assert len(cut(node, limits=PlanLimits(max_stages=5)).stages) == 5
    with pytest.raises(PlanningError, match="more than 4 stages"):
        cut(node, limits=PlanLimits(max_stages=4))


@given(stage_plans())
def test_the_graph_is_a_tree_over_the_whole_plan(plan: m.Node) -> None:
    graph = cut(plan)
    read = [parent for stage in graph.stages for parent in graph.parents_of(stage.stage_id)]
    assert sorted(read) == list(range(1, len(graph.stages)))
    for index, stage in enumerate(graph.stages):
        assert stage.stage_id == index
        assert all(source.stage_id > index for source in stage.parents)
        assert [source.leaf for source in stage.parents] == list(range(len(stage.parents)))
        for source in stage.parents:
            assert source.partitions == graph.stages[source.stage_id].output_partitions
        assert (stage.output is None) is (index == 0)
        if stage.output is not None:
            assert isinstance(stage.fragment, m.ShuffleWrite)
            assert stage.output_partitions == partition_count(stage.output)
    nodes = sum(1 for stage in graph.stages for _ in walk_stage(stage.fragment))
    assert nodes == count_nodes(plan)


@given(stage_plans())
def test_a_stage_shares_out_one_kind_of_source(plan: m.Node) -> None:
    for stage in cut(plan).stages:
        split_scans = [source for source in stage.scans if source.split]
        split_reads = [source for source in stage.parents if not source.whole]
        match stage.parallelism:
            case Parallelism.SINGLE:
                assert not split_scans
                assert not split_reads
            case Parallelism.SCAN:
                assert split_scans
                assert not split_reads
            case Parallelism.HASH:
                assert split_reads
                assert not split_scans
                assert {source.partitions for source in split_reads} == {stage.reduce_partitions}
        assert (stage.reduce_partitions > 0) is (stage.parallelism is Parallelism.HASH)


@given(stage_plans())
def test_r31_a_limit_a_topk_or_a_global_aggregate_makes_its_stage_one_task(plan: m.Node) -> None:
    for stage in cut(plan).stages:
        for node in walk_stage(stage.fragment):
            is_global = isinstance(node, m.FinalHashAggregate) and not node.group_exprs
            if isinstance(node, m.Limit | m.TopKByScore) or is_global:
                assert stage.parallelism is Parallelism.SINGLE


@given(stage_plans())
def test_coordinator_and_worker_cut_the_same_bytes_alike(plan: m.Node) -> None:
    data = dump_plan(plan)
    assert cut(parse_plan(data)) == cut(parse_plan(data)) == cut(plan)


def count_nodes(plan: m.Node) -> int:
    return 1 + sum(count_nodes(child) for child in children(plan))


def shared(below: m.Node, number: int = 0) -> m.Node:
    by = m.HashPartitioning(("k",), 3)
    return m.SharedRead(m.ShuffleWrite(below, by), by, number)


def test_equal_reads_of_one_number_read_one_stage() -> None:
    """0 reads 1 and, beyond 2, which has the larger number, again."""
    one = shared(graphs.scan("t"))
    graph = cut(m.UnionAll(one, graphs.exchange(one)))
    assert [graph.parents_of(stage.stage_id) for stage in graph.stages] == [(1, 2), (), (1,)]
    assert graph.consumers_of(StageId(1)) == (0, 2)
    assert len(cut(m.UnionAll(one, shared(graphs.scan("t"), 1))).stages) == 3


def built_of(probe: str, build: m.Node) -> m.Node:
    left = graphs.exchange(graphs.scan(probe), 3)
    return m.AdaptiveJoin(left, build, Match.INNER, None, (), 1)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            m.UnionAll(shared(graphs.scan("t")), shared(graphs.scan("u"))),
            "has the number 0, and another one reads others",
        ),
        (shared(shared(graphs.scan("t"))), "has the number 0, and what it reads has it, too"),
        (
            m.AdaptiveJoin(
                shared(graphs.scan("t")), shared(graphs.scan("t")), Match.INNER, None, (), 1
            ),
            "AdaptiveJoin reads SharedRead; right would be a ShuffleRead on each side",
        ),
    ],
)
def test_reads_that_cannot_be_shared_are_refused(plan: m.Node, said: str) -> None:
    with pytest.raises(PlanningError, match=said):
        cut(plan)


def test_the_right_side_of_several_joins_decides_each() -> None:
    build = shared(graphs.scan("u"))
    graph = cut(m.UnionAll(built_of("a", build), built_of("b", build)))
    assert [(each.probe, each.build) for each in graph.joins] == [(1, 2), (3, 2)]
