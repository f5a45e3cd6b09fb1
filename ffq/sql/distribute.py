"""From the engine's plan to a plan of ours: stages, exchanges, and who reads what whole.

Every node below the last one calls its columns c0, c1, ...: what SQL calls them is planned away.
Rows are exchanged by the columns that a group or a join goes by, a small side is read whole by
every task, and what needs all rows in one place gets them over a Single exchange.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from math import ceil
from typing import Final, TypeAlias

import attrs

from ffq.errors import UnsupportedPlan
from ffq.messages import MAX_SQL_PARTITIONS, NO_CLUSTER, ClusterSize
from ffq.plan.bound import Place
from ffq.plan.model import CteRef, Node, Project, Recursion, RecursionRef, UnionAll
from ffq.plan.terms import Bound
from ffq.sql import below, fetched, groups, joins, late, leaves, orders, partners
from ffq.sql.defined import Asked
from ffq.sql.exchanges import PARTITION_BYTES, Exchanges, TableEstimate
from ffq.sql.pieces import Rows, filtered, mapped, projected
from ffq.sql.planning import Planned
from ffq.sql.serialized import ExpressionReader, Json, read_type, refuse, volatile_call

_CORRELATED: Final = "__duckdb_delim"
"""What the planner calls a WITH of its own, of rows that a correlated subquery is over."""
_PARTITIONS: Final = 8
"""Of an exchange, where no worker is there yet."""
_Step: TypeAlias = Callable[[Json, Sequence[Rows], Exchanges], Rows]
"""Makes a node's rows of its inputs'."""


def distribute(
    planned: Planned,
    volatile: Mapping[str, Json] | None = None,
    *,
    partitions: int,
    estimates: Mapping[str, TableEstimate] | None = None,
    choices: list[str] | None = None,
    inline: Set[str] = frozenset(),
    cluster: ClusterSize = NO_CLUSTER,
    reads_later: bool = True,
) -> Node:
    """A plan of ours, whose columns are those of the query.

    Args:
        volatile: tables whose rows are made with a function that gives another value each time:
            a call of it, by the table's name.
        partitions: how many an exchange has; 0: one for each slot of the cluster, and more where
            these would be large by estimate.
        estimates: what tables hold, by name: a small side of a join is read whole by every task.
            Where nothing is known, both sides are exchanged.
        choices: takes a line for each join, of what was chosen and why.
        inline: names of the tables whose rows are in the plan: they are whole in every task.
        cluster: what is to run the plan, as far as that is known.
        reads_later: columns may be read when it is known for which rows.

    Raises:
        UnsupportedPlan: names what is not distributed, and where in the query it stands.
    """
    reads = _reads_of_ctes(planned.plan)

    def rows_over(count: int, together: Set[Asked] = frozenset()) -> tuple[Rows, Exchanges]:
        exchanges = Exchanges(count, estimates or {}, inline=inline, cluster=cluster)
        exchanges.defined.together = together
        exchanges.reads_later = reads_later
        try:
            return _Distributor(exchanges, reads, volatile or {}).visit(planned.plan), exchanges
        except RecursionError:
            raise UnsupportedPlan("SQL: the query nests deeper than a plan may") from None

    rows, exchanges = rows_over(partitions or cluster.slots or _PARTITIONS)
    # As many for each slot: where some had one more, the others would wait for them.
    rounds = max(1, ceil(exchanges.most_bytes / PARTITION_BYTES / exchanges.partitions))
    together = exchanges.defined.wanted()
    if (not partitions and rounds > 1) or together:
        count = partitions or min(rounds * exchanges.partitions, MAX_SQL_PARTITIONS)
        rows, exchanges = rows_over(count, together)
    if choices is not None:
        choices += exchanges.choices
    names = planned.names
    if len(names) != rows.width:
        raise UnsupportedPlan(f"SQL: {len(names)} columns are described, {rows.width} planned")
    return Project(tuple((Bound(Place(at)), name) for at, name in enumerate(names)), rows.node)


class _Distributor:
    def __init__(
        self, exchanges: Exchanges, reads: Mapping[int, int], tables: Mapping[str, Json]
    ) -> None:
        """
        Args:
            reads: how often what a WITH defines stands in the plan, by its number.
            tables: those that are volatile.
        """
        self._exchanges = exchanges
        self._reads = reads
        self._repeats = any(count > 1 for count in reads.values())
        self._tables = tables
        self._ctes: dict[int, Rows] = {}
        self._volatile: dict[int, Json] = {}

    def visit(self, found: Json) -> Rows:
        kind = found["type"]
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, found)
        step = _STEPS.get(kind)
        if step is None:
            refuse(kind.removeprefix("LOGICAL_").replace("_", " "), found)
        asked = partners.partners_of(found)
        inputs = [
            self._partners(child) if at == asked else self.visit(child)
            for at, child in enumerate(found.get("children", []))
        ]
        return step(found, inputs, self._exchanges)

    def _partners(self, found: Json) -> Rows:
        """Rows that a join asks for partners, and for nothing else."""
        alike = partners.with_alike(found)
        rows = self.visit(alike)
        return rows if alike is found else attrs.evolve(rows, doubled=True)

    def _filter(self, found: Json) -> Rows:
        (child,) = found["children"]
        if child.get("join_type") != "MARK":
            return _filtered(found, self.visit(child))
        left, right = child["children"]
        inputs = [self.visit(left), self._partners(right)]
        width = len(child.get("left_projection_map") or range(inputs[0].width))
        semi = partners.as_semi(found, child, width)
        if semi is None:
            return _filtered(found, joins.join(child, inputs, self._exchanges))
        rows = joins.join(semi.join, inputs, self._exchanges)
        return _filtered(semi.filter, partners.marked(rows))

    def _aggregate(self, found: Json) -> Rows:
        (child,) = found["children"]
        if child["type"] != "LOGICAL_COMPARISON_JOIN" or partners.partners_of(child) is not None:
            return groups.aggregate(found, [self.visit(child)], self._exchanges)
        left, right = (late.tree_of(each, self.visit) for each in child["children"])
        joined = late.joined_late(late.Joined(child, left, right), self._exchanges)
        if joined is None:
            inputs = [late.as_planned(each, self._exchanges) for each in (left, right)]
            rows = below.aggregate(found, child, inputs, self._exchanges)
            if rows is not None:
                return rows
            joined = joins.join(child, inputs, self._exchanges)
        return groups.aggregate(found, [joined], self._exchanges)

    def _top_n(self, found: Json) -> Rows:
        """Of the first rows some columns may be read when it is known which rows those are."""
        (child,) = found["children"]
        is_made = child["type"] == "LOGICAL_PROJECTION"
        below = child["children"][0] if is_made else child
        noted = fetched.Noted.of(self._exchanges)
        rows = self.visit(below)
        made = _projection(child, [rows], self._exchanges) if is_made else rows
        top = fetched.Top.of(found, child if is_made else None, rows, made)
        later = fetched.fetched(top, lambda: self.visit(below), self._exchanges, noted)
        return later or orders.top_n(found, [made], self._exchanges)

    def _cte(self, found: Json) -> Rows:
        definition, body = found["children"]
        index = found.get("table_index", 0)
        call = volatile_call(definition, self._tables, self._volatile)
        if call is not None:
            self._volatile[index] = call
            if self._reads.get(index, 0) > 1:
                delim = str(found.get("ctename", "")).startswith(_CORRELATED)
                where = "rows that a correlated subquery reads" if delim else "a WITH that is read"
                refuse(
                    f"{call['qname']['path'][-1]}() in {where} {self._reads[index]} times, and "
                    "would be computed anew each time; right would be a table that a COPY has "
                    "written",
                    call,
                )
        before, self._exchanges.repeats = self._exchanges.repeats, self._repeats
        self._ctes[index] = self.visit(definition)
        self._exchanges.repeats = before
        return self.visit(body)

    def _cte_ref(self, found: Json) -> Rows:
        index = found.get("cte_index", 0)
        rows = self._ctes.get(index)
        if rows is None or found.get("is_recurring"):
            refuse("a recursive query that refers to all of its rows", found)
        own = found.get("table_index", 0)
        bindings = tuple((own, at) for at in range(rows.width))
        if isinstance(rows.node, RecursionRef):
            return attrs.evolve(rows, bindings=bindings)
        if self._exchanges.whole and (rows.split or index in self._volatile):
            rows = self._exchanges.once(rows)
        node = CteRef(f"cte{index}", rows.node)
        rows = attrs.evolve(rows, node=node, bindings=bindings, shared=self._repeats)
        self._exchanges.defined.add(rows)
        return rows

    def _distinct(self, found: Json) -> Rows:
        return groups.distinct(found, [self.visit(groups.by_collations(found))], self._exchanges)

    def _recursion(self, found: Json) -> Rows:
        """Both terms in one task: what tables the second one reads is gathered there."""
        if found.get("key_targets") or found.get("ref_recurring"):
            refuse("a recursive query USING KEY", found)
        first, step = found["children"]
        index, width = found.get("table_index", 0), found["column_count"]
        types = tuple(map(read_type, found["internal_types"]))
        start = self._exchanges.gather(self.visit(first))
        outer, self._exchanges.whole = self._exchanges.whole, True
        self._ctes[index] = Rows(RecursionRef(index, types), width, split=False)
        again = self.visit(step)
        self._exchanges.whole = outer
        all_rows = bool(found.get("union_all"))
        node = Recursion(index, types, all_rows, start.node, again.node)
        return Rows(node, width, split=False)


def _filtered(found: Json, below: Rows) -> Rows:
    conditions = ExpressionReader(below.width, below.bindings).all(found.get("expressions", []))
    kept = filtered(below.node, conditions)
    return mapped(attrs.evolve(below, node=kept), found.get("projection_map"))


def _projection(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    del exchanges
    (below,) = inputs
    rows = projected(below, ExpressionReader(below.width, below.bindings).all(found["expressions"]))
    own = found.get("table_index", 0)
    return attrs.evolve(rows, bindings=tuple((own, at) for at in range(rows.width)))


def _union(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    """Rows of several inputs; where they lie unlike, in one task."""
    if not found.get("setop_all", True):
        refuse("a UNION that is not ALL", found)
    split = any(rows.split for rows in inputs)
    alike = exchanges.alike(inputs)
    node = alike[0].node
    for each in alike[1:]:
        node = UnionAll(node, each.node)
    return Rows(
        node,
        found["column_count"],
        split,
        order=None if split else (),
        count=_together(rows.count for rows in inputs),
        most=_together(rows.most for rows in inputs),
        base=_together(rows.base for rows in inputs),
        widths=tuple(
            max(rows.bytes_of(Place(at)) for rows in inputs) for at in range(found["column_count"])
        ),
    )


def _together(counts: Iterable[float | None]) -> float | None:
    """None: one of them is not known."""
    total = 0.0
    for each in counts:
        if each is None:
            return None
        total += each
    return total


_STEPS: Final[Mapping[str, _Step]] = {
    "LOGICAL_GET": leaves.get,
    "LOGICAL_PROJECTION": _projection,
    "LOGICAL_COMPARISON_JOIN": joins.join,
    "LOGICAL_ANY_JOIN": joins.join,
    "LOGICAL_ASOF_JOIN": joins.join,
    "LOGICAL_CROSS_PRODUCT": joins.join,
    "LOGICAL_POSITIONAL_JOIN": joins.positional,
    "LOGICAL_UNION": _union,
    "LOGICAL_EXCEPT": groups.set_operation,
    "LOGICAL_INTERSECT": groups.set_operation,
    "LOGICAL_UNNEST": leaves.unnest,
    "LOGICAL_DUMMY_SCAN": leaves.dummy,
    "LOGICAL_EMPTY_RESULT": leaves.empty,
    "LOGICAL_EXPRESSION_GET": leaves.expressions,
    "LOGICAL_CHUNK_GET": leaves.chunk,
    "LOGICAL_WINDOW": groups.window,
    "LOGICAL_ORDER_BY": orders.order,
    "LOGICAL_LIMIT": orders.limit,
    "LOGICAL_SAMPLE": orders.sample,
}


def _reads_of_ctes(plan: Json) -> Mapping[int, int]:
    return Counter(
        node.get("cte_index", 0) for node in _nodes(plan) if node["type"] == "LOGICAL_CTE_REF"
    )


def _nodes(plan: Json) -> Iterator[Json]:
    pending = [plan]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.get("children", []))


_SPECIAL: Final[Mapping[str, Callable[[_Distributor, Json], Rows]]] = {
    "LOGICAL_MATERIALIZED_CTE": _Distributor._cte,
    "LOGICAL_CTE_REF": _Distributor._cte_ref,
    "LOGICAL_RECURSIVE_CTE": _Distributor._recursion,
    "LOGICAL_FILTER": _Distributor._filter,
    "LOGICAL_AGGREGATE_AND_GROUP_BY": _Distributor._aggregate,
    "LOGICAL_DISTINCT": _Distributor._distinct,
    "LOGICAL_TOP_N": _Distributor._top_n,
}
READ_NODES: Final = _STEPS.keys() | _SPECIAL.keys()
"""Kinds of nodes that are read, as the engine names them."""
