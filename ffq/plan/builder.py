"""Building physical plans in Python.

    from ffq import plan as p

    big_orders = (
        p.scan("orders", ["o_custkey", "o_totalprice"])
        .filter(p.col("o_totalprice") > 1000)
        .aggregate(["o_custkey"], [p.col("o_totalprice").sum().alias("total")], partitions=8)
        .top_k(p.col("total"), 10)
    )
    plan_bytes = big_orders.to_json()

A `Relation` is immutable: each step gives a new one. It knows its output columns where they can be
known (a scan that names its columns), and then a wrong name is an error where it is written.
Exchanges are put in by the steps that need them: `aggregate`, `join`, `limit` and `top_k`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import attrs

from ffq.errors import InvalidRequest, PlanningError
from ffq.plan import model, terms
from ffq.plan.casts import write_literal_casts
from ffq.plan.checks import check_column, check_expr, check_names, check_positive
from ffq.plan.codec import dump_plan
from ffq.plan.codec.nodes import DEFAULT_PARTITIONS
from ffq.plan.configs import ConfigValue, config_pairs
from ffq.plan.expressions import Aggregation, Expression, col
from ffq.plan.model import HashPartitioning, Node, Partitioning, SinglePartitioning
from ffq.plan.outputs import LEFT_ONLY
from ffq.plan.recent import graph_of
from ffq.plan.stages import Parallelism, cut
from ffq.plan.terms import BuildSide, ColumnName, JoinStrategy, JoinType, Schema, WriteMode
from ffq.plan.writes import written

JoinHow: TypeAlias = Literal["inner", "left", "right", "full", "semi", "anti"]
JoinBy: TypeAlias = Literal["shuffle", "broadcast_left", "broadcast_right"]
WriteHow: TypeAlias = Literal["create", "append", "replace"]
JoinKeys: TypeAlias = str | Sequence[str | tuple[str, str]]
"""One column of both sides, or several; `(left column, right column)` where names differ."""

T = TypeVar("T")

_STRATEGIES: Final = {
    "shuffle": JoinStrategy.SHUFFLE,
    "broadcast_left": JoinStrategy.BROADCAST_LEFT,
    "broadcast_right": JoinStrategy.BROADCAST_RIGHT,
}
# Where the whole side alone may give out rows, each task would give them out again.
_BROADCASTABLE: Final = {
    "broadcast_left": frozenset({JoinType.INNER, JoinType.RIGHT}),
    "broadcast_right": frozenset({JoinType.INNER, JoinType.LEFT, JoinType.SEMI, JoinType.ANTI}),
}


def scan(
    table: str,
    columns: Sequence[str] | None = None,
    *,
    filters: Iterable[Expression] = (),
    schema: Schema | None = None,
) -> Relation:
    """Read a table: the named columns, or all (which then are not known to the builder).

    Args:
        filters: conditions that each row read must meet.
        schema: how to read columns whose Parquet type differs.
    """
    if columns is not None:
        check_names(f"scan of {table!r}", columns)
    conditions = tuple(filters)
    known = None if columns is None else tuple(columns)
    for condition in conditions:
        check_expr(f"filter in scan of {table!r}", condition.expr, known)
    projection = None if known is None else tuple(map(_column_name, known))
    node = model.ParquetScan(table, schema, projection, tuple(each.expr for each in conditions))
    return Relation(node, known)


@attrs.frozen
class Relation:
    """A plan under construction.

    Attributes:
        node: the plan so far.
        columns: its output columns in order; None where the builder cannot know them.
    """

    node: Node
    columns: tuple[str, ...] | None = None

    def filter(self, predicate: Expression) -> Relation:
        """Rows for which the predicate is true."""
        check_expr("filter", predicate.expr, self.columns)
        return self._with(model.Filter(predicate.expr, self.node))

    def project(self, *exprs: str | Expression) -> Relation:
        """Output columns: names, or expressions with `alias` (plain columns keep their names)."""
        pairs = tuple(_named(each) for each in exprs)
        names = tuple(name for _, name in pairs)
        check_names("project", names)
        for expr, _ in pairs:
            check_expr("project", expr, self.columns)
        return Relation(model.Project(pairs, self.node), names)

    def aggregate(
        self,
        group_by: Sequence[str],
        aggregates: Sequence[Aggregation],
        *,
        partitions: int = DEFAULT_PARTITIONS,
    ) -> Relation:
        """Group by plain columns, in two phases: partial, exchange by the groups, final.

        Without group columns: one row, also over no input.

        Args:
            partitions: reduce partitions of the exchange.
        """
        check_positive("aggregate: partitions", partitions)
        if group_by:
            check_names("aggregate: group_by", group_by)
        named = tuple(_named_aggregate(each) for each in aggregates)
        names = (*group_by, *(name for _, name in named))
        check_names("aggregate", names)
        groups = tuple(col(name).expr for name in group_by)
        for expr in (*groups, *(aggregate.argument for aggregate, _ in named)):
            check_expr("aggregate", expr, self.columns)
        partial = model.PartialHashAggregate(groups, named, self.node)
        exchanged = _exchange(partial, HashPartitioning(tuple(group_by), partitions))
        return Relation(model.FinalHashAggregate(groups, named, exchanged), names)

    def join(
        self,
        other: Relation,
        on: JoinKeys,
        how: JoinHow = "inner",
        *,
        strategy: JoinBy = "shuffle",
        partitions: int = DEFAULT_PARTITIONS,
    ) -> Relation:
        """Join on equal keys. Semi and anti joins give out the left columns, others both sides'.

        Args:
            strategy: "shuffle": both sides are exchanged by their keys. "broadcast_right",
                "broadcast_left": every task computes that side whole; for a small side.
            partitions: reduce partitions of the exchanges.
        """
        join_type = _one_of("join: how", how, {each.value.lower(): each for each in JoinType})
        hint = _one_of("join: strategy", strategy, _STRATEGIES)
        check_positive("join: partitions", partitions)
        pairs = _join_keys(on)
        for left_key, right_key in pairs:
            check_column("join, left side", left_key, self.columns)
            check_column("join, right side", right_key, other.columns)
        left, right = self.node, other.node
        if strategy == "shuffle":
            left = _exchange(left, HashPartitioning(tuple(key for key, _ in pairs), partitions))
            right = _exchange(right, HashPartitioning(tuple(key for _, key in pairs), partitions))
        elif join_type not in _BROADCASTABLE[strategy]:
            raise InvalidRequest(
                f"join: a {how} join cannot be {strategy}: rows of that side without a match "
                "would come out once per task; use strategy='shuffle' or the other side"
            )
        elif strategy == "broadcast_left":
            left = model.Broadcast(left)
        else:
            right = model.Broadcast(right)
        side = BuildSide.LEFT if strategy == "broadcast_left" else BuildSide.RIGHT
        node = model.HashJoin(left, right, pairs, join_type, hint, side)
        return Relation(node, _joined_columns(self.columns, other.columns, join_type))

    def limit(self, n: int) -> Relation:
        """Any n rows."""
        check_positive("limit", n, minimum=0)
        return self._with(model.Limit(n, self.gather().node))

    def top_k(self, score: Expression, k: int) -> Relation:
        """The k rows of largest score, largest first. Which of equal scores is not said."""
        check_positive("top_k: k", k, minimum=0)
        check_expr("top_k", score.expr, self.columns)
        return self._with(model.TopKByScore(score.expr, k, self.gather().node))

    def union_all(self, other: Relation) -> Relation:
        """Rows of both, columns matched by position and named by this side."""
        mine, others = self.columns, other.columns
        if mine is not None and others is not None and len(mine) != len(others):
            raise PlanningError(
                f"union_all: {len(mine)} columns ({', '.join(mine)}) on the left, "
                f"{len(others)} ({', '.join(others)}) on the right; both sides need the same"
            )
        return self._with(model.UnionAll(self.node, other.node))

    def custom(
        self,
        name: str,
        config: Mapping[str, str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        whole: bool = False,
    ) -> Relation:
        """Run a custom operator: on each task's share of the rows, or on all rows at once.

        Args:
            name: as registered with `@ffq.operator(name)`.
            columns: its output columns, where the builder shall check names after it.
            whole: True: one task sees all rows.
        """
        pairs = tuple(sorted((config or {}).items()))
        for key, value in pairs:
            if not isinstance(value, str):
                raise InvalidRequest(f"custom {name!r}: config {key!r} is {value!r}, not a str")
        if columns is not None:
            check_names(f"custom {name!r}", columns)
        below = self.gather() if whole else self
        node = model.Custom(name, pairs, below.node)
        return Relation(node, None if columns is None else tuple(columns))

    def map_batches(
        self,
        name: str,
        /,
        *,
        columns: Sequence[str] | None = None,
        whole: bool = False,
        **config: ConfigValue,
    ) -> Relation:
        """As `custom`, with config of the types that the operator's parameters have.

        Raises:
            InvalidRequest: a value that is no text, number, bool, None, or list or dict of these.
        """
        texts = dict(config_pairs(name, config))
        return self.custom(name, texts, columns=columns, whole=whole)

    def gather(self) -> Relation:
        """All rows in one task, through a Single exchange; the same relation if they are so."""
        sink = cut(self.node).stages[0]
        if sink.parallelism is Parallelism.SINGLE:
            return self
        return self._with(_exchange(self.node, SinglePartitioning()))

    def repartition(self, keys: Sequence[str], *, partitions: int = DEFAULT_PARTITIONS) -> Relation:
        """Rows that are equal in `keys` in one task, through a hash exchange."""
        check_positive("repartition: partitions", partitions)
        check_names("repartition", keys)
        names = tuple(map(_column_name, keys))
        for name in names:
            check_column("repartition", name, self.columns)
        return self._with(_exchange(self.node, HashPartitioning(names, partitions)))

    def broadcast(self) -> Relation:
        """Whole in every task that reads it."""
        return self._with(model.Broadcast(self.node))

    def coalesce(self, target_batch_rows: int) -> Relation:
        """Batches of about this many rows; the rows stay the same."""
        check_positive("coalesce: target_batch_rows", target_batch_rows)
        return self._with(model.CoalesceBatches(target_batch_rows, self.node))

    def pipe(self, step: Callable[[Relation], T]) -> T:
        """`step(self)`, for steps of your own in a chain."""
        return step(self)

    def write_parquet(
        self,
        path: str,
        *,
        partition_by: Sequence[str] = (),
        mode: WriteHow = "create",
        options: Mapping[str, str] | None = None,
    ) -> Relation:
        """Write the rows to files, by the workers; the result is their number, as column Count.

        All files become visible at once, when the query succeeds (docs/writing.md).

        Args:
            path: absolute, on a file system that all workers share, or the URI of a store
                (`s3://...`). With a suffix (`.parquet`) and no `partition_by` it is one file, else
                a folder.
            partition_by: columns that become folders `name=value`.
            mode: "create": nothing may be there. "append": to a folder. "replace": what is there.
            options: of the format: compression, compression_level, row_group_size (rows).

        Raises:
            InvalidRequest: a path that is not absolute, or a mode that is not known.
        """
        how = _one_of("write_parquet: mode", mode, {each.value.lower(): each for each in WriteMode})
        if not path.startswith("/") and "://" not in path:
            raise InvalidRequest(f"write_parquet: {path!r}: right would be an absolute path")
        for name in partition_by:
            check_column("write_parquet: partition_by", name, self.columns)
        single_file = path.endswith(".parquet") and not partition_by
        if single_file and how is WriteMode.APPEND:
            raise InvalidRequest(f"write_parquet: {path!r} is one file; append adds to a folder")
        target = terms.WriteTarget(path, how, single_file)
        pairs = tuple(sorted((options or {}).items()))
        parquet = terms.FileFormat.PARQUET
        node = written(self.node, target, parquet, tuple(partition_by), pairs)
        return Relation(node, ("Count",))

    def to_json(self) -> bytes:
        """The plan's JSON, checked as a coordinator checks it.

        An integer literal beside a float of a scan that says its `schema` is cast to that float,
        as some engines expect (`ffq.plan.casts`).

        Raises:
            InvalidPlan: a value out of the bounds of a plan.
            PlanningError: exchanges that do not pair up.
        """
        data = dump_plan(self.node)
        return write_literal_casts(data, graph_of(data).stages[0].fragment)

    def _with(self, node: Node) -> Relation:
        return Relation(node, self.columns)


def _exchange(node: Node, partitioning: Partitioning) -> Node:
    return model.ShuffleRead(model.ShuffleWrite(node, partitioning), partitioning)


def _named(each: str | Expression) -> tuple[terms.Expr, str]:
    expression = col(each) if isinstance(each, str) else each
    if expression.output_name is None:
        raise InvalidRequest(f"project: {expression.expr} needs a name: add .alias(...)")
    return expression.expr, expression.output_name


def _named_aggregate(each: Aggregation) -> tuple[terms.AggregateExpr, str]:
    if each.output_name is None:
        raise InvalidRequest(f"aggregate: {each.aggregate} needs a name: add .alias(...)")
    return each.aggregate, each.output_name


def _one_of(what: str, given: str, known: Mapping[str, T]) -> T:
    if given not in known:
        raise InvalidRequest(f"{what}: unknown {given!r}; known: {', '.join(known)}")
    return known[given]


def _join_keys(on: JoinKeys) -> tuple[tuple[ColumnName, ColumnName], ...]:
    keys = (on,) if isinstance(on, str) else tuple(on)
    if not keys:
        raise InvalidRequest("join: 'on' is empty; name at least one pair of columns")
    pairs = ((key, key) if isinstance(key, str) else (key[0], key[1]) for key in keys)
    return tuple((_column_name(left), _column_name(right)) for left, right in pairs)


def _column_name(name: str) -> ColumnName:
    """What `col` means by it."""
    return terms.ColumnPath(name) if "." in name else name


def _joined_columns(
    left: tuple[str, ...] | None, right: tuple[str, ...] | None, join_type: JoinType
) -> tuple[str, ...] | None:
    if join_type in LEFT_ONLY or left is None:
        return left
    if right is None:
        return None
    check_names("join (rename with project first)", (*left, *right))
    return (*left, *right)
