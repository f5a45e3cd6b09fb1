"""Groups, distinct rows, set operations and windows: rows that are alike meet in one task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    BoundKey,
    BoundWindow,
    Call,
    Constant,
    Phase,
    Place,
    SqlType,
)
from ffq.plan.distribution import DistributionKind, distribution_of
from ffq.plan.model import (
    Aggregate,
    HashPartitioning,
    Node,
    OverWindows,
    SetKind,
    SetOperation,
    ShuffleRead,
    ShuffleWrite,
)
from ffq.sql.exchanges import Exchanges
from ffq.sql.pieces import NOTHING, Rows, by_all, filtered, mapped, numbered, project, projected
from ffq.sql.serialized import BOOLEAN, ExpressionReader, Json, refuse, type_of

_STATEFUL: Final = """
any_value avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp first kurtosis
last max min product skewness stddev stddev_pop stddev_samp sum var_pop var_samp variance
"""
_WITH_STATES: Final = frozenset(_STATEFUL.split())
_PLAIN: Final = """
BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT INTEGER SMALLINT TIMESTAMP TINYINT UBIGINT UINTEGER
USMALLINT UTINYINT VARCHAR
"""
PLAIN_TYPES: Final = frozenset(_PLAIN.split())
"""Types whose values, and so states of them, come through Arrow as they were."""
_BY_ORDER: Final = frozenset(
    {"any_value", "first", "last", "array_agg", "list", "string_agg", "group_concat", "listagg"}
)
"""Aggregates of which the rows' order decides what comes out."""
_BY_VALUES: Final = """
approx_count_distinct bit_and bit_or bit_xor bitstring_agg bool_and bool_or count count_if max
median min quantile quantile_cont quantile_disc
"""
_ORDERLESS: Final = frozenset(_BY_VALUES.split())
"""Aggregates that give the same in any order of the rows."""
_EXACT_SUMS: Final = frozenset({"avg", "sum"})
_FLOATS: Final = frozenset({"DOUBLE", "FLOAT"})
_BIGINT: Final = SqlType("BIGINT")
_JOINS: Final = {"LOGICAL_EXCEPT": "ANTI", "LOGICAL_INTERSECT": "SEMI"}
_IN_TURN: Final = frozenset({"row_number", "ntile", "lag", "lead"})
"""Window functions of which the order decides among rows that it leaves alike."""
_VALUES: Final = frozenset({"first_value", "last_value", "nth_value"})
"""Window functions that give out the value of one row of the frame."""
_LISTS: Final = frozenset({"array_agg", "group_concat", "list", "listagg", "string_agg"})
_RANKS: Final = frozenset({"rank", "rank_dense", "dense_rank", "percent_rank", "cume_dist"})
"""Window functions that count rows which the order leaves alike: another order has fewer."""


# --- groups ----------------------------------------------------------------------------------


def aggregate(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    (below,) = inputs
    reader = ExpressionReader(below.width, below.bindings)
    groups = reader.all(found.get("groups", []))
    aggregates = tuple(
        _in_order(reader.aggregate(each), below, exchanges) for each in found.get("expressions", [])
    )
    return grouped(found, below, groups, aggregates, exchanges)


def grouped(
    found: Json,
    below: Rows,
    groups: tuple[BoundExpr, ...],
    aggregates: tuple[BoundAggregate, ...],
    exchanges: Exchanges,
) -> Rows:
    """Rows in the groups that were planned: groups and aggregates are those found, or of rows
    below that were made otherwise than planned."""
    sets = tuple(map(tuple, found.get("grouping_sets", [])))
    groupings = tuple(map(tuple, found.get("grouping_functions", [])))
    width = len(groups) + len(aggregates) + len(groupings)
    several = len(sets) > 1 or bool(groupings)
    in_phases = below.split and bool(aggregates) and all(map(_has_states, aggregates))
    split = bool(groups) and not several and below.split
    if split and lie_by(below, groups):
        made: Node = Aggregate(groups, aggregates, below.node)
    elif in_phases and not several:
        made = _in_two_phases(below, groups, aggregates, exchanges)
    elif split:
        lying, keys, _ = exchanges.by_keys(below, groups)
        made = Aggregate(keys, aggregates, lying)
    else:
        whole = exchanges.gather(below).node
        made = Aggregate(groups, aggregates, whole, sets if several else (), groupings)
    count, most = (below.count, below.most) if groups else (1.0, 1.0)
    widths = tuple(map(below.bytes_of, (*groups, *aggregates, *(NOTHING,) * len(groupings))))
    rows = attrs.evolve(below.made(made, width), split=split, count=count, most=most, widths=widths)
    return attrs.evolve(rows, bindings=_bindings(found, len(groups), len(aggregates)))


def lie_by(rows: Rows, groups: tuple[BoundExpr, ...]) -> bool:
    """Whether all rows of a group are in one task, wherever it is."""
    return distribution_of(Aggregate(groups, (), rows.node)).kind is DistributionKind.HASH


def _bindings(found: Json, groups: int, aggregates: int) -> tuple[tuple[int, int], ...]:
    group, one = found.get("group_index", 0), found.get("aggregate_index", 0)
    grouping = found.get("groupings_index", 0)
    return (
        *((group, at) for at in range(groups)),
        *((one, at) for at in range(aggregates)),
        *((grouping, at) for at in range(len(found.get("grouping_functions", [])))),
    )


def _in_order(one: BoundAggregate, below: Rows, exchanges: Exchanges) -> BoundAggregate:
    """The aggregate with the order that it takes rows in, where that decides what it gives."""
    if one.order:
        return one
    if below.order and one.name in _BY_ORDER and not one.distinct:
        return attrs.evolve(one, order=below.order)
    exact = one.name in _EXACT_SUMS and not any(kind.name in _FLOATS for kind in one.arg_types)
    if not exchanges.repeats or exact or one.name in _ORDERLESS or not below.split:
        return one
    by_args = tuple(
        BoundKey(arg, asc=True, nulls_first=False)
        for arg in one.args
        if not isinstance(arg, Constant)
    )
    return attrs.evolve(one, order=by_args if one.distinct else by_args + by_all(below.width))


def _in_two_phases(
    below: Rows,
    groups: Sequence[BoundExpr],
    aggregates: Sequence[BoundAggregate],
    exchanges: Exchanges,
) -> Node:
    """Each task aggregates its own rows: one row for each of its groups is exchanged."""
    keys = tuple(map(Place, range(len(groups))))
    states = Aggregate(tuple(groups), tuple(aggregates), below.node, phase=Phase.STATES)
    if groups:
        by = HashPartitioning(tuple(f"c{key.index}" for key in keys), exchanges.partitions)
        read: Node = ShuffleRead(ShuffleWrite(states, by), by)
    else:
        read = exchanges.gather(attrs.evolve(below, node=states)).node
    return Aggregate(keys, tuple(aggregates), read, phase=Phase.MERGED)


def _has_states(one: BoundAggregate) -> bool:
    """Whether it may be made of what tasks have found of their own rows."""
    plain = all(kind.name in PLAIN_TYPES for kind in one.arg_types)
    return one.name in _WITH_STATES and plain and not one.distinct and not one.order


# --- distinct rows and sets ------------------------------------------------------------------


def distinct(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    (below,) = inputs
    if not is_of_columns(found):
        return _distinct_on(found, below, exchanges)
    places = tuple(map(Place, range(below.width)))
    if not below.split:
        made = below.made(Aggregate(places, (), below.node))
    else:
        lying, keys, _ = exchanges.by_keys(below, places)
        made = below.made(Aggregate(keys, (), lying))
    return attrs.evolve(made, widths=below.widths)


def by_collations(found: Json) -> Json:
    """What rows are taken from for DISTINCT: of columns with a collation, EXCEPT and INTERSECT are
    the joins by what makes values of them alike, which the DISTINCT over them says."""
    (child,) = found["children"]
    join = _JOINS.get(child["type"])
    if join is None or child.get("setop_all", True) or _is_by_columns(found):
        return child  # type: ignore[no-any-return]
    conditions = [
        {"left": each, "right": each, "comparison": "COMPARE_NOT_DISTINCT_FROM"}
        for each in found["distinct_targets"]
    ]
    return {
        "type": "LOGICAL_COMPARISON_JOIN",
        "join_type": join,
        "conditions": conditions,
        "children": child["children"],
    }


def is_of_columns(found: Json) -> bool:
    """Whether a DISTINCT takes rows for one whose columns are all alike."""
    return found.get("distinct_type") != "DISTINCT_ON" and _is_by_columns(found)


def _is_by_columns(found: Json) -> bool:
    """Whether the rows of a DISTINCT are alike where their columns are; else a collation says."""
    targets = found.get("distinct_targets", [])
    return all(each["expression_class"] == "BOUND_REF" for each in targets)


def _has_collation(found: Json) -> bool:
    """Whether a column that a query gives out has one, as far as its plan says."""
    if "expressions" not in found:
        return any(map(_has_collation, found.get("children", [])))
    return any(is_collated(type_of(each)) for each in found["expressions"])


def is_collated(kind: object) -> bool:
    """Whether there is one in what the plan writes as a type, or around types."""
    if isinstance(kind, dict):
        return "collation" in kind or any(map(is_collated, kind.values()))
    return isinstance(kind, list) and any(map(is_collated, kind))


def _distinct_on(found: Json, below: Rows, exchanges: Exchanges) -> Rows:
    """The first row of each group, by the order that the query gives, else by all columns."""
    reader = ExpressionReader(below.width, below.bindings)
    targets = reader.all(found.get("distinct_targets", []))
    order = reader.keys((found.get("order_by") or {}).get("orders", []))
    width = below.width
    below = numbered(below)
    order = order or below.order or ()
    number = BoundWindow(
        BoundAggregate("row_number", (), _BIGINT),
        targets,
        (*order, *by_all(below.width)),
        None,
    )
    rows = _over((number,), below, exchanges)
    first = Call("=", (Place(below.width), Constant(_BIGINT, 1)), BOOLEAN)
    kept = attrs.evolve(rows, node=filtered(rows.node, [first]))
    return projected(kept, [Place(at) for at in range(width)])


def set_operation(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    """ALL: each row as often as SQL says. If not, each once."""
    kind = SetKind[found["type"].removeprefix("LOGICAL_")]
    if found.get("setop_all", True) and _has_collation(found):
        refuse(
            f"{kind.name} ALL of columns with COLLATE; right would be lower(...) or the like of "
            "both sides' columns, without it",
            found,
        )
    sides: list[Node] = []
    split = any(rows.split for rows in inputs)
    width = found["column_count"]
    for rows in inputs:
        places = [Place(at) for at in range(rows.width)]
        if not split:
            sides.append(rows.node)
            continue
        lying, keys, _ = exchanges.by_keys(rows, places)
        sides.append(project(lying, keys))
    if not found.get("setop_all", True):
        sides = [Aggregate(tuple(map(Place, range(width))), (), side) for side in sides]
    first = inputs[0].made(SetOperation(kind, *sides), width)
    return attrs.evolve(first, split=split)


# --- windows ---------------------------------------------------------------------------------


def window(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    (below,) = inputs
    (child,) = found["children"]
    if child.get("source_ordinality") and not child.get(
        "children"
    ):  # the rows are numbered where they are made
        return below
    reader = ExpressionReader(below.width, below.bindings)
    lined = numbered(below)
    windows = tuple(
        _in_turn(reader.window(each), lined, exchanges) for each in found["expressions"]
    )
    rows = _over(windows, lined, exchanges)
    return mapped(rows, [*range(below.width), *range(lined.width, rows.width)])


def _in_turn(one: BoundWindow, below: Rows, exchanges: Exchanges) -> BoundWindow:
    """The window with an order that says it all, where the order decides."""
    name, rows = one.function.name, one.frame is not None and one.frame.units == "ROWS"
    if name not in _IN_TURN:
        one = _within_frames(one, below, exchanges)
    if name not in _IN_TURN and not (rows and name not in _RANKS):
        return one
    called = one.function
    if called.order and not rows:
        # It goes by an order of its own: another one in OVER would bound what each row sees.
        if name == "row_number" or exchanges.repeats:
            called = attrs.evolve(called, order=called.order + (below.order or by_all(below.width)))
        return attrs.evolve(one, function=called)
    if below.order is not None and not one.order:
        return attrs.evolve(one, order=below.order)
    numbers = name == "row_number" and not one.order
    if numbers or exchanges.repeats:
        return attrs.evolve(one, order=one.order + by_all(below.width))
    return one


def _within_frames(one: BoundWindow, below: Rows, exchanges: Exchanges) -> BoundWindow:
    """The window whose function takes each frame's rows in an order, where that decides."""
    called, name = one.function, one.function.name
    exact = name in _EXACT_SUMS and called.type.name not in _FLOATS
    if exact or name in _ORDERLESS | _RANKS:
        return one
    if one.order and name not in _VALUES | _LISTS:
        return one  # the engine would sort the rows of each frame anew
    order = called.order or one.order or below.order or ()
    if exchanges.repeats:
        args = tuple(
            BoundKey(arg, asc=True, nulls_first=False)
            for arg in called.args
            if not isinstance(arg, Constant)
        )
        order = called.order + args if called.distinct else order + by_all(below.width)
    elif one.order or called.distinct or name not in _VALUES | _BY_ORDER:
        return one
    return attrs.evolve(one, function=attrs.evolve(called, order=order))


def _over(windows: tuple[BoundWindow, ...], below: Rows, exchanges: Exchanges) -> Rows:
    width = below.width + len(windows)
    shared = [
        each
        for each in windows[0].partitions
        if all(each in window.partitions for window in windows)
    ]
    if not shared or not below.split:
        whole = exchanges.gather(below)
        rows = whole.made(OverWindows(windows, whole.node), width)
        return attrs.evolve(rows, order=below.order if not below.split else None)
    lying, keys, lined = exchanges.by_keys(below, shared)
    known = dict(zip(shared, keys, strict=True))
    over = tuple(
        attrs.evolve(each, partitions=tuple(known.get(one, one) for one in each.partitions))
        for each in windows
    )
    node = OverWindows(over, lying)
    added = range(lined, lined + len(windows))
    places = [*map(Place, range(below.width)), *map(Place, added)]
    return below.made(project(node, places), width)
