"""Where rows come from: scans of tables, and rows that the query itself says."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

import attrs

from ffq.engine.scalars import ROW_FUNCTIONS
from ffq.plan.bound import (
    BoundExpr,
    Call,
    Conjunction,
    Constant,
    Form,
    Place,
    Special,
    SqlType,
)
from ffq.plan.model import Inline, Node, NumberedScan, ParquetScan, RowsOf, Series, Unnest, Values
from ffq.sql.exchanges import ROW_BYTES, Exchanges, Scanned
from ffq.sql.pieces import (
    NOTHING,
    Rows,
    filtered,
    moved_to,
    part_of,
    project,
    projected,
    table_filter,
)
from ffq.sql.serialized import ExpressionReader, Json, read_constant, read_type, refuse

_NO_COLUMN: Final = 2**60
"""From here on an index is none of a column: a placeholder of what only counts rows."""
_SERIES: Final = frozenset({"range", "generate_series"})
_SELECTIVITY: Final = 0.2
"""Of a condition of which nothing is known."""
_MOST_CONDITIONS: Final = 2
"""More than so many are taken for saying the same again: what is left is never next to nothing."""
BIGINT: Final = SqlType("BIGINT")
_SOME_ROWS: Final = 1000.0
"""Of a function, of whose rows nothing is known."""
_NOT_YET: Final = Constant(SqlType("BOOLEAN"), None)
"""In place of a column that is read later: the smallest that there is."""
_ONE_ROW: Final = Values((NOTHING.type,), ((NOTHING,),))


def get(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    """A scan, or a table function."""
    function = found["qname"]["path"][-1]
    if function == "seq_scan" and not inputs:
        return _scan(found, exchanges)
    if function not in _SERIES | ROW_FUNCTIONS and function != "unnest":
        refuse(f"the table function {function}", found)
    if found.get("table_filters", {}).get("filters"):
        refuse(f"a filter within the table function {function}", found)
    if inputs:
        return _over_rows(found, inputs[0])
    args = tuple(read_constant(each) for each in found.get("parameters", []))
    if function in _SERIES and not found.get("source_ordinality"):
        series = Series(function, args, read_type(found["returned_types"][0]))
        return _of_parameters(found, series, 0)
    if function in ROW_FUNCTIONS:
        rows = _rows_of(found, args, Rows(_ONE_ROW, 1, split=False, order=(), count=_SOME_ROWS))
        return projected(
            rows, [Place(at) for at in found.get("projection_ids") or range(rows.width)]
        )
    return _of_parameters(found, _unnested(found, args, _ONE_ROW), 1)


def _of_parameters(found: Json, node: Node, at: int) -> Rows:
    """at: where the node has the function's column, which may be read several times."""
    indexes = [each.get("index", 0) for each in found.get("column_indexes", [{}])]
    places = [Place(at) if index < _NO_COLUMN else NOTHING for index in indexes]
    kept = found.get("projection_ids") or range(len(places))
    if found.get("source_ordinality"):
        places.append(Place(at + 1))
        kept = [*kept, len(places) - 1]
    width = len(places)
    rows = Rows(project(node, places), width, split=False, order=(), count=_SOME_ROWS)
    return projected(rows, [Place(at) for at in kept])


def _unnested(found: Json, args: Sequence[BoundExpr], below: Node) -> Unnest:
    """What the function makes of its arguments, and beside it the numbers that a query asks for."""
    function = found["qname"]["path"][-1]
    numbers = bool(found.get("source_ordinality"))
    kind = read_type(found["returned_types"][0])
    if function == "unnest":
        if len(args) != 1 or len(found["returned_types"]) > 1 + numbers:
            refuse("unnest of more than one list in FROM", found)
        items = args[0]
    else:
        items = Call(function, tuple(args), SqlType("LIST", (kind,)))
    if not numbers:
        return Unnest((items,), (kind,), below)
    one, length = Constant(BIGINT, 1), Call("len", (items,), BIGINT)
    numbered = Call("generate_series", (one, length), SqlType("LIST", (BIGINT,)))
    return Unnest((items, numbered), (kind, BIGINT), below)


def _rows_of(found: Json, args: tuple[BoundExpr, ...], below: Rows) -> Rows:
    """A function of ours over each row, and of the row the columns that it keeps."""
    if found.get("source_ordinality"):
        refuse(f"WITH ORDINALITY of {found['qname']['path'][-1]}", found)
    types = tuple(map(read_type, found["returned_types"]))
    node = RowsOf(found["qname"]["path"][-1], args, types, below.node)
    indexes = [each.get("index", 0) for each in found.get("column_indexes", [{}])]
    beside = found.get("projected_input", [])
    places = [Place(below.width + at) if at < _NO_COLUMN else NOTHING for at in indexes]
    places += [Place(at) for at in beside]
    rows = below.made(project(node, places), len(places))
    if below.bindings is None:
        return rows
    own = found.get("table_index", 0)
    bindings = (*((own, at) for at in range(len(indexes))), *(below.bindings[at] for at in beside))
    return attrs.evolve(rows, bindings=bindings)


def _over_rows(found: Json, below: Rows) -> Rows:
    """A table function whose arguments are columns of other rows, of which it keeps some."""
    args = tuple(map(Place, range(len(found["input_table_types"]))))
    if found["qname"]["path"][-1] in ROW_FUNCTIONS:
        return _rows_of(found, args, below)
    node = _unnested(found, args, below.node)
    beside = found.get("projected_input", [])
    own_columns = [each.get("index", 0) for each in found.get("column_indexes", [{}])]
    places = [Place(below.width + at) for at in own_columns]
    places += [Place(at) for at in beside]
    rows = below.made(project(node, places), len(places))
    if below.bindings is None:
        return rows
    own = found.get("table_index", 0)
    bindings = (
        *((own, at) for at in range(len(own_columns))),
        *(below.bindings[at] for at in beside),
    )
    return attrs.evolve(rows, bindings=bindings)


def _scan(found: Json, exchanges: Exchanges) -> Rows:
    names, kinds = found.get("names", []), found["returned_types"]
    indexes = [each.get("index", 0) for each in found.get("column_indexes", [{}])]
    read = tuple(names[at] if at < _NO_COLUMN else None for at in indexes)
    table, own = found["function_data"]["table"], found.get("table_index", 0)
    later = exchanges.later.get(own, frozenset())
    wanted = dict.fromkeys(name for name in read if name is not None and name not in later)
    scan = (NumberedScan if later else ParquetScan)(table, None, tuple(wanted), ())
    types = {names[at]: kinds[at] for at in indexes if at < _NO_COLUMN}
    rows: Node = scan
    if table in exchanges.inline:
        rows = Inline(table, tuple((name, read_type(types[name])) for name in wanted))
    columns = _columns(found, read, tuple(wanted), later)
    rows = project(rows, columns)
    conditions = _conditions(found, len(columns))
    rows = filtered(rows, conditions)
    kept = found.get("projection_ids") or range(len(columns))
    split = table not in exchanges.inline
    whole = Rows(project(rows, [Place(at) for at in kept]), len(kept), split=split)
    known = exchanges.estimates.get(table)
    if known is not None:
        of_columns = [
            known.width(name or "", len(names))
            if name not in later
            else (ROW_BYTES if isinstance(column, Place) else 0.0)
            for name, column in zip(read, columns, strict=True)
        ]
        whole = attrs.evolve(
            whole,
            count=known.rows * _part_left(conditions),
            most=float(known.rows),
            base=float(known.rows),
            widths=tuple(of_columns[at] for at in kept),
        )
        exchanges.scanned[own] = Scanned(
            scan,
            read,
            {name: read_type(kind) for name, kind in types.items()},
            {name: known.width(name, len(names)) for name in types},
            whole.count or 0.0,
        )
    whole = attrs.evolve(whole, bindings=tuple((own, at) for at in kept))
    return exchanges.gather(whole) if exchanges.whole else whole


def _columns(
    found: Json, read: Sequence[str | None], wanted: Sequence[str], later: Set[str]
) -> list[BoundExpr]:
    """Of a scan, of columns of these names and behind them, if some are read later, of the rows."""
    columns: list[BoundExpr] = []
    row: BoundExpr = Place(len(wanted))
    for name, each in zip(read, found.get("column_indexes", [{}]), strict=True):
        if name in later:
            columns.append(row)
            row = _NOT_YET
        elif name is None:
            columns.append(NOTHING)
        else:
            kind = found["returned_types"][each.get("index", 0)]
            columns.append(part_of(Place(wanted.index(name)), kind, each))
    return columns


def _conditions(found: Json, width: int) -> list[BoundExpr]:
    filters = found.get("table_filters") or {}
    conditions = [
        condition
        for each in filters.get("filters", [])
        if (condition := table_filter(each["value"], Place(each.get("key", 0)))) is not None
    ]
    reader = ExpressionReader(width)
    conditions += [
        moved_to(reader(each["expr"]), each["column_indexes"])
        for each in filters.get("multi_column_filters", [])
    ]
    return conditions


def _part_left(conditions: Sequence[BoundExpr]) -> float:
    """Of a table's rows, by estimate. That values are there leaves all: most columns have all."""
    terms: set[BoundExpr] = set()
    for each in conditions:
        every = isinstance(each, Conjunction) and not each.any
        terms.update(each.terms if every and isinstance(each, Conjunction) else (each,))
    counted = [
        each for each in terms if not (isinstance(each, Special) and each.form is Form.IS_NOT_NULL)
    ]
    return _SELECTIVITY ** min(len(counted), _MOST_CONDITIONS)


def dummy(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    del found, inputs, exchanges
    return Rows(_ONE_ROW, 1, split=False, order=(), count=1.0, most=1.0)


def empty(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    del inputs, exchanges
    types = tuple(map(read_type, found["return_types"]))
    return Rows(Values(types, ()), len(types), split=False, order=(), count=0.0, most=0.0)


def expressions(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    del inputs, exchanges
    types = tuple(map(read_type, found["expr_types"]))
    reader = ExpressionReader(0)
    rows = tuple(reader.all(row) for row in found["expressions"])
    count = float(len(rows))
    return Rows(Values(types, rows), len(types), split=False, order=(), count=count, most=count)


def chunk(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    del inputs, exchanges
    types = tuple(map(read_type, found["chunk_types"]))
    columns = found["collection"].get("values", [])
    rows = tuple(
        zip(
            *(
                [read_constant(value, kind) for value in column]
                for column, kind in zip(columns, types, strict=True)
            ),
            strict=True,
        )
    )
    count = float(len(rows))
    return Rows(Values(types, rows), len(types), split=False, order=(), count=count, most=count)


def unnest(found: Json, inputs: Sequence[Rows], exchanges: Exchanges) -> Rows:
    del exchanges
    (below,) = inputs
    reader = ExpressionReader(below.width, below.bindings)
    lists = tuple(reader(each["child"]) for each in found["expressions"])
    types = tuple(read_type(each["return_type"]) for each in found["expressions"])
    width = below.width + len(lists)
    rows = below.made(Unnest(lists, types, below.node), width)
    own = found.get("unnest_index", 0)
    bindings = below.bindings
    if bindings is not None:
        bindings += tuple((own, at) for at in range(len(lists)))
    return attrs.evolve(rows, bindings=bindings, order=below.order and None)
