"""HashJoin as SQL. Null keys never match; Anti keeps the left rows that no right row matches."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

import attrs

from ffq.engine import alike, types
from ffq.engine.bound import BoundWriter
from ffq.engine.origins import parts_of
from ffq.engine.sql import ColumnInfo, Columns, Relation, select_list
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.bound import BoundExpr, Call, Conjunction, Match, Place
from ffq.plan.model import HashJoin, HashPartitioning, ShuffleRead
from ffq.plan.names import find_column, text_of
from ffq.plan.outputs import LEFT_ONLY
from ffq.plan.terms import JoinType
from ffq.plan.walk import walk_stage

JOINS: Final = {
    JoinType.INNER: "INNER JOIN",
    JoinType.LEFT: "LEFT JOIN",
    JoinType.RIGHT: "RIGHT JOIN",
    JoinType.FULL: "FULL JOIN",
    JoinType.SEMI: "SEMI JOIN",
    JoinType.ANTI: "ANTI JOIN",
}


MATCHES: Final = {
    **{Match[kind.name]: word for kind, word in JOINS.items()},
    Match.ASOF: "ASOF JOIN",
    Match.ASOF_LEFT: "ASOF LEFT JOIN",
    Match.POSITIONAL: "POSITIONAL JOIN",
}
_NEVER_NULL: Final = frozenset({"IS NOT DISTINCT FROM", "IS DISTINCT FROM"})
LEFT_MATCHES: Final = frozenset({Match.SEMI, Match.ANTI, Match.MARK})


def join_columns(join: HashJoin, left: Columns, right: Columns) -> Columns:
    """Left columns, then right columns; of Semi and Anti the left ones only.

    A key that both sides call by one name is meant by that name on the side whose rows are all
    given out; of a full join it is ambiguous, as either may be null.
    """
    if join.join_type in LEFT_ONLY:
        return left
    shared = {text_of(a) for a, b in join.on if a == b}
    if join.join_type is JoinType.RIGHT:
        return _merged(left, shared) + right
    return left + (_merged(right, shared) if join.join_type is not JoinType.FULL else right)


def _merged(columns: Columns, names: Container[str]) -> Columns:
    return tuple(attrs.evolve(one, merged=one.merged or one.name in names) for one in columns)


def join_keys(join: HashJoin, left: Relation, right: Relation) -> list[tuple[int, int]]:
    """Positions of the keys, left and right.

    Raises:
        PlanningError: no keys, a key that is no column, or keys that cannot be compared.
        UnsupportedPlan: a shuffled join of keys whose hashes differ although they may be equal.
    """
    if not join.on:
        raise PlanningError("HashJoin: `on` is empty; right would be at least one pair of keys")
    keys = []
    for left_key, right_key in join.on:
        a = find_column(left_key, left.columns, "HashJoin, left side")
        b = find_column(right_key, right.columns, "HashJoin, right side")
        kinds = left.columns[a].type, right.columns[b].type
        same_hash = alike.hash_alike(*kinds)
        names = text_of(left_key), text_of(right_key)
        pair = f"HashJoin: keys {names[0]!r} ({kinds[0]}) and {names[1]!r} ({kinds[1]})"
        unlike = not same_hash and set(map(alike.hash_class, kinds)) not in alike.COMPARABLE_CLASSES
        if unlike or alike.comparable(("l", kinds[0]), ("r", kinds[1])) is None:
            raise PlanningError(f"{pair} cannot be compared: {alike.remedy(kinds)}")
        if not same_hash and _reads_hash(join):
            raise UnsupportedPlan(f"{pair} hash differently: cast one before the exchange")
        keys.append((a, b))
    return keys


def join_sql(
    join: HashJoin, keys: Sequence[tuple[int, int]], left: Relation, right: Relation
) -> str:
    """The join's SELECT."""
    conditions = " AND ".join(
        _equal(left.columns[a], f"l.c{a}", right.columns[b], f"r.c{b}") for a, b in keys
    )
    outputs = [f"l.c{at}" for at in range(len(left.columns))]
    if join.join_type not in LEFT_ONLY:
        outputs += [f"r.c{at}" for at in range(len(right.columns))]
    return (
        f"SELECT {select_list(outputs)} FROM {left.name} AS l {JOINS[join.join_type]} "
        f"{right.name} AS r ON {conditions}"
    )


def _equal(left: ColumnInfo, a: str, right: ColumnInfo, b: str) -> str:
    sides = alike.comparable((a, left.type), (b, right.type)) or (a, b)
    return " = ".join(map(_key, sides, (left.type, right.type)))


def _key(sql: str, kind: str) -> str:
    """As no column: of two nested ones that are equal DuckDB gives out one for the other."""
    return f"CASE WHEN {sql} IS NOT NULL THEN {sql} END" if types.is_nested(kind) else sql


def _reads_hash(join: HashJoin) -> bool:
    """Whether both sides may be split by hash."""
    return all(
        any(
            isinstance(node, ShuffleRead) and isinstance(node.partitioning, HashPartitioning)
            for node in walk_stage(side)
        )
        for side in (join.left, join.right)
    )


def renumbered(side: Relation, start: int) -> str:
    """The side's rows, its columns named by their places from `start` on."""
    columns = (f"c{at} AS c{at + start}" for at in range(len(side.columns)))
    return f"(SELECT {', '.join(columns) or '1 AS _'} FROM {side.name})"


def mark_sql(condition: BoundExpr | None, width: int, right: str, writer: BoundWriter) -> str:
    """Whether a row of the right side meets the condition; null: of none it is true, of one null.

    The engine looks rows up by what must be equal where it is told no more than that: of the
    condition's being null it would ask for each pair of rows.

    Args:
        condition: over both sides' columns; None: each row meets it.
        width: how many columns the left side has.
        right: the right side, its columns numbered from `width` on.
    """
    if isinstance(condition, Call) and condition.name == "=":
        left, value = condition.args
        if all(at < width for at in _places(left)) and all(at >= width for at in _places(value)):
            return f"({writer.sql(left)} IN (SELECT {writer.sql(value)} FROM {right} AS r))"
    terms = () if condition is None else _terms(condition)
    known = [writer.sql(each) for each in terms if _is_never_null(each)]
    others = [writer.sql(each) for each in terms if not _is_never_null(each)]
    exists = f"EXISTS (SELECT 1 FROM {right} AS r WHERE "
    is_met = f"{exists}{' AND '.join(known + others) or 'TRUE'})"
    if not others:
        return is_met
    unknown = " AND ".join([*known, f"({' AND '.join(others)}) IS NULL"])
    return f"CASE WHEN {is_met} THEN TRUE WHEN {exists}{unknown}) THEN NULL ELSE FALSE END"


def _terms(condition: BoundExpr) -> Sequence[BoundExpr]:
    if isinstance(condition, Conjunction) and not condition.any:
        return condition.terms
    return (condition,)


def _is_never_null(expr: BoundExpr) -> bool:
    return isinstance(expr, Call) and expr.name in _NEVER_NULL


def _places(expr: BoundExpr) -> list[int]:
    return [part.index for part in parts_of(expr) if isinstance(part, Place)]
