"""From the engine's plan to a plan of ours: stages, exchanges, and who reads what whole.

Every node below the last one calls its columns c0, c1, ...: what SQL calls them is planned away.
Rows are exchanged by the columns that a group or a join goes by, a small side is read whole by
every task, and what needs all rows in one place gets them over a Single exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from ffq.errors import UnsupportedPlan
from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    Call,
    Match,
    Phase,
    Place,
)
from ffq.plan.model import (
    Aggregate,
    Broadcast,
    CteRef,
    HashPartitioning,
    Join,
    Node,
    OverWindows,
    ParquetScan,
    Partitioning,
    Project,
    Series,
    SetKind,
    SetOperation,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
    Sort,
    UnionAll,
    Unnest,
    Values,
)
from ffq.plan.terms import Bound
from ffq.sql.pieces import (
    NOTHING,
    Rows,
    all_of,
    filtered,
    mapped,
    moved_to,
    part_of,
    project,
    shifted,
    swapped,
    table_filter,
    widened,
)
from ffq.sql.planning import Planned
from ffq.sql.serialized import (
    BOOLEAN,
    COMPARISONS,
    ExpressionReader,
    Json,
    read_constant,
    read_type,
    refuse,
)

_NO_COLUMN: Final = 2**60
"""From here on an index is none of a column: a placeholder of what only counts rows."""
_JOINS: Final = {
    "INNER": Match.INNER,
    "LEFT": Match.LEFT,
    "RIGHT": Match.RIGHT,
    "OUTER": Match.FULL,
    "FULL": Match.FULL,
    "SEMI": Match.SEMI,
    "ANTI": Match.ANTI,
    "MARK": Match.MARK,
    "SINGLE": Match.SINGLE,
}
_ASOF: Final = {"INNER": Match.ASOF, "LEFT": Match.ASOF_LEFT}
_SAME: Final = frozenset({"COMPARE_EQUAL", "COMPARE_NOT_DISTINCT_FROM"})
"""Comparisons by which rows that match hash alike; so do nulls."""
_FLIPPED: Final = {"RIGHT_SEMI": "SEMI", "RIGHT_ANTI": "ANTI"}


def distribute(planned: Planned, *, partitions: int) -> Node:
    """A plan of ours, whose columns are those of the query.

    Args:
        partitions: how many an exchange has.

    Raises:
        UnsupportedPlan: names what is not distributed.
    """
    rows = _Distributor(partitions).visit(planned.plan)
    names = planned.names
    if len(names) != rows.width:
        raise UnsupportedPlan(f"SQL: {len(names)} columns are described, {rows.width} planned")
    return Project(tuple((Bound(Place(at)), name) for at, name in enumerate(names)), rows.node)


class _Distributor:
    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._ctes: dict[int, Rows] = {}

    def visit(self, found: Json) -> Rows:
        kind = found["type"]
        visit = self._VISITORS.get(kind)
        if visit is None:
            refuse(kind.removeprefix("LOGICAL_").replace("_", " "), found)
        return visit(self, found)

    def _input(self, found: Json) -> Rows:
        (child,) = found["children"]
        return self.visit(child)

    # --- rows of one place -------------------------------------------------------------------

    def _series(self, found: Json, function: str) -> Rows:
        if found.get("children") or found.get("table_filters", {}).get("filters"):
            refuse(f"the table function {function} over rows", found)
        args = tuple(read_constant(each) for each in found.get("parameters", []))
        series = Series(function, args, read_type(found["returned_types"][0]))
        places = [Place(0) for _ in found.get("column_indexes", [{}])]
        return Rows(project(series, places), len(places), split=False)

    def _get(self, found: Json) -> Rows:
        function = found["qname"]["path"][-1]
        if function in {"range", "generate_series"}:
            return self._series(found, function)
        if function != "seq_scan":
            refuse(f"the table function {function}", found)
        names = found.get("names", [])
        indexes = [each.get("index", 0) for each in found.get("column_indexes", [{}])]
        read = [names[at] if at < _NO_COLUMN else None for at in indexes]
        table = found["function_data"]["table"]
        projection = tuple(dict.fromkeys(name for name in read if name is not None))
        places = {name: Place(at) for at, name in enumerate(projection)}
        rows: Node = ParquetScan(table, None, projection, ())
        columns = [
            NOTHING if name is None else part_of(places[name], found["returned_types"][at], each)
            for name, at, each in zip(read, indexes, found.get("column_indexes", [{}]), strict=True)
        ]
        rows = project(rows, columns)
        filters = found.get("table_filters") or {}
        conditions = [
            condition
            for each in filters.get("filters", [])
            if (condition := table_filter(each["value"], Place(each.get("key", 0)))) is not None
        ]
        reader = ExpressionReader(len(columns))
        conditions += [
            moved_to(reader(each["expr"]), each["column_indexes"])
            for each in filters.get("multi_column_filters", [])
        ]
        rows = filtered(rows, conditions)
        kept = found.get("projection_ids") or range(len(columns))
        return Rows(project(rows, [Place(at) for at in kept]), len(kept), split=True)

    def _filter(self, found: Json) -> Rows:
        below = self._input(found)
        conditions = ExpressionReader(below.width).all(found.get("expressions", []))
        kept = filtered(below.node, conditions)
        return mapped(attrs.evolve(below, node=kept), found.get("projection_map"))

    def _projection(self, found: Json) -> Rows:
        below = self._input(found)
        exprs = ExpressionReader(below.width).all(found["expressions"])
        return Rows(project(below.node, exprs), len(exprs), below.split)

    # --- groups ------------------------------------------------------------------------------

    def _aggregate(self, found: Json) -> Rows:
        below = self._input(found)
        reader = ExpressionReader(below.width)
        sets = tuple(map(tuple, found.get("grouping_sets", [])))
        groupings = tuple(map(tuple, found.get("grouping_functions", [])))
        groups = reader.all(found.get("groups", []))
        aggregates = tuple(reader.aggregate(each) for each in found.get("expressions", []))
        in_phases = below.split and bool(aggregates) and all(map(_has_states, aggregates))
        if len(sets) <= 1 and not groupings and not groups and in_phases:
            made: Node = self._in_two_phases(below, (), aggregates)
            return Rows(made, len(aggregates), split=False)
        if not groups or len(sets) > 1 or groupings:
            whole = self._gather(below)
            made = Aggregate(
                groups,
                aggregates,
                whole.node,
                sets if len(sets) > 1 or groupings else (),
                groupings,
            )
            return Rows(made, len(groups) + len(aggregates) + len(groupings), split=False)
        if below.split and aggregates and all(map(_has_states, aggregates)):
            made = self._in_two_phases(below, groups, aggregates)
        else:
            lying, keys = self._by_keys(below, groups)
            made = Aggregate(keys, aggregates, lying)
        return Rows(made, len(groups) + len(aggregates), split=bool(groups))

    def _in_two_phases(
        self, below: Rows, groups: Sequence[BoundExpr], aggregates: Sequence[BoundAggregate]
    ) -> Node:
        """Each task aggregates its own rows: one row for each of its groups is exchanged."""
        keys = tuple(map(Place, range(len(groups))))
        states = Aggregate(tuple(groups), tuple(aggregates), below.node, phase=Phase.STATES)
        by: Partitioning = SinglePartitioning()
        if groups:
            by = HashPartitioning(tuple(f"c{key.index}" for key in keys), self._partitions)
        read = ShuffleRead(ShuffleWrite(states, by), by)
        return Aggregate(keys, tuple(aggregates), read, phase=Phase.MERGED)

    def _distinct(self, found: Json) -> Rows:
        if found.get("distinct_type") == "DISTINCT_ON":
            refuse("DISTINCT ON", found)
        below = self._input(found)
        places = tuple(map(Place, range(below.width)))
        lying, keys = self._by_keys(below, places)
        return Rows(Aggregate(keys, (), lying), below.width, split=True)

    def _by_keys(self, below: Rows, keys: Sequence[BoundExpr]) -> tuple[Node, tuple[Place, ...]]:
        """Rows exchanged by these keys, which are columns beside theirs."""
        places = [*map(Place, range(below.width)), *keys]
        added = range(below.width, len(places))
        node = project(below.node, places)
        by = HashPartitioning(tuple(f"c{at}" for at in added), self._partitions)
        return ShuffleRead(ShuffleWrite(node, by), by), tuple(map(Place, added))

    def _gather(self, below: Rows) -> Rows:
        """All rows in one task."""
        if not below.split:
            return below
        single = SinglePartitioning()
        return Rows(ShuffleRead(ShuffleWrite(below.node, single), single), below.width, split=False)

    # --- joins -------------------------------------------------------------------------------

    def _join(self, found: Json) -> Rows:
        name = found.get("join_type", "INNER")
        left, right = (self.visit(child) for child in found["children"])
        sides = [ExpressionReader(left.width), ExpressionReader(right.width)]
        equal, others = self._conditions(found, sides, left.width)
        if name in _FLIPPED:
            left, right = right, left
            equal = [(b, a, sign) for a, b, sign in equal]
            others = [swapped(each, right.width, left.width) for each in others]
        kind = _JOINS.get(str(_FLIPPED.get(name, name)))
        if found["type"] == "LOGICAL_ASOF_JOIN":
            kind = _ASOF.get(name)
        if kind is None:
            refuse(f"a join of kind {name}", found)
        maps = [found.get("left_projection_map"), found.get("right_projection_map")]
        if name in _FLIPPED:
            maps.reverse()
        return self._joined(kind, left, right, equal, others, maps)

    def _conditions(
        self, found: Json, sides: Sequence[ExpressionReader], width: int
    ) -> tuple[list[tuple[BoundExpr, BoundExpr, str]], list[BoundExpr]]:
        """Pairs that must be equal, over either side; other conditions over both sides' columns."""
        equal: list[tuple[BoundExpr, BoundExpr, str]] = []
        others: list[BoundExpr] = []
        both = ExpressionReader(sides[0].width + sides[1].width)
        for each in found.get("conditions", []):
            comparison = each.get("comparison", "INVALID")
            if comparison == "INVALID":
                others.append(both(each["left"]))
                continue
            a, b = sides[0](each["left"]), sides[1](each["right"])
            if comparison in _SAME:
                equal.append((a, b, COMPARISONS[comparison]))
            else:
                others.append(Call(COMPARISONS[comparison], (a, shifted(b, width)), BOOLEAN))
        for key in ("predicate", "condition"):
            if key in found:
                others.append(both(found[key]))
        return equal, others

    def _joined(
        self,
        kind: Match,
        left: Rows,
        right: Rows,
        equal: Sequence[tuple[BoundExpr, BoundExpr, str]],
        others: Sequence[BoundExpr],
        maps: Sequence[Sequence[int] | None],
    ) -> Rows:
        one_sided = kind in {Match.SEMI, Match.ANTI, Match.MARK}
        if kind is Match.MARK:  # what is not known of one row, all rows of the right side decide
            pairs = [Call(sign, (a, shifted(b, left.width)), BOOLEAN) for a, b, sign in equal]
            equal, others = [], [*pairs, *others]
        left_node: Node
        right_node: Node
        if equal:
            left_node, left_keys = self._by_keys(left, [a for a, *_ in equal])
            right_node, right_keys = self._by_keys(right, [b for _, b, _ in equal])
            width = left.width + len(equal)
            conditions: list[BoundExpr] = [
                Call(sign, (a, Place(b.index + width)), BOOLEAN)
                for a, b, (*_, sign) in zip(left_keys, right_keys, equal, strict=True)
            ]
            conditions += [widened(each, left.width, len(equal)) for each in others]
            keys = tuple(
                (f"c{a.index}", f"c{b.index}") for a, b in zip(left_keys, right_keys, strict=True)
            )
            split = True
        else:
            width, keys, conditions = left.width, (), list(others)
            if left.split and kind in {
                Match.INNER,
                Match.LEFT,
                Match.SEMI,
                Match.ANTI,
                Match.MARK,
                Match.SINGLE,
            }:
                left_node, split = left.node, True
                right_node = Broadcast(self._gather(right).node)
            else:
                left_node, right_node = self._gather(left).node, self._gather(right).node
                split = False
        node = Join(left_node, right_node, kind, all_of(conditions), keys)
        kept = [Place(at) for at in (maps[0] or range(left.width))]
        if kind is Match.MARK:
            kept.append(Place(left.width))
        if not one_sided:
            kept += [Place(width + at) for at in (maps[1] or range(right.width))]
        return Rows(project(node, kept), len(kept), split)

    # --- sets, and what the query itself says ------------------------------------------------

    def _union(self, found: Json) -> Rows:
        if not found.get("setop_all", True):
            refuse("a UNION that is not ALL", found)
        sides = [self.visit(child) for child in found["children"]]
        width = found["column_count"]
        node = sides[0].node
        for each in sides[1:]:
            node = UnionAll(node, each.node)
        return Rows(node, width, split=True)

    def _set(self, found: Json) -> Rows:
        """ALL: each row as often as SQL says. If not, a DISTINCT stands above."""
        sides = []
        for child in found["children"]:
            rows = self.visit(child)
            lying, keys = self._by_keys(rows, list(map(Place, range(rows.width))))
            sides.append(project(lying, keys))
        kind = SetKind[found["type"].removeprefix("LOGICAL_")]
        width = found["column_count"]
        if not found.get("setop_all", True):
            sides = [Aggregate(tuple(map(Place, range(width))), (), side) for side in sides]
        return Rows(SetOperation(kind, *sides), width, split=True)

    def _unnest(self, found: Json) -> Rows:
        below = self._input(found)
        reader = ExpressionReader(below.width)
        lists = tuple(reader(each["child"]) for each in found["expressions"])
        types = tuple(read_type(each["return_type"]) for each in found["expressions"])
        return Rows(Unnest(lists, types, below.node), below.width + len(lists), below.split)

    def _dummy(self, found: Json) -> Rows:
        return Rows(Values((), ((),)), 1, split=False)

    def _empty(self, found: Json) -> Rows:
        types = tuple(map(read_type, found["return_types"]))
        return Rows(Values(types, ()), len(types), split=False)

    def _expressions(self, found: Json) -> Rows:
        types = tuple(map(read_type, found["expr_types"]))
        reader = ExpressionReader(0)
        rows = tuple(reader.all(row) for row in found["expressions"])
        return Rows(Values(types, rows), len(types), split=False)

    def _chunk(self, found: Json) -> Rows:
        types = tuple(map(read_type, found["chunk_types"]))
        columns = found["collection"].get("values", [])
        rows = zip(
            *(
                [read_constant(value, kind) for value in column]
                for column, kind in zip(columns, types, strict=True)
            ),
            strict=True,
        )
        return Rows(Values(types, tuple(rows)), len(types), split=False)

    def _cte(self, found: Json) -> Rows:
        definition, body = found["children"]
        self._ctes[found.get("table_index", 0)] = self.visit(definition)
        return self.visit(body)

    def _cte_ref(self, found: Json) -> Rows:
        index = found.get("cte_index", 0)
        rows = self._ctes.get(index)
        if rows is None or found.get("is_recurring"):
            refuse("a recursive query", found)
        return attrs.evolve(rows, node=CteRef(f"cte{index}", rows.node))

    def _window(self, found: Json) -> Rows:
        below = self._input(found)
        reader = ExpressionReader(below.width)
        windows = tuple(reader.window(each) for each in found["expressions"])
        width = below.width + len(windows)
        shared = [
            each
            for each in windows[0].partitions
            if all(each in window.partitions for window in windows)
        ]
        if not shared:
            whole = self._gather(below)
            return Rows(OverWindows(windows, whole.node), width, split=False)
        lying, keys = self._by_keys(below, shared)
        known = dict(zip(shared, keys, strict=True))
        over = tuple(
            attrs.evolve(each, partitions=tuple(known.get(one, one) for one in each.partitions))
            for each in windows
        )
        node = OverWindows(over, lying)
        added = range(below.width + len(keys), below.width + len(keys) + len(windows))
        places = [*map(Place, range(below.width)), *map(Place, added)]
        return Rows(project(node, places), width, split=True)

    # --- orders ------------------------------------------------------------------------------

    def _order(self, found: Json) -> Rows:
        below = self._gather(self._input(found))
        keys = ExpressionReader(below.width).keys(found["orders"])
        ordered = Sort(keys, None, 0, partial=False, input=below.node)
        return mapped(attrs.evolve(below, node=ordered), found.get("projection_map"))

    def _top_n(self, found: Json) -> Rows:
        below = self._input(found)
        keys = ExpressionReader(below.width).keys(found["orders"])
        return self._first(below, keys, found.get("limit", 0), found.get("offset", 0))

    def _limit(self, found: Json) -> Rows:
        counts = []
        for name in ("limit_val", "offset_val"):
            value = found.get(name, {})
            if value.get("type", "UNSET") not in {"UNSET", "CONSTANT_VALUE"}:
                refuse("a LIMIT that is no number", found)
            counts.append(
                value.get("constant_integer", 0) if value.get("type", "UNSET") != "UNSET" else None
            )
        return self._first(self._input(found), (), counts[0], counts[1] or 0)

    def _first(self, below: Rows, keys: Any, limit: int | None, offset: int) -> Rows:
        if below.split and limit is not None:
            some = Sort(keys, limit + offset, 0, partial=True, input=below.node)
            below = attrs.evolve(below, node=some)
        whole = self._gather(below)
        return attrs.evolve(whole, node=Sort(keys, limit, offset, partial=False, input=whole.node))

    _VISITORS: Final[Mapping[str, Callable[[_Distributor, Json], Rows]]] = {
        "LOGICAL_GET": _get,
        "LOGICAL_FILTER": _filter,
        "LOGICAL_PROJECTION": _projection,
        "LOGICAL_AGGREGATE_AND_GROUP_BY": _aggregate,
        "LOGICAL_DISTINCT": _distinct,
        "LOGICAL_COMPARISON_JOIN": _join,
        "LOGICAL_ANY_JOIN": _join,
        "LOGICAL_ASOF_JOIN": _join,
        "LOGICAL_CROSS_PRODUCT": _join,
        "LOGICAL_UNION": _union,
        "LOGICAL_EXCEPT": _set,
        "LOGICAL_INTERSECT": _set,
        "LOGICAL_UNNEST": _unnest,
        "LOGICAL_DUMMY_SCAN": _dummy,
        "LOGICAL_EMPTY_RESULT": _empty,
        "LOGICAL_EXPRESSION_GET": _expressions,
        "LOGICAL_CHUNK_GET": _chunk,
        "LOGICAL_MATERIALIZED_CTE": _cte,
        "LOGICAL_CTE_REF": _cte_ref,
        "LOGICAL_WINDOW": _window,
        "LOGICAL_ORDER_BY": _order,
        "LOGICAL_TOP_N": _top_n,
        "LOGICAL_LIMIT": _limit,
    }


_STATEFUL: Final = """
any_value avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp first kurtosis
last max min product skewness stddev stddev_pop stddev_samp sum var_pop var_samp variance
"""
_WITH_STATES: Final = frozenset(_STATEFUL.split())
_PLAIN: Final = """
BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT INTEGER SMALLINT TIMESTAMP TINYINT UBIGINT UINTEGER
USMALLINT UTINYINT VARCHAR
"""
_STATES_OF: Final = frozenset(_PLAIN.split())
"""Types whose values, and so states of them, come through Arrow as they were."""


def _has_states(one: BoundAggregate) -> bool:
    """Whether it may be made of what tasks have found of their own rows."""
    plain = all(kind.name in _STATES_OF for kind in one.arg_types)
    return one.name in _WITH_STATES and plain and not one.distinct and not one.order
