"""HashJoin as SQL. Null keys never match; Anti keeps the left rows that no right row matches."""

from __future__ import annotations

from typing import Final

from ffq.engine import types
from ffq.engine.sql import Columns, Relation, resolve, select_list
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.model import HashJoin, HashPartitioning, JoinType, ShuffleRead
from ffq.plan.walk import walk_stage

_SQL: Final = {
    JoinType.INNER: "INNER JOIN",
    JoinType.LEFT: "LEFT JOIN",
    JoinType.RIGHT: "RIGHT JOIN",
    JoinType.FULL: "FULL JOIN",
    JoinType.SEMI: "SEMI JOIN",
    JoinType.ANTI: "ANTI JOIN",
}


def join_columns(join: HashJoin, left: Columns, right: Columns) -> Columns:
    """Left columns, then right columns; of Semi and Anti the left ones only."""
    return left if join.join_type in {JoinType.SEMI, JoinType.ANTI} else left + right


def join_sql(join: HashJoin, left: Relation, right: Relation) -> str:
    """The join's SELECT.

    Raises:
        PlanningError: no keys, a key that is no column, or keys that cannot be compared.
        UnsupportedPlan: a shuffled join of keys whose hashes differ although they may be equal.
    """
    if not join.on:
        raise PlanningError("HashJoin: `on` is empty; right would be at least one pair of keys")
    conditions = []
    shuffled = _reads_hash(join)
    for left_key, right_key in join.on:
        a, b = _key(left_key, right_key, left, right)
        kinds = left.columns[a].type, right.columns[b].type
        if types.hash_class(kinds[0]) != types.hash_class(kinds[1]):
            pair = f"HashJoin: keys {left_key!r} ({kinds[0]}) and {right_key!r} ({kinds[1]})"
            if shuffled:
                raise UnsupportedPlan(f"{pair} hash differently: cast one before the exchange")
        conditions.append(f"l.c{a} = r.c{b}")
    outputs = [f"l.c{at}" for at in range(len(left.columns))]
    if join.join_type not in {JoinType.SEMI, JoinType.ANTI}:
        outputs += [f"r.c{at}" for at in range(len(right.columns))]
    return (
        f"SELECT {select_list(outputs)} FROM {left.name} AS l {_SQL[join.join_type]} "
        f"{right.name} AS r ON {' AND '.join(conditions)}"
    )


def _key(left_key: str, right_key: str, left: Relation, right: Relation) -> tuple[int, int]:
    return (
        resolve(left_key, left.columns, "HashJoin, left side"),
        resolve(right_key, right.columns, "HashJoin, right side"),
    )


def _reads_hash(join: HashJoin) -> bool:
    """Whether both sides may be split by hash."""
    return all(
        any(
            isinstance(node, ShuffleRead) and isinstance(node.partitioning, HashPartitioning)
            for node in walk_stage(side)
        )
        for side in (join.left, join.right)
    )
