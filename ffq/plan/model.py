"""The physical plan as frozen values: its nodes.

Pure data. `ffq.plan.terms` has what stands inside of nodes, `ffq.plan.codec` reads and writes the
JSON, `ffq.plan.stages` cuts a plan into stages, `ffq.engine` runs a stage's fragment. Names are
those of the wire, so that an error can quote them.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    BoundKey,
    BoundWindow,
    Constant,
    Match,
    Phase,
    SqlType,
)
from ffq.plan.inline import InlineTable
from ffq.plan.terms import (
    AggregateExpr,
    BinaryOperator,
    BuildSide,
    ColumnName,
    Expr,
    FileFormat,
    JoinStrategy,
    JoinType,
    Schema,
    WindowExpr,
    WriteTarget,
)


@attrs.frozen
class HashPartitioning:
    """By hash of the named keys; no keys means that every row goes to one reduce task."""

    keys: tuple[ColumnName, ...]
    partitions: int


@attrs.frozen
class KeyedPartitioning(HashPartitioning):
    """By hash of the keys; and each task writes its distinct keys alone into one partition more.

    keys_bytes: where these have at most so many bytes, the stage that is joined with the rows may
    read them, to leave out rows with other keys before it exchanges them.
    """

    keys_bytes: int


@attrs.frozen
class SinglePartitioning:
    """Everything to reduce partition 0."""


Partitioning: TypeAlias = HashPartitioning | SinglePartitioning


@attrs.frozen
class ParquetScan:
    table: str
    schema: Schema | None
    projection: tuple[ColumnName, ...] | None
    filters: tuple[Expr, ...]


@attrs.frozen
class NumberedScan(ParquetScan):
    """As ParquetScan, and behind its columns one that says which row of which file it is: by that a
    FetchedRows finds it again."""


@attrs.frozen
class FetchedRows:
    """The input's rows, in their order, and beside each the columns of the row of a table that it
    names, which are read for these rows alone; nulls where it names none.

    at: the input's column that a NumberedScan of the same table made. At most MAX_FETCHED rows.
    """

    input: Node
    scan: ParquetScan
    at: int


MAX_FETCHED: Final = 10_000
"""Rows that a FetchedRows takes: they are in memory, and each may lie in a row group of its own."""


@attrs.frozen
class ParquetWrite:
    table: str
    input: Node


@attrs.frozen
class Filter:
    predicate: Expr
    input: Node


@attrs.frozen
class InSubqueryFilter:
    input: Node
    expr: Expr
    subquery: Node
    negated: bool


@attrs.frozen
class ExistsSubqueryFilter:
    input: Node
    subquery: Node
    negated: bool


@attrs.frozen
class ScalarSubqueryFilter:
    input: Node
    expr: Expr
    op: BinaryOperator
    subquery: Node


@attrs.frozen
class Project:
    exprs: tuple[tuple[Expr, str], ...]
    input: Node


@attrs.frozen
class Window:
    exprs: tuple[WindowExpr, ...]
    input: Node


@attrs.frozen
class CoalesceBatches:
    target_batch_rows: int
    input: Node


@attrs.frozen
class PartialHashAggregate:
    group_exprs: tuple[Expr, ...]
    aggr_exprs: tuple[tuple[AggregateExpr, str], ...]
    input: Node


@attrs.frozen
class FinalHashAggregate:
    group_exprs: tuple[Expr, ...]
    aggr_exprs: tuple[tuple[AggregateExpr, str], ...]
    input: Node


@attrs.frozen
class HashJoin:
    left: Node
    right: Node
    on: tuple[tuple[ColumnName, ColumnName], ...]
    join_type: JoinType
    strategy_hint: JoinStrategy
    build_side: BuildSide


@attrs.frozen
class ShuffleWrite:
    """Exchange ShuffleWrite."""

    input: Node
    partitioning: Partitioning


@attrs.frozen
class ShuffleRead:
    """Exchange ShuffleRead: the plan is cut here; `input` is another stage."""

    input: Node
    partitioning: Partitioning


@attrs.frozen
class AdaptiveGather(ShuffleRead):
    """A ShuffleRead of a Single exchange that may be left out.

    in_place_bytes: where the stage below reads at most so many from other stages, its rows are
    made where they are read.
    """

    in_place_bytes: int


@attrs.frozen
class SharedRead(ShuffleRead):
    """A ShuffleRead of a stage that others read as well: those of the same number, which are equal
    to this one."""

    number: int


@attrs.frozen
class KeysRead(ShuffleRead):
    """All distinct keys that a stage exchanges by a KeyedPartitioning, some of them several times.

    It stands in no plan that is written: stages get it that such keys reduce. `input` has the
    keys alone.
    """


@attrs.frozen
class Broadcast:
    """Exchange Broadcast: not a cut; every task of the stage computes its input whole."""

    input: Node


@attrs.frozen
class Limit:
    n: int
    input: Node


@attrs.frozen
class TopKByScore:
    """The k rows of largest score, largest first."""

    score_expr: Expr
    k: int
    input: Node


@attrs.frozen
class UnionAll:
    left: Node
    right: Node


@attrs.frozen
class CteRef:
    name: str
    plan: Node


@attrs.frozen
class VectorTopK:
    table: str
    query_vector: tuple[float, ...]
    k: int
    filter: str | None


@attrs.frozen
class VectorKnn:
    source: str
    query_vectors: tuple[tuple[float, ...], ...]
    k: int
    ef_search: int | None
    prefilter: str | None
    metric: str | None
    provider: str | None


@attrs.frozen
class Custom:
    """A user's operator; `config` as sorted (key, value) pairs."""

    op_name: str
    config: tuple[tuple[str, str], ...]
    input: Node


@attrs.frozen
class Sort:
    """All rows in an order; of these `limit` (None: all) after the first `offset`.

    partial: each task sorts its own, so that fewer rows go on.
    """

    keys: tuple[BoundKey, ...]
    limit: int | None
    offset: int
    partial: bool
    input: Node


@attrs.frozen
class Aggregate:
    """One row for each group, of all its rows: groups first, then aggregates.

    sets: GROUPING SETS, as positions of groups; none: one of all. groupings: what GROUPING says of
    which groups, last among the columns. MERGED: the input has the groups, then the states.
    """

    groups: tuple[BoundExpr, ...]
    aggregates: tuple[BoundAggregate, ...]
    input: Node
    sets: tuple[tuple[int, ...], ...] = ()
    groupings: tuple[tuple[int, ...], ...] = ()
    phase: Phase = Phase.WHOLE


@attrs.frozen
class Join:
    """Left columns, then right ones; of SEMI, ANTI and MARK the left ones only, and the mark.

    condition: over the columns of both. keys: what rows of both sides lie by, in the same tasks.
    """

    left: Node
    right: Node
    match: Match
    condition: BoundExpr | None
    keys: tuple[tuple[str, str], ...]


@attrs.frozen
class AdaptiveJoin(Join):
    """A Join of two exchanges, of which the left one may be left out.

    broadcast_bytes: where the right stage has given out at most so many, the left rows are joined
    where they are made, and each of their tasks reads the right side whole. Where it has given out
    more, is exchanged by a KeyedPartitioning, and its keys are few, left rows with other keys are
    left out where they are made: each of their tasks reads the keys.
    """

    broadcast_bytes: int


@attrs.frozen
class ReducedJoin(Join):
    """A Join of two exchanges that makes nothing of right rows without a partner on the left.

    Both exchanges are of a Project that gives out the keys by their names.

    broadcast_bytes: where the left stage has given out at most so many, right rows whose keys none
    of its rows has are left out where they are made: each of their tasks reads the left side whole.
    """

    broadcast_bytes: int


@attrs.frozen
class RangeJoin(Join):
    """A Join of which one side is shared out, and the other one read where it may meet a share.

    keys: one column of each side, which must be equal for rows to match. right_leads: the right
    side is shared out, of an inner join; else the left one.
    """

    right_leads: bool


@attrs.frozen
class Values:
    """Rows that the query itself says; one without columns where it says none."""

    types: tuple[SqlType, ...]
    rows: tuple[tuple[BoundExpr, ...], ...]


class SetKind(enum.Enum):
    EXCEPT = "Except"
    INTERSECT = "Intersect"


@attrs.frozen
class SetOperation:
    """EXCEPT ALL or INTERSECT ALL of rows that lie by all their columns."""

    kind: SetKind
    left: Node
    right: Node


@attrs.frozen
class Unnest:
    """The input's columns, then one for each list: a row for each place in the longest of them."""

    lists: tuple[BoundExpr, ...]
    types: tuple[SqlType, ...]
    input: Node


@attrs.frozen
class RowsOf:
    """The input's columns, then those of a function that gives rows: json_each or json_tree of each
    row's arguments. A row for each of them."""

    function: str
    args: tuple[BoundExpr, ...]
    types: tuple[SqlType, ...]
    input: Node


@attrs.frozen
class Series:
    """One column: what `function`, range or generate_series, makes of constants."""

    function: str
    args: tuple[Constant, ...]
    type: SqlType


@attrs.frozen
class OverWindows:
    """The input's columns, then one for each window.

    partial: each task over its own rows, so that fewer of them go on.
    """

    windows: tuple[BoundWindow, ...]
    input: Node
    partial: bool = False


@attrs.frozen
class WithTables:
    """The root alone: `input`, whose scans find these tables before any of a catalog.

    tables: definitions as a catalog file has them, each a JSON object in its canonical text.
    inline: tables with their rows, which Inline nodes give out. They stand here once, however often
    they are read.
    """

    tables: tuple[str, ...]
    input: Node
    inline: tuple[InlineTable, ...] = ()


@attrs.frozen
class Inline:
    """The rows of an inline table, whole in each task: columns by name, and as which types."""

    table: str
    columns: tuple[tuple[str, SqlType], ...]


@attrs.frozen
class Recursion:
    """Rows of `start`, then of `step` over those of the round before, until it gives none.

    all_rows: UNION ALL; if not, only rows that have not been given out. number: by which the step's
    RecursionRefs name it.
    """

    number: int
    types: tuple[SqlType, ...]
    all_rows: bool
    start: Node
    step: Node


@attrs.frozen
class RecursionRef:
    """Within a Recursion's step: the rows of the round before."""

    number: int
    types: tuple[SqlType, ...]


@attrs.frozen
class Write:
    """Its task's rows into files, which nobody sees yet; gives out a row for each file.

    partition_by: columns that become folders `name=value`. options: of the format.
    """

    target: WriteTarget
    format: FileFormat
    partition_by: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    input: Node


@attrs.frozen
class Commit:
    """Makes the files that its input names visible, all at once; gives out how many rows."""

    target: WriteTarget
    input: Node


Node: TypeAlias = (
    Sort
    | Aggregate
    | Join
    | AdaptiveJoin
    | AdaptiveGather
    | SharedRead
    | ReducedJoin
    | RangeJoin
    | Values
    | OverWindows
    | SetOperation
    | Series
    | Unnest
    | RowsOf
    | WithTables
    | Inline
    | Recursion
    | RecursionRef
    | Write
    | Commit
    | NumberedScan
    | FetchedRows
    | ParquetScan
    | ParquetWrite
    | Filter
    | InSubqueryFilter
    | ExistsSubqueryFilter
    | ScalarSubqueryFilter
    | Project
    | Window
    | CoalesceBatches
    | PartialHashAggregate
    | FinalHashAggregate
    | HashJoin
    | ShuffleWrite
    | ShuffleRead
    | Broadcast
    | Limit
    | TopKByScore
    | UnionAll
    | CteRef
    | VectorTopK
    | VectorKnn
    | Custom
)

OWN_NODES: Final = (
    Sort,
    Aggregate,
    Join,
    AdaptiveJoin,
    AdaptiveGather,
    SharedRead,
    ReducedJoin,
    RangeJoin,
    Values,
    OverWindows,
    SetOperation,
    Series,
    Unnest,
    RowsOf,
    WithTables,
    Inline,
    Recursion,
    RecursionRef,
    Write,
    Commit,
    NumberedScan,
    FetchedRows,
)
"""Nodes that other implementations of FFQ do not know."""
