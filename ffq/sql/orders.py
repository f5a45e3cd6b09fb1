"""Orders, the first rows of them, and samples: what needs all rows in one place."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import attrs

from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    BoundKey,
    BoundWindow,
    Call,
    Conjunction,
    Constant,
    Conversion,
    Form,
    Place,
    Special,
    SqlType,
)
from ffq.plan.model import OverWindows, Sort
from ffq.sql.exchanges import Exchanges
from ffq.sql.pieces import Rows, by_all, filtered, mapped, projected, replaced
from ffq.sql.serialized import (
    BOOLEAN,
    ExpressionReader,
    Json,
    read_constant,
    refuse,
    volatile_call,
)

_BIGINT: Final = SqlType("BIGINT")
_DOUBLE: Final = SqlType("DOUBLE")
_UBIGINT: Final = SqlType("UBIGINT")
_HASHES: Final = 2.0**64
_ALL: Final = 100.0


def order(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    below = exchanges.gather(inputs[0])
    keys = ExpressionReader(below.width, below.bindings).keys(found["orders"])
    node = Sort(_settled(keys, below, exchanges), None, 0, partial=False, input=below.node)
    return mapped(attrs.evolve(below, node=node, order=keys), found.get("projections"))


def top_n(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    (below,) = inputs
    keys = ExpressionReader(below.width, below.bindings).keys(found["orders"])
    return first(below, keys, found.get("limit", 0), found.get("offset", 0), exchanges)


def limit(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    (below,) = inputs
    counts: list[int | BoundExpr | None] = []
    for name in ("limit_val", "offset_val"):
        value = found.get(name, {})
        match value.get("type", "UNSET"):
            case "UNSET":
                counts.append(None)
            case "CONSTANT_VALUE":
                counts.append(value.get("constant_integer", 0))
            case "CONSTANT_PERCENTAGE":
                counts.append(_share(value.get("constant_percentage", 0.0)))
            case "EXPRESSION_VALUE":
                if (call := volatile_call(value["expression"], {})) is not None:
                    refuse(f"a LIMIT or OFFSET by {call['qname']['path'][-1]}()", call)
                reader = ExpressionReader(below.width, below.bindings)
                counts.append(reader(value["expression"]))
            case other:
                refuse(f"a LIMIT of kind {other}", found)
    count, offset = counts
    if isinstance(count, int | None) and isinstance(offset, int | None):
        return first(below, (), count, offset or 0, exchanges)
    return _first_by_number(below, count, offset, exchanges)


def _share(percent: float) -> BoundExpr:
    """How many rows are so many of a hundred, of as many as the column behind the rows says."""
    exact = Constant(_DOUBLE, float(Decimal(str(percent)) / 100))
    rows = Conversion(_COUNT, _DOUBLE)
    return Conversion(Call("floor", (Call("*", (rows, exact), _DOUBLE),), _DOUBLE), _BIGINT)


_COUNT: Final = Place(2**30)
"""Stands for the column of how many rows there are, until that is known."""


def _settled(keys: tuple[BoundKey, ...], below: Rows, exchanges: Exchanges) -> tuple[BoundKey, ...]:
    """Where the rows are computed several times, rows that the keys leave alike get an order."""
    repeats = exchanges.repeats or below.shared
    return keys + by_all(below.width) if repeats else keys


def first(
    below: Rows,
    keys: tuple[BoundKey, ...],
    count: int | None,
    offset: int,
    exchanges: Exchanges,
) -> Rows:
    """The first rows in an order; without keys in the one that they have, if any."""
    after = keys or below.order
    keys = keys or below.order or ()
    if keys or not below.placed:
        keys = _settled(keys, below, exchanges)
    if below.split and count is not None:
        some = Sort(keys, count + offset, 0, partial=True, input=below.node)
        below = attrs.evolve(below, node=some)
    whole = exchanges.gather(below)
    node = Sort(keys, count, offset, partial=False, input=whole.node)
    known, most = whole.count, whole.most
    if count is not None:
        known = float(count) if known is None else min(known, float(count))
        most = float(count) if most is None else min(most, float(count))
    return attrs.evolve(whole, node=node, order=after, count=known, most=most)


def _first_by_number(
    below: Rows,
    count: int | BoundExpr | None,
    offset: int | BoundExpr | None,
    exchanges: Exchanges,
) -> Rows:
    """Rows are numbered, and kept by their numbers: how many, only they or others say."""
    order = below.order
    whole = exchanges.gather(below)
    repeats = exchanges.repeats or below.shared
    keys = order if order is not None and not repeats else None
    if below.placed and order is None:
        keys = ()
    number = BoundWindow(
        BoundAggregate("row_number", (), _BIGINT),
        (),
        keys if keys is not None else (order or ()) + by_all(below.width),
        None,
    )
    total = BoundWindow(BoundAggregate("count", (), _BIGINT), (), (), None)
    node = OverWindows((number, total), whole.node)
    at, rows = Place(below.width), Place(below.width + 1)
    first = _counted(offset, rows) or Constant(_BIGINT, 0)
    conditions: list[BoundExpr] = [Call(">", (at, first), BOOLEAN)]
    last = _counted(count, rows)
    if last is not None:
        end = Call("+", (first, last), _BIGINT)
        unlimited = Special(Form.IS_NULL, (last,))
        within = Call("<=", (at, end), BOOLEAN)
        conditions.append(Conjunction((unlimited, within), any=True))
    kept = whole.made(filtered(node, conditions), below.width + 2)
    if order is not None:
        kept = attrs.evolve(kept, node=Sort(order, None, 0, partial=False, input=kept.node))
    bare = projected(kept, [Place(each) for each in range(below.width)])
    return attrs.evolve(bare, order=order)


def _counted(count: int | BoundExpr | None, rows: Place) -> BoundExpr | None:
    if count is None:
        return None
    if isinstance(count, int):
        return Constant(_BIGINT, count)
    return Conversion(_with_count(count, rows), _BIGINT)


def _with_count(expr: BoundExpr, rows: Place) -> BoundExpr:
    made: BoundExpr = replaced(expr, lambda at: rows if at == _COUNT.index else Place(at))
    return made


def sample(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    """Rows by a hash of their number in an order of all columns, and of the seed.

    So it is the same sample however often, and wherever, it is taken.
    """
    below = exchanges.gather(inputs[0])
    options = found["sample_options"]
    seed = options.get("seed", 0) if options.get("repeatable") else secrets.randbits(31)
    size = read_constant(options["sample_size"]).value
    if not isinstance(size, int | float):
        refuse("a SAMPLE of no number", found)
    numbered = BoundWindow(BoundAggregate("row_number", (), _BIGINT), (), by_all(below.width), None)
    node = OverWindows((numbered,), below.node)
    number = Call("+", (Place(below.width), Constant(_BIGINT, 0)), _BIGINT)
    drawn = Call("hash", (number, Constant(_BIGINT, seed)), _UBIGINT)
    rows = below.made(node, below.width + 1)
    if options.get("is_percentage"):
        if size < _ALL:
            share = Constant(_DOUBLE, size / _ALL * _HASHES)
            rows = attrs.evolve(
                rows,
                node=filtered(node, [Call("<", (Conversion(drawn, _DOUBLE), share), BOOLEAN)]),
            )
    else:
        keys = (BoundKey(drawn, asc=True, nulls_first=False),)
        rows = attrs.evolve(
            rows,
            node=Sort(keys, int(size), 0, partial=False, input=node),
            count=float(size),
            most=float(size),
        )
    return projected(rows, [Place(at) for at in range(below.width)])
