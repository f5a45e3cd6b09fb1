"""Stages that do the work of others: their fragments, leaves and sources."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.errors import InvalidPlan, PlanningError
from ffq.ids import StageId
from ffq.plan import Parallelism, ScanSource, ShuffleSource, cut, dump_plan, model, parse_plan
from ffq.plan.bound import Match, Place
from ffq.plan.inlining import inlined, with_inlined
from ffq.plan.properties import has_own_words
from ffq.plan.reducing import reduced
from ffq.plan.stages import GatherChoice, JoinChoice, StageGraph
from ffq.plan.terms import Bound, Column
from ffq.plan.walk import stage_reads, stage_scans
from tests.strategies.graphs import (
    adaptive_gather,
    adaptive_join,
    adaptive_joins,
    aggregate,
    exchange,
    gather,
    keyed_join,
    keyed_joins,
    reduced_join,
    relations,
    scan,
)


def test_a_join_that_sizes_decide_names_its_stages() -> None:
    """In the order of their numbers, the one within the other after it."""
    graph = cut(adaptive_join(adaptive_join(scan("a"), scan("b"), 2, 7), scan("c"), 3, 8))
    assert graph.joins == (
        JoinChoice(StageId(0), StageId(1), StageId(4), 8),
        JoinChoice(StageId(1), StageId(2), StageId(3), 7),
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_joins_exchanges(side: str) -> None:
    join = adaptive_join(scan("a"), scan("b"), 2)
    assert isinstance(join, model.AdaptiveJoin)
    sides = {"left": join.left, "right": join.right, side: scan("c")}
    plan = model.AdaptiveJoin(**sides, match=join.match, condition=None, keys=(), broadcast_bytes=1)
    with pytest.raises(PlanningError, match=r"AdaptiveJoin reads ParquetScan; right would be"):
        cut(plan)


def test_leaves_are_numbered_anew_and_scans_keep_their_homes() -> None:
    """0 joins what it scans and 1, the left side, which reads 2 and scans, and 3, the right one."""
    probe = model.UnionAll(scan("b"), model.UnionAll(gather(scan("c")), scan("d")))
    join = adaptive_join(probe, scan("e"), 4)
    graph = cut(model.UnionAll(scan("a"), model.UnionAll(join, scan("f"))))
    stage = inlined(graph.stages[0], graph.stages[1])
    assert stage.stage_id == 0
    assert [(scan.table, scan.leaf, scan.home) for scan in stage.scans] == [
        ("a", 0, (0, 0)),
        ("b", 1, (1, 0)),
        ("d", 2, (1, 1)),
        ("f", 3, (0, 1)),
    ]
    assert [(source.stage_id, source.leaf) for source in stage.parents] == [(2, 0), (3, 1)]
    assert [node.table for node in stage_scans(stage.fragment)] == ["a", "b", "d", "f"]


def test_the_stage_has_the_tasks_of_the_one_that_it_does_the_work_of() -> None:
    graph = cut(adaptive_join(exchange(scan("t"), 5), scan("u"), 3))
    stage = inlined(graph.stages[0], graph.stages[1])
    assert (stage.parallelism, stage.reduce_partitions) == (Parallelism.HASH, 5)
    assert stage.parents == (
        ShuffleSource(0, StageId(2), 5, whole=False),
        ShuffleSource(1, StageId(3), 3, whole=True),
    )
    graph = cut(adaptive_join(scan("t"), scan("u"), 3))
    stage = inlined(graph.stages[0], graph.stages[1])
    assert stage.parallelism is Parallelism.SCAN
    assert stage.scans == (ScanSource(0, "t", split=True, home=(StageId(1), 0)),)


def test_what_is_no_left_side_of_such_a_join_is_not_inlined() -> None:
    graph = cut(adaptive_join(exchange(scan("t"), 5), scan("u"), 3))
    for stage_id, other, said in (
        (0, 3, "no left side of an AdaptiveJoin"),
        (1, 2, "no left side of an AdaptiveJoin"),
        (0, 2, "does not read"),
        (3, 1, "does not read"),
    ):
        with pytest.raises(InvalidPlan, match=said):
            with_inlined(graph, StageId(stage_id), [StageId(other)])


def test_what_is_gathered_is_made_where_it_is_gathered() -> None:
    """0 takes the first rows of 1, which groups what 2 scans."""
    below = aggregate(scan("t"), 3)
    graph = cut(model.Limit(10, adaptive_gather(below, 7)))
    assert graph.gathers == (GatherChoice(StageId(0), StageId(1), 7),)
    stage = inlined(graph.stages[0], graph.stages[1])
    assert stage.fragment == model.Limit(10, below)
    assert (stage.parallelism, stage.parents) == (
        Parallelism.SINGLE,
        (ShuffleSource(0, StageId(2), 3, whole=True),),
    )
    with pytest.raises(InvalidPlan, match="read by no AdaptiveGather"):
        inlined(stage, graph.stages[2])


def test_it_gathers_what_one_task_reads() -> None:
    by = model.HashPartitioning(("k",), 3)
    plan = model.AdaptiveGather(model.ShuffleWrite(scan("t"), by), by, 1)
    with pytest.raises(PlanningError, match=r"reads HashKeys\(k; 3 partitions\); right would be"):
        cut(plan)


def test_no_side_of_a_join_that_sizes_decide_is_a_gather_that_they_decide() -> None:
    side = adaptive_gather(scan("t"), 1)
    join = model.AdaptiveJoin(side, side, Match.INNER, None, (), 1)
    with pytest.raises(PlanningError, match="AdaptiveJoin reads AdaptiveGather; right would be"):
        cut(join)


def decided(graph: StageGraph) -> Iterator[tuple[JoinChoice, ...]]:
    """Some of the joins, in every order, of few of them."""
    joins = graph.joins[:3]
    for count in range(len(joins) + 1):
        for some in combinations(joins, count):
            yield from permutations(some)


_relations = relations(max_leaves=3)


@given(
    st.builds(adaptive_join, _relations, _relations, st.integers(1, 3))
    | st.builds(reduced_join, _relations, _relations, st.integers(1, 3))
    | st.builds(adaptive_joins, _relations, _relations, st.integers(1, 3))
    | st.builds(keyed_join, _relations, _relations, st.integers(1, 3))
    | st.builds(keyed_joins, _relations, _relations, st.integers(1, 3)),
    st.data(),
)
def test_the_order_of_decisions_makes_no_difference_nor_does_the_journey(
    plan: model.Node, data: st.DataObject
) -> None:
    """A coordinator inlines one by one, a worker all that it is told of, in a plan that it read."""
    graph, read = cut(plan), cut(parse_plan(dump_plan(plan)))
    for order in decided(graph):
        stages = {stage.stage_id: stage for stage in graph.stages}
        into: dict[StageId, StageId] = {}
        reducing: dict[StageId, StageId] = {}
        for choice in order:
            if choice.reduction and not (choice.inlines and data.draw(st.booleans())):
                stages[choice.probe] = reduced(stages[choice.probe], choice)
                reducing[choice.probe] = choice.build
                continue
            at = choice.stage_id
            while at in into:
                at = into[at]
            stages[at] = inlined(stages[at], stages.pop(choice.probe))
            into[choice.probe] = at
        for stage_id, stage in stages.items():
            mine = [probe for probe in into if _ends_in(probe, into) == stage_id]
            mine += [build for probe, build in reducing.items() if probe == stage_id]
            assert with_inlined(read, stage_id, mine) == stage
            assert len(stage.parents) == len(stage_reads(stage.fragment))
            assert len(stage.scans) == len(stage_scans(stage.fragment))


def _ends_in(stage: StageId, into: dict[StageId, StageId]) -> StageId:
    while stage in into:
        stage = into[stage]
    return stage


def test_a_join_that_reduces_exchanges_its_keys_by_name() -> None:
    join = reduced_join(scan("a"), scan("b"), 2)
    assert isinstance(join, model.ReducedJoin)
    (choice,) = cut(join).joins
    assert (choice.probe, choice.build) == (2, 1)
    assert choice.reduction is not None
    assert choice.reduction.places == ((0, 0),)
    wrong = (
        attrs.evolve(join, match=Match.FULL),
        attrs.evolve(join, keys=()),
        attrs.evolve(join, keys=(("k", "other"),)),
        attrs.evolve(join, right=exchange(scan("b"), 2)),
    )
    for plan in wrong:
        with pytest.raises(PlanningError, match="exchanges of a Project on each side"):
            cut(plan)
    with pytest.raises(PlanningError, match="right would be a ShuffleRead on each side"):
        cut(attrs.evolve(join, left=scan("a")))


def test_a_stage_is_reduced_by_the_other_side_of_its_join_alone() -> None:
    graph = cut(reduced_join(reduced_join(scan("a"), scan("b"), 2), scan("c"), 2))
    for choice in graph.joins:
        for stage in graph.stages:
            if stage.stage_id != choice.probe:
                with pytest.raises(InvalidPlan, match="no left side of a ReducedJoin"):
                    reduced(stage, choice)


def test_keys_are_read_by_their_places_each_once() -> None:
    """0 joins 1 and 2; a right column that two left ones must equal is one key of the right."""
    columns = tuple((Column("k"), name) for name in ("a", "b", "c"))
    by, apart = model.HashPartitioning(("c", "a"), 2), model.KeyedPartitioning(("b", "b"), 2, 9)
    sides = [
        model.ShuffleRead(model.ShuffleWrite(model.Project(columns, scan(table)), each), each)
        for table, each in (("t", by), ("u", apart))
    ]
    left, right = sides
    on = (("c", "b"), ("a", "b"))
    plan = model.AdaptiveJoin(left, right, Match.SEMI, None, on, 7)
    (choice,) = cut(parse_plan(dump_plan(plan))).joins
    assert (choice.probe, choice.build, choice.broadcast_bytes, choice.keys_bytes) == (1, 2, 7, 9)
    assert choice.inlines
    assert choice.reduction is not None
    assert choice.reduction.places == ((0, 2), (0, 0))
    assert isinstance(choice.reduction.read.input, model.Project)
    assert choice.reduction.read.input.exprs == ((Bound(Place(1)), "b"),)
    graph = cut(plan)
    stage = reduced(graph.stages[1], choice)
    assert stage.parents == (ShuffleSource(0, StageId(2), 2, whole=True, keys=True),)
    assert (stage.parallelism, stage.output) == (Parallelism.SCAN, by)
    assert [each.output_partitions for each in graph.stages] == [0, 2, 3]


def test_keys_that_could_not_tell_which_rows_are_left_out_are_refused() -> None:
    join = keyed_join(scan("a"), scan("b"), 2)
    assert isinstance(join, model.AdaptiveJoin)
    assert isinstance(join.right, model.ShuffleRead)
    by = model.KeyedPartitioning(("k", "other"), 2, 9)
    assert isinstance(join.right.input, model.ShuffleWrite)
    more = model.ShuffleRead(attrs.evolve(join.right.input, partitioning=by), by)
    for plan, said in (
        (attrs.evolve(join, match=Match.LEFT), "is Left and exchanges its sides"),
        (attrs.evolve(join, match=Match.ANTI), "right would be Inner, Semi"),
        (attrs.evolve(join, keys=()), "exchanges of a Project on each side"),
        (attrs.evolve(join, left=exchange(scan("a"), 2)), "exchanges of a Project on each side"),
        (attrs.evolve(join, right=more), "gives out the keys .*; right would be the same ones"),
    ):
        with pytest.raises(PlanningError, match=said):
            cut(plan)


def test_a_plan_that_gives_out_keys_is_not_for_others() -> None:
    by = model.KeyedPartitioning(("k",), 2, 9)
    own = cut(model.ShuffleRead(model.ShuffleWrite(scan("t"), by), by))
    assert has_own_words(own)
    assert not has_own_words(cut(exchange(scan("t"), 2)))
