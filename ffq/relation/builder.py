"""Relations: rows that a query would give, built step by step and run when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Self, TypeVar, get_args

from ffq.errors import InvalidRequest, words
from ffq.relation.expressions import Expression, column, constant, operand
from ffq.relation.functions import sql_expression
from ffq.relation.pieces import Pieces, checked_column
from ffq.relation.steps import (
    Cut,
    Distinct,
    Dropped,
    Extended,
    Filtered,
    Grouped,
    How,
    Joined,
    Mapped,
    Outputs,
    Renamed,
    Selected,
    Sorted,
    SortKey,
    Step,
    United,
    check_once,
)

MOST_STEPS: Final = 200
"""One after the other."""
MOST_PARTS: Final = 2_000
"""Steps in all, each as often as it stands there: of `r.union(r)` those of both sides."""
_MOST_ROWS: Final = 2**62

S = TypeVar("S")
R = TypeVar("R", bound="LazyRelation[Any]")
Columns = str | Expression | Iterable[str | Expression]
"""A column, by its name or as an expression, or several."""


class LazyRelation(Generic[S]):
    """Immutable: each step gives a new one. Nothing runs before its rows are asked for.

    Where a text stands for a column it is its name; conditions of `filter` as text are SQL. What
    cannot be right raises InvalidRequest where it is written; a column that is not there raises
    PlanningError when the relation is planned.
    """

    def __init__(self, session: S, step: Step, steps: int = 1, parts: int = 1) -> None:
        if steps > MOST_STEPS:
            raise InvalidRequest(f"a relation of more than {MOST_STEPS} steps")
        if parts > MOST_PARTS:
            raise InvalidRequest(
                f"a relation of more than {MOST_PARTS} steps, those of each side of its joins and "
                "unions counted; right would be to write a part of it to files, and go on with them"
            )
        self._session = session
        self._step = step
        self._steps = steps
        self._parts = parts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._steps} step{'s' * (self._steps > 1)}, not run>"

    def select(self, *columns: Columns, **named: Any) -> Self:
        """These columns alone; `named` are values, as `select(total=col("a") + col("b"))`."""
        return self._then(Selected(self._step, _outputs("select", columns, named)))

    def with_columns(self, *columns: Columns, **named: Any) -> Self:
        """These columns too, in the place of those that have their names."""
        return self._then(Extended(self._step, _outputs("with_columns", columns, named)))

    def filter(self, *conditions: str | Expression) -> Self:
        """The rows for which all conditions are true: expressions, or SQL."""
        if not conditions:
            raise InvalidRequest("filter: right would be a condition")
        return self._then(Filtered(self._step, tuple(map(_condition, conditions))))

    def group_by(self, *keys: Columns, **named: Any) -> GroupBy[Self]:
        """Groups of rows that have the same keys; `agg` makes a row of each."""
        return GroupBy(self, _outputs("group_by", keys, named) if keys or named else ())

    def agg(self, *aggregates: Columns, **named: Any) -> Self:
        """One row, of all rows."""
        return GroupBy(self, ()).agg(*aggregates, **named)

    def join(
        self,
        other: Self,
        on: Columns | None = None,
        *,
        left_on: Columns | None = None,
        right_on: Columns | None = None,
        how: How = "inner",
        suffix: str = "_right",
    ) -> Self:
        """Rows of both sides whose keys are equal; nulls equal nothing.

        Args:
            on: names of columns of both sides; each comes out once.
            left_on, right_on: as many columns or expressions of one side and of the other.
            how: `semi` and `anti` give the left rows that have and have not a match, `cross` all
                pairs, without keys.
            suffix: of those columns of the right side whose names the left side has.
        """
        self._check_other("join", other)
        if how not in get_args(How):
            raise InvalidRequest(
                f"join: how={words(how, 40)}; right would be one of {', '.join(get_args(How))}"
            )
        if not isinstance(suffix, str) or not suffix:
            raise InvalidRequest("join: right would be a suffix that is a text and not empty")
        keys, shared = _join_keys(on, left_on, right_on, how)
        step = Joined(self._step, other._step, keys, how, suffix, shared)
        return self._then(step, other)

    def sort(
        self,
        *by: Columns,
        descending: bool | Sequence[bool] = False,
        nulls_last: bool = True,
    ) -> Self:
        """In an order.

        Args:
            descending: of all keys, or of each.
        """
        keys = _flat("sort", by)
        if not keys:
            raise InvalidRequest("sort: right would be a column to sort by")
        down = [descending] * len(keys) if isinstance(descending, bool) else list(descending)
        if len(down) != len(keys):
            raise InvalidRequest(f"sort: {len(down)} times descending, of {len(keys)} keys")
        made = (
            SortKey(key.pieces, bool(each), bool(nulls_last))
            for key, each in zip(keys, down, strict=True)
        )
        return self._then(Sorted(self._step, tuple(made)))

    def limit(self, rows: int | None, offset: int = 0) -> Self:
        """So many rows (None: all) after the first `offset`. Without `sort` before, any."""
        for name, value in (("rows", rows), ("offset", offset)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and 0 <= value <= _MOST_ROWS) and not (name == "rows" and value is None):  # type: ignore[operator]
                raise InvalidRequest(f"limit: {name}={words(value, 40)} is no number of rows")
        return self._then(Cut(self._step, rows, offset))

    def distinct(self, *columns: str) -> Self:
        """Each row once; or, of the rows that are the same in some columns, any one."""
        return self._then(Distinct(self._step, tuple(map(checked_column, columns))))

    def drop(self, *columns: str) -> Self:
        """Without these columns."""
        if not columns:
            raise InvalidRequest("drop: right would be the name of a column")
        return self._then(Dropped(self._step, tuple(map(checked_column, columns))))

    def rename(self, names: Mapping[str, str]) -> Self:
        """New names, by the old ones."""
        if not isinstance(names, Mapping) or not names:
            raise InvalidRequest("rename: right would be a dict of new names by old ones")
        pairs = tuple((checked_column(old), checked_column(new)) for old, new in names.items())
        return self._then(Renamed(self._step, pairs))

    def union(self, other: Self, *, distinct: bool = False) -> Self:
        """The rows of both, whose columns have the same names, in any order.

        Args:
            distinct: each row once.
        """
        self._check_other("union", other)
        return self._then(United(self._step, other._step, bool(distinct)), other)

    def map_batches(
        self,
        operator: str,
        /,
        *,
        whole: bool = False,
        returns: Mapping[str, str] | None = None,
        **config: object,
    ) -> Self:
        """What a custom operator makes of the rows: `map_batches("score", threshold=0.5)`.

        Args:
            whole: one task sees all rows, instead of each its share.
            returns: types of its columns, in SQL's words, where the coordinator does not know them.
            config: what its parameters take.
        """
        if not isinstance(operator, str) or not operator:
            raise InvalidRequest(
                f"map_batches: {words(operator, 80)} is no operator's name; right would be the "
                "text that it is registered by, as in @ffq.operator('score')"
            )
        if "over" in config:
            raise InvalidRequest(
                "map_batches: over is no name of config; right would be whole=True"
            )
        arguments = [(name, constant(value)) for name, value in config.items()]
        if whole:
            arguments.append(("over", constant("all")))
        if returns is not None:
            arguments.append(("returns", constant(dict(returns))))
        return self._then(Mapped(self._step, operator, tuple(arguments)))

    def _check_other(self, what: str, other: object) -> None:
        if not isinstance(other, type(self)):
            raise InvalidRequest(
                f"{what}: {words(other, 80)} is no relation; right would be one of this session"
            )
        if other._session is not self._session:
            raise InvalidRequest(f"{what}: a relation of another session, whose tables are others")

    def _then(self, step: Step, other: LazyRelation[S] | None = None) -> Self:
        steps, parts = self._steps, self._parts
        if other is not None:
            steps, parts = max(steps, other._steps), parts + other._parts
        return type(self)(self._session, step, steps + 1, parts + 1)


class GroupBy(Generic[R]):
    """Groups that wait for what is to be known of them."""

    def __init__(self, relation: R, keys: Outputs) -> None:
        self._relation = relation
        self._keys = keys

    def agg(self, *aggregates: Columns, **named: Any) -> R:
        """A row for each group: its keys, then these, as `agg(col("x").sum(), n=count())`."""
        outputs = (
            _outputs("agg", aggregates, named) if aggregates or named or not self._keys else ()
        )
        return self._relation._then(Grouped(self._relation._step, self._keys, outputs))


def _flat(what: str, given: Iterable[Any]) -> list[Expression]:
    found: list[Expression] = []
    for each in given:
        many = isinstance(each, Iterable) and not isinstance(each, str | bytes | Expression)
        try:
            found += map(column, each if many else (each,))
        except InvalidRequest as error:
            raise InvalidRequest(f"{what}: {error.message}") from None
    return found


def _outputs(what: str, given: Iterable[Any], named: Mapping[str, Any]) -> Outputs:
    made = _flat(what, given)
    made += (operand(value).alias(name) for name, value in named.items())
    if not made:
        raise InvalidRequest(f"{what}: right would be a column")
    for each in made:
        if not each.name:
            raise InvalidRequest(f"{what}: {each!r} has no name; right would be .alias(name)")
    outputs = tuple((each.pieces, each.name) for each in made)
    check_once(what, (name for _, name in outputs))
    return outputs


def _condition(condition: str | Expression) -> Pieces:
    if isinstance(condition, str):
        return sql_expression(condition).pieces
    if not isinstance(condition, Expression):
        raise InvalidRequest(
            f"filter: {words(condition, 80)} is no condition; right would be an expression, as "
            f'col("x") > 1, or SQL'
        )
    return condition.pieces


def _join_keys(
    on: Columns | None, left_on: Columns | None, right_on: Columns | None, how: How
) -> tuple[tuple[tuple[Pieces, Pieces], ...], tuple[str, ...]]:
    """The pairs of keys, and the names that both sides share."""
    sides = (left_on is not None, right_on is not None)
    if how == "cross":
        if on is not None or any(sides):
            raise InvalidRequest("join: a cross join has no keys")
        return (), ()
    if (on is not None) == any(sides) or len(set(sides)) > 1:
        raise InvalidRequest("join: right would be either on, or left_on and right_on")
    if on is not None:
        given = [on] if isinstance(on, str) else on
        if isinstance(given, Expression) or not all(isinstance(each, str) for each in given):
            raise InvalidRequest(
                "join: on is for names of columns; right would be left_on and right_on"
            )
        keys = _flat("join", given)
        pairs = tuple((each.pieces, each.pieces) for each in keys)
        shared = tuple(each.name for each in keys)
    else:
        left, right = _flat("join", [left_on]), _flat("join", [right_on])
        if len(left) != len(right):
            raise InvalidRequest(f"join: {len(left)} left_on and {len(right)} right_on")
        pairs = tuple((a.pieces, b.pieces) for a, b in zip(left, right, strict=True))
        shared = ()
    if not pairs:
        raise InvalidRequest("join: right would be a column to join on")
    return pairs, shared
