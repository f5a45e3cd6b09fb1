"""Wide columns of the first rows of an order are read for those rows alone.

Nothing but the output asks for them: no condition, key or order. So what is below the order has,
in their place, which row of which file each is, and the task that has found the first rows reads
the columns for these. That pays where they would have been exchanged; and where the rows are so few
that they lie in a small part of the table's row groups, since the others need not be unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from ffq.plan.bound import BoundExpr, BoundKey, Conversion, Place
from ffq.plan.model import MAX_FETCHED, FetchedRows, ParquetScan, Project
from ffq.plan.terms import Bound
from ffq.plan.volatile import is_volatile
from ffq.sql import orders
from ffq.sql.exchanges import ROW_BYTES, Exchanges, Scanned
from ffq.sql.passed import Passed, Unknown
from ffq.sql.pieces import Rows, over, projected
from ffq.sql.serialized import ExpressionReader, Json

_GROUP_ROWS: Final = 122_880.0
"""Of a row group, as most writers cut files; of each that has such a row the engine unpacks all."""
_EXCHANGED: Final = 4.0
"""What it takes to exchange a byte, in bytes that are unpacked."""
_PASSED_OVER: Final = 0.2
"""Of a table's rows, so many are left where some of about each row group are: all is unpacked."""
_LEAST_GAIN: Final = 16.0 * 1024 * 1024
"""Bytes to be unpacked less, for the second look at the files to be worth it."""


@attrs.frozen
class Top:
    """The first rows of an order.

    Attributes:
        rows: what they are found among.
        exprs: what is given out of each of these.
        keys: over what is given out.
        made: as `rows`, of what is given out.
    """

    rows: Rows
    exprs: tuple[BoundExpr, ...]
    keys: tuple[BoundKey, ...]
    limit: int
    offset: int
    made: Rows

    @classmethod
    def of(cls, found: Json, projection: Json | None, rows: Rows, made: Rows) -> Top:
        """projection: between the order and the rows, if there is one."""
        exprs: tuple[BoundExpr, ...] = tuple(map(Place, range(rows.width)))
        if projection is not None:
            exprs = ExpressionReader(rows.width, rows.bindings).all(projection["expressions"])
        keys = ExpressionReader(made.width, made.bindings).keys(found["orders"])
        return cls(rows, exprs, keys, found.get("limit", 0), found.get("offset", 0), made)

    @property
    def keys_below(self) -> tuple[BoundKey, ...]:
        """The order's keys, over the rows that are given out of."""
        return tuple(attrs.evolve(key, expr=over(key.expr, self.exprs)) for key in self.keys)

    @property
    def is_volatile(self) -> bool:
        made = tuple((Bound(each), "") for each in self.exprs)
        return is_volatile(Project(made, self.rows.node))


@attrs.frozen
class Noted:
    """What exchanges had taken note of before something was planned."""

    choices: tuple[str, ...]
    most_bytes: float

    @classmethod
    def of(cls, exchanges: Exchanges) -> Noted:
        return cls(tuple(exchanges.choices), exchanges.most_bytes)

    def restore(self, exchanges: Exchanges) -> None:
        exchanges.choices[:] = self.choices
        exchanges.most_bytes = self.most_bytes


@attrs.frozen
class _Later:
    """Columns of a scan that are read later.

    columns: of which of the rows' columns each is, by its name.
    """

    table: int
    scanned: Scanned
    columns: Mapping[int, str]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which the scan was asked for them."""
        wanted = set(self.columns.values())
        return tuple(dict.fromkeys(name for name in self.scanned.read if name in wanted))


def fetched(
    top: Top, again: Callable[[], Rows], exchanges: Exchanges, before: Noted
) -> Rows | None:
    """The first rows, some of whose columns are read when it is known which rows these are; None:
    there are none for which that pays.

    Args:
        again: plans what the rows are found among, once more.
        before: as it was before it was planned.
    """
    repeats = exchanges.repeats or exchanges.whole or top.rows.shared
    if repeats or not exchanges.reads_later or not 0 < top.limit <= MAX_FETCHED or top.is_volatile:
        return None
    later = [each for worth, each in _worth(top, exchanges) if worth >= _LEAST_GAIN]
    if not later:
        return None
    as_planned = Noted.of(exchanges)
    before.restore(exchanges)
    found = _planned(top, later, again, exchanges)
    if found is None:
        as_planned.restore(exchanges)
    return found


def _worth(top: Top, exchanges: Exchanges) -> Iterator[tuple[float, _Later]]:
    """Columns of each scan that may be read later, and how many bytes less it takes a slot then to
    unpack: all have a share of what is left out, and one reads what is read later."""
    for index, scanned in list(exchanges.scanned.items()):
        scan = scanned.scan
        known = exchanges.estimates.get(scan.table)
        if known is None or not known.numbered or scan.table in exchanges.inline:
            continue
        passed = Passed(scan)
        columns = _reached(passed, top, top.rows)
        names = [str(name) for name in scan.projection or ()]
        found = {at: names[of] for at, of in columns.items()}
        if not found:
            continue
        sent = sum(scanned.widths[names[of]] for of in set(columns.values()) & passed.exchanged)
        wide = sum(scanned.widths[name] for name in set(found.values()))
        less = wide * min(known.rows, scanned.count / _PASSED_OVER)
        less += _EXCHANGED * scanned.count * (sent - ROW_BYTES if sent else 0.0)
        slots = max(1, exchanges.cluster.slots)
        again = wide * min(known.rows, top.limit * _GROUP_ROWS)
        yield less / slots - again, _Later(index, scanned, found)


def _reached(passed: Passed, top: Top, rows: Rows) -> dict[int, int]:
    """Columns of a scan, by where they stand among the rows, that nothing is computed of."""
    try:
        columns = passed.using(top.keys_below, passed.columns(rows.node))
    except Unknown:
        return {}
    pairs = enumerate(columns)
    return {at: of for at, of in pairs if of is not None and of not in passed.used}


def _planned(
    top: Top, later: Sequence[_Later], again: Callable[[], Rows], exchanges: Exchanges
) -> Rows | None:
    """None: planned so, something else than the output asks for the columns."""
    named = {each.table: frozenset(each.names) for each in later}
    around, exchanges.later = exchanges.later, {**exchanges.later, **named}
    try:
        rows = again()
    finally:
        exchanges.later = around
    first = orders.first(rows, top.keys_below, top.limit, top.offset, exchanges)
    columns: list[BoundExpr] = [*map(Place, range(rows.width))]
    node, width = first.node, rows.width
    for each in later:
        names, scanned = each.names, exchanges.scanned[each.table]
        leaf = [names.index(name) if name in names else None for name in scanned.read]
        reached = _reached(Passed(scanned.scan, leaf), top, rows)
        if {at: names[of] for at, of in reached.items()} != each.columns:
            return None
        at_row = next(at for at, of in reached.items() if of == 0)
        node = FetchedRows(node, ParquetScan(scanned.scan.table, None, names, ()), at_row)
        for at, of in reached.items():
            columns[at] = Conversion(Place(width + of), scanned.types[names[of]])
        width += len(names)
        exchanges.choices.append(
            f"Top: {_listed(names)} of {scanned.scan.table} are read for its {top.limit:,} rows "
            "alone"
        )
    given = attrs.evolve(first, node=node, width=width, order=None, bindings=None, widths=())
    made = projected(given, [over(each, columns) for each in top.exprs])
    return attrs.evolve(made, order=top.keys, bindings=top.made.bindings, widths=top.made.widths)


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return f"{', '.join(listed[:3])}{more}"
