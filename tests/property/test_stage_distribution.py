"""Tasks that share out a stage must give, together, what one task over the whole plan gives.

A naive interpreter runs plans over lists of rows: once in one piece, where exchanges do nothing,
and once stage by stage, task by task, with the sources shared out as `cut` says.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import attrs
from hypothesis import given
from hypothesis import strategies as st

from ffq.plan import Parallelism, Relation, StageGraph, StagePlan, col, cut, scan, terms
from ffq.plan import model as m
from ffq.plan.names import text_of

Value: TypeAlias = int | None
Row: TypeAlias = tuple[Value, ...]
SCAN_TASKS = 3
# Duplicates, nulls, and keys without a match: where rows of equal keys must meet, or must not.
TABLES: dict[str, tuple[Row, ...]] = {
    "t": ((0, 0), (0, 1), (0, 1), (1, 0), (1, None), (None, 0), (None, None), (2, 2), (3, 1)),
    "u": ((1, 5), (1, 4), (2, 0), (4, 0), (5, 1), (6, 3), (7, 3), (None, 1)),
}


@attrs.frozen
class Rows:
    columns: tuple[str, ...]
    rows: list[Row]

    def place(self, name: str) -> int:
        return self.columns.index(name)


@attrs.define
class Task:
    """Runs one fragment; leaves are taken in walk order, as the engine takes them."""

    scan_rows: Callable[[int, str], list[Row]]
    read_rows: Callable[[int], Rows] | None
    scans: int = 0
    reads: int = 0

    def run(self, node: m.Node) -> Rows:  # noqa: PLR0911
        match node:
            case m.ParquetScan(table=table, projection=columns):
                assert columns is not None
                leaf, self.scans = self.scans, self.scans + 1
                return Rows(tuple(map(text_of, columns)), self.scan_rows(leaf, table))
            case m.ShuffleRead():
                if self.read_rows is None:
                    return self.run(node.input)
                leaf, self.reads = self.reads, self.reads + 1
                return self.read_rows(leaf)
            case m.ShuffleWrite() | m.Broadcast() | m.CoalesceBatches():
                return self.run(node.input)
            case m.Filter(
                predicate=terms.BinaryOp(left=terms.Column(name), right=terms.Literal(value=least))
            ):
                below = self.run(node.input)
                at = below.place(name)
                assert isinstance(least, int)
                kept = [
                    row for row in below.rows if (value := row[at]) is not None and value >= least
                ]
                return Rows(below.columns, kept)
            case m.Project(exprs=exprs):
                below = self.run(node.input)
                places = [below.place(e.name) for e, _ in exprs if isinstance(e, terms.Column)]
                rows = [tuple(row[at] for at in places) for row in below.rows]
                return Rows(tuple(name for _, name in exprs), rows)
            case m.PartialHashAggregate(group_exprs=groups):
                return count_by(self.run(node.input), names_of(groups), lambda _row: 1)
            case m.FinalHashAggregate(group_exprs=groups):
                return count_by(self.run(node.input), names_of(groups), lambda row: row[-1] or 0)
            case m.Window(exprs=(window,)):
                return windowed(self.run(node.input), names_of(window.partition_by))
            case m.HashJoin():
                return joined(node, self.run(node.left), self.run(node.right))
            case m.UnionAll():
                left, right = self.run(node.left), self.run(node.right)
                return Rows(left.columns, left.rows + right.rows)
            case _:
                raise AssertionError(f"the interpreter does not know {node}")


def names_of(exprs: Iterable[terms.Expr]) -> tuple[str, ...]:
    return tuple(expr.name for expr in exprs if isinstance(expr, terms.Column))


def count_by(below: Rows, groups: tuple[str, ...], weigh: Callable[[Row], int]) -> Rows:
    """count(*) per group; its partial state is the count so far, in the last column."""
    places = [below.place(name) for name in groups]
    counts: Counter[Row] = Counter() if groups else Counter({(): 0})
    for row in below.rows:
        counts[tuple(row[at] for at in places)] += weigh(row)
    return Rows((*groups, "n"), [(*group, count) for group, count in counts.items()])


def windowed(below: Rows, partition_by: tuple[str, ...]) -> Rows:
    """count(*) over (partition by ...)."""
    places = [below.place(name) for name in partition_by]
    counts = Counter(tuple(row[at] for at in places) for row in below.rows)
    rows = [(*row, counts[tuple(row[at] for at in places)]) for row in below.rows]
    return Rows((*below.columns, "w"), rows)


def joined(node: m.HashJoin, left: Rows, right: Rows) -> Rows:
    places = [(left.place(text_of(a)), right.place(text_of(b))) for a, b in node.on]

    def matches(mine: Row, other: Row) -> bool:
        return all(mine[i] is not None and mine[i] == other[j] for i, j in places)

    if node.join_type in {terms.JoinType.SEMI, terms.JoinType.ANTI}:
        wanted = node.join_type is terms.JoinType.SEMI
        kept = [row for row in left.rows if any(matches(row, o) for o in right.rows) is wanted]
        return Rows(left.columns, kept)
    pairs = [(mine, other) for mine in left.rows for other in right.rows if matches(mine, other)]
    rows = [mine + other for mine, other in pairs]
    if node.join_type in {terms.JoinType.LEFT, terms.JoinType.FULL}:
        nulls = (None,) * len(right.columns)
        rows += [row + nulls for row in left.rows if not any(matches(row, o) for o in right.rows)]
    if node.join_type in {terms.JoinType.RIGHT, terms.JoinType.FULL}:
        nulls = (None,) * len(left.columns)
        rows += [nulls + row for row in right.rows if not any(matches(o, row) for o in left.rows)]
    return Rows(left.columns + right.columns, rows)


# --- running a graph as a cluster would ------------------------------------------------------


def run_whole(plan: m.Node) -> Rows:
    return Task(lambda _leaf, table: list(TABLES[table]), None).run(plan)


def run_in_tasks(graph: StageGraph) -> Rows:
    outputs: dict[int, dict[int, Rows]] = {}
    for stage in reversed(graph.stages):
        results = [run_task(stage, task, outputs) for task in range(task_count(stage))]
        together = Rows(results[0].columns, [row for each in results for row in each.rows])
        if stage.output is None:
            return together
        outputs[stage.stage_id] = partitioned(stage.output, stage.output_partitions, together)
    raise AssertionError("a graph without a sink")


def task_count(stage: StagePlan) -> int:
    match stage.parallelism:
        case Parallelism.SINGLE:
            return 1
        case Parallelism.SCAN:
            return SCAN_TASKS
        case Parallelism.HASH:
            return stage.reduce_partitions


def run_task(stage: StagePlan, task: int, outputs: dict[int, dict[int, Rows]]) -> Rows:
    def scan_rows(leaf: int, table: str) -> list[Row]:
        return list(TABLES[table][task::SCAN_TASKS] if stage.scans[leaf].split else TABLES[table])

    def read_rows(leaf: int) -> Rows:
        source = stage.parents[leaf]
        parts = outputs[source.stage_id]
        if not source.whole:
            return parts[task]
        rows = itertools.chain.from_iterable(part.rows for part in parts.values())
        return Rows(parts[0].columns, list(rows))

    return Task(scan_rows, read_rows).run(stage.fragment)


def partitioned(partitioning: m.Partitioning, count: int, result: Rows) -> dict[int, Rows]:
    keys = partitioning.keys if isinstance(partitioning, m.HashPartitioning) else ()
    places = [result.place(text_of(key)) for key in keys]
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in result.rows:
        rows[hash(tuple(row[at] for at in places)) % count if places else 0].append(row)
    return {index: Rows(result.columns, rows[index]) for index in range(count)}


# --- plans that make sense -------------------------------------------------------------------


@st.composite
def relations(draw: st.DrawFn) -> m.Node:
    fresh = (f"c{number}" for number in itertools.count())
    if draw(st.booleans()):
        return draw_relation(draw, fresh, 4).node
    # Whether keys are still known above a join or a projection shows in an aggregate.
    below = draw_join(draw, draw_relation(draw, fresh, 1), draw_relation(draw, fresh, 1))
    if draw(st.booleans()):
        below = permuted(draw, below)
    return draw_aggregate(draw, below, exchange=False).node


def draw_relation(  # noqa: PLR0911
    draw: st.DrawFn, fresh: Iterable[str], depth: int
) -> Relation:
    steps = ["scan"]
    if depth > 0:
        steps += ["filter", "project", "window", "exchange", "exchange", "union"]
        steps += ["aggregate", "join"] * 3
    step = draw(st.sampled_from(steps))
    names = iter(fresh)
    if step == "scan":
        return renamed(scan(draw(st.sampled_from(sorted(TABLES))), ["a", "b"]), names)
    below = draw_relation(draw, names, depth - 1)
    columns = some_columns(below)
    column = often_the_first(columns)
    match step:
        case "filter":
            return below.filter(col(draw(column)) >= draw(st.integers(0, 2)))
        case "project":
            return permuted(draw, below)
        case "aggregate":
            return renamed(draw_aggregate(draw, below, exchange=draw(st.booleans())), names)
        case "window":
            by = tuple(terms.Column(name) for name in draw(st.lists(column, max_size=2)))
            function = terms.WindowFunction("Count", terms.Literal(terms.LiteralType.INT64, 1))
            window = terms.WindowExpr(function, by, (), None, "w")
            return renamed(Relation(m.Window((window,), below.node), (*columns, "w")), names)
        case "exchange":
            return draw_exchange(draw, below)
        case "union":
            other = draw_relation(draw, names, depth - 1)
            width = min(2, len(columns), len(some_columns(other)))
            right = other.project(*some_columns(other)[:width])
            return below.project(*columns[:width]).union_all(right)
        case _:
            return draw_join(draw, below, draw_relation(draw, names, depth - 1))


def some_columns(relation: Relation) -> tuple[str, ...]:
    assert relation.columns is not None
    return relation.columns


def permuted(draw: st.DrawFn, below: Relation) -> Relation:
    """Under the same names, so that a name no longer means what it meant below."""
    columns = some_columns(below)
    kept = draw(st.permutations(columns))
    return below.project(*(col(a).alias(b) for a, b in zip(kept, columns, strict=True)))


def often_the_first(columns: Sequence[str]) -> st.SearchStrategy[str]:
    """So that exchanges, joins and aggregates of one plan often meet on a column."""
    return st.sampled_from([columns[0], columns[0], *columns])


def renamed(relation: Relation, names: Iterable[str]) -> Relation:
    """Under names of its own, so that joins have no column twice."""
    fresh = iter(names)
    return relation.project(*(col(name).alias(next(fresh)) for name in some_columns(relation)))


def draw_exchange(draw: st.DrawFn, below: Relation) -> Relation:
    how = draw(st.sampled_from(["single", "hash", "hash", "broadcast"]))
    if how == "single":
        return below.gather()
    if how == "broadcast":
        return below.broadcast()
    column = often_the_first(some_columns(below))
    keys = draw(st.lists(column, min_size=1, max_size=2, unique=True))
    return below.repartition(keys, partitions=draw(st.sampled_from([3, 3, 2])))


def draw_aggregate(draw: st.DrawFn, below: Relation, *, exchange: bool) -> Relation:
    column = often_the_first(some_columns(below))
    groups = tuple(terms.Column(name) for name in draw(st.lists(column, max_size=2, unique=True)))
    counted = (
        (
            terms.AggregateExpr(
                terms.AggregateFunction.COUNT, terms.Literal(terms.LiteralType.INT64, 1)
            ),
            "n",
        ),
    )
    names = tuple(group.name for group in groups)
    partial = Relation(m.PartialHashAggregate(groups, counted, below.node), (*names, "n"))
    if exchange and names:
        keys = draw(st.sampled_from([names, names[:1]]))
        partial = partial.repartition(keys, partitions=3)
    return Relation(m.FinalHashAggregate(groups, counted, partial.node), (*names, "n"))


def draw_join(draw: st.DrawFn, left: Relation, right: Relation) -> Relation:
    pairs = st.tuples(often_the_first(some_columns(left)), often_the_first(some_columns(right)))
    on = tuple(draw(st.lists(pairs, min_size=1, max_size=2)))
    how = draw(st.sampled_from(terms.JoinType))
    # As sides lie, or exchanged by the join keys, by some of them, or by others.
    keys = draw(st.sampled_from([(), on, on, on[:1], on[::-1]]))
    if keys:
        left = repartitioned(draw, left, [key for key, _ in keys])
        right = repartitioned(draw, right, [key for _, key in keys])
    hint = draw(st.sampled_from(terms.JoinStrategy))
    node = m.HashJoin(left.node, right.node, on, how, hint, terms.BuildSide.RIGHT)
    columns = joined_columns(how, some_columns(left), some_columns(right))
    return Relation(node, columns)


def repartitioned(draw: st.DrawFn, side: Relation, keys: Sequence[str]) -> Relation:
    return side.repartition(
        list(dict.fromkeys(keys)), partitions=draw(st.sampled_from([3, 3, 3, 2]))
    )


def joined_columns(
    how: terms.JoinType, left: Sequence[str], right: Sequence[str]
) -> tuple[str, ...]:
    return tuple(left) if how in {terms.JoinType.SEMI, terms.JoinType.ANTI} else (*left, *right)


@given(relations())
def test_tasks_together_give_what_one_task_gives(plan: m.Node) -> None:
    assert Counter(run_in_tasks(cut(plan)).rows) == Counter(run_whole(plan).rows)
