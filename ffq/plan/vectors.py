"""Vector search as exact search: nodes that run, in place of VectorTopK and VectorKnn.

Each task of the scan scores its share and keeps its k best rows; one task takes the best of these.
What is written so has words of our own, so that no peer has to number its stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan import model
from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    BoundKey,
    BoundWindow,
    Call,
    Choice,
    Constant,
    Conversion,
    Form,
    Lambda,
    Place,
    Special,
    SqlType,
)
from ffq.plan.codec.cursor import shown
from ffq.plan.model import Node
from ffq.plan.payload_filters import read_filter
from ffq.plan.terms import Bound, Column, Expr, IsNotNull, Literal, LiteralType
from ffq.plan.vector_tables import (
    METRICS,
    ColumnKind,
    Metric,
    TableColumn,
    VectorTable,
    VectorTables,
)
from ffq.plan.walk import child_fields, node_name

EXACT_PROVIDERS: Final = ("exact", "brute_force", "flat", "parquet", "file")
"""What a VectorKnn's provider may be called; or it is null or empty."""

_BOOLEAN: Final = SqlType("BOOLEAN")
_BIGINT: Final = SqlType("BIGINT")
_FLOAT: Final = SqlType("FLOAT")
_DOUBLE: Final = SqlType("DOUBLE")
_VARCHAR: Final = SqlType("VARCHAR")
_JSON: Final = SqlType("JSON")
_FLOATS: Final = SqlType("LIST", (_FLOAT,))
_DOUBLES: Final = SqlType("LIST", (_DOUBLE,))
_BIGINTS: Final = SqlType("LIST", (_BIGINT,))
_MOST: Final = 2**63 - 1
_SCORES: Final = {
    Metric.COSINE: "list_cosine_similarity",
    Metric.L2: "list_distance",
    Metric.DOT: "list_inner_product",
}
_NULL: Final = Constant(SqlType("NULL"), None)
_ROW: Final = ("id", "score", "payload")
_GATHERED: Final = model.SinglePartitioning()


def with_exact_search(plan: Node, tables: VectorTables) -> Node:
    """The plan with its vector search as nodes that run; itself, the same object, without any.

    Raises:
        PlanningError: a table that cannot be searched, or query vectors that do not fit it.
        UnsupportedPlan: a provider, a metric or a filter that we have not, by name.
    """
    match plan:
        case model.VectorTopK():
            return _top_k(plan, tables(plan.table))
        case model.VectorKnn():
            _check_provider(plan)
            return _knn(plan, tables(plan.source))
    new = plan
    for name in child_fields(plan):
        below = getattr(plan, name)
        child = with_exact_search(below, tables)
        if child is not below:
            new = attrs.evolve(new, **{name: child})  # type: ignore[arg-type]
    return new


def _top_k(node: model.VectorTopK, table: VectorTable) -> Node:
    search = _Search(table, table.metric, node.k, node_name(node))
    query = search.checked(node.query_vector, "query_vector")
    wanted = read_filter(node.filter, table, f"{node_name(node)}: filter")
    text = Constant(_VARCHAR, _vector_text(query))
    vector = Conversion(Conversion(text, _FLOATS), _DOUBLES)
    scored = search.scored(search.vectors(wanted, len(query)), vector, None)
    best = search.best(search.packed(search.best(scored, partial=True), None), partial=False)
    return _project(best, _ROW)


def _knn(node: model.VectorKnn, table: VectorTable) -> Node:
    metric = _metric(node) or table.metric
    search = _Search(table, metric, node.k, node_name(node))
    queries = [
        search.checked(each, f"query_vectors[{at}]") for at, each in enumerate(node.query_vectors)
    ]
    length = len(queries[0]) if queries else 0
    if odd := next((each for each in queries if len(each) != length), None):
        raise PlanningError(
            f"{node_name(node)} of table {table.name!r}: query_vectors have {length} and "
            f"{len(odd)} numbers; right would be one length, that of {table.vector.name!r}"
        )
    wanted = read_filter(node.prefilter, table, f"{node_name(node)}: prefilter")
    if not queries:  # no length that a vector could have
        wanted = Literal(LiteralType.BOOLEAN, False)
    width = len(table.others) + 2
    rows = search.vectors(wanted, length)
    pairs = model.Unnest(_numbered(queries), (_DOUBLES, _BIGINT), rows)
    scored = search.scored(pairs, Place(width), Place(width + 1))
    near = search.best_of_each(scored, partial=True)
    best = search.best_of_each(search.packed(near, Place(2)), partial=False)
    return _project(search.in_order(best), (*_ROW, "query"), (0, 1, 3, 2))


def _check_provider(node: model.VectorKnn) -> None:
    given = node.provider or ""
    if given.lower().replace("-", "_") not in {"", *EXACT_PROVIDERS}:
        raise UnsupportedPlan(
            f"VectorKnn of {node.source!r}: this engine has no provider {shown(given)}; right "
            f"would be exact search over a table of files: {', '.join(EXACT_PROVIDERS)}, or none"
        )


def _metric(node: model.VectorKnn) -> Metric | None:
    if not node.metric:
        return None
    metric = METRICS.get(node.metric.lower())
    if metric is None:
        raise UnsupportedPlan(
            f"VectorKnn of {node.source!r}: unknown metric {shown(node.metric)}; known: "
            f"{', '.join(METRICS)}"
        )
    return metric


@attrs.frozen
class _Search:
    """Rows are (id, vector, payload columns), then scored (id, score, [query,] payload columns)."""

    table: VectorTable
    metric: Metric
    k: int
    node: str

    def checked(self, query: tuple[float, ...], field: str) -> tuple[float, ...]:
        wanted = self.table.vector.length
        if not query or (wanted is not None and len(query) != wanted):
            right = "" if wanted is None else f", and those of the column {wanted}"
            raise PlanningError(
                f"{self.node} of table {self.table.name!r}: {field} has {len(query)} numbers"
                f"{right or '; right would be as many as the vectors of the column have'}"
            )
        return query

    def vectors(self, wanted: Expr | None, length: int) -> Node:
        """(id, vector, payload columns) of the rows that are wanted and have a vector."""
        table = self.table
        has_vector = IsNotNull(Column(table.vector.name))
        names = (table.id.name, table.vector.name, *(each.name for each in table.others))
        filters = (has_vector,) if wanted is None else (has_vector, wanted)
        rows = model.ParquetScan(table.name, None, names, filters)
        return _project(
            rows,
            names,
            (Conversion(Place(0), _BIGINT), self._checked(length), *range(2, len(names))),
        )

    def _checked(self, length: int) -> BoundExpr:
        """The vector; an error where it has another length, or a null among its numbers."""
        # Distances are refused where a null list of a file has left a null in the column's memory:
        # lists that are made anew have none.
        doubles = Conversion(Place(1), _DOUBLES)
        vector = Call("list_resize", (doubles, Constant(_BIGINT, length)), _DOUBLES)
        column = f"table {self.table.name!r}, column {self.table.vector.name!r}"
        long = Call("len", (Place(1),), _BIGINT)
        other = Call("<>", (long, Constant(_BIGINT, length)), _BOOLEAN)
        why = _error(
            f"{column}: a vector has ",
            long,
            f" numbers, and the query vector {length}: they must be as many",
        )
        at_null = Call("list_position", (Place(1), _NULL), _BIGINT)
        broken = Special(Form.IS_NOT_NULL, (at_null,))
        nulls = _error(f"{column}: a vector has a null among its numbers")
        return Choice(((other, why), (broken, nulls)), vector)

    def scored(self, rows: Node, query: BoundExpr, number: Place | None) -> Node:
        """(id, score, [number of the query vector,] payload columns)."""
        measured = Call(_SCORES[self.metric], (Place(1), query), _DOUBLE)
        numbers = () if number is None else (number,)
        others = range(2, len(self.table.others) + 2)
        names = self._scored(number)
        measures = _project(rows, names, (0, measured, *numbers, *others))
        return _project(measures, names, (0, _as_float(Place(1)), *range(2, len(names))))

    def _scored(self, number: Place | None) -> tuple[str, ...]:
        query = () if number is None else ("query",)
        return "id", "score", *query, *(each.name for each in self.table.others)

    def _keys(self) -> tuple[BoundKey, ...]:
        """NaN, as of a zero vector's cosine, is after all numbers; rows of one score by id."""
        no_number = Call("isnan", (Place(1),), _BOOLEAN)
        smallest = self.metric is Metric.L2
        return (
            BoundKey(no_number, asc=True, nulls_first=False),
            BoundKey(Place(1), asc=smallest, nulls_first=False),
            BoundKey(Place(0), asc=True, nulls_first=False),
        )

    def best(self, rows: Node, *, partial: bool) -> Node:
        return model.Sort(self._keys(), self.k, 0, partial, rows)

    def best_of_each(self, rows: Node, *, partial: bool) -> Node:
        """The k best rows of each query vector, which is in column 2.

        By one key, of three parts: the engine then keeps k rows in memory, of several keys all.
        """
        no_number = Call("isnan", (Place(1),), _BOOLEAN)
        smallest = self.metric is Metric.L2
        score = Place(1) if smallest else Call("-", (Place(1),), _FLOAT)
        parts = SqlType("TUPLE", (_BOOLEAN, _FLOAT, _BIGINT))
        key = BoundKey(Call("row", (no_number, score, Place(0)), parts), True, nulls_first=False)
        rank = BoundWindow(BoundAggregate("row_number", (), _BIGINT), (Place(2),), (key,), None)
        names = self._scored(Place(2)) if partial else ("id", "score", "query", "payload")
        ranked = model.OverWindows((rank,), rows, partial)
        near = Call("<=", (Place(len(names)), Constant(_BIGINT, min(self.k, _MOST))), _BOOLEAN)
        return _project(model.Filter(Bound(near), ranked), names)

    def packed(self, rows: Node, number: Place | None) -> Node:
        """(id, score, [query,] payload), gathered from all tasks of the scan."""
        kept = ("id", "score") if number is None else ("id", "score", "query")
        args: list[BoundExpr] = []
        for at, column in enumerate(self.table.others, len(kept)):
            args += [Constant(_VARCHAR, column.name), _json_value(Place(at), column)]
        payload = Conversion(Call("json_object", tuple(args), _JSON), _VARCHAR)
        packed = _project(rows, (*kept, "payload"), (*range(len(kept)), payload))
        return model.ShuffleRead(model.ShuffleWrite(packed, _GATHERED), _GATHERED)

    def in_order(self, rows: Node) -> Node:
        """By query vector, which is in column 2."""
        keys = (BoundKey(Place(2), asc=True, nulls_first=False), *self._keys())
        return model.Sort(keys, None, 0, partial=False, input=rows)


def _project(
    rows: Node, names: Sequence[str], exprs: Sequence[BoundExpr | int] | None = None
) -> Node:
    """Columns of these names: expressions or places; None: the first columns that there are."""
    values = range(len(names)) if exprs is None else exprs
    columns = ((Place(each) if isinstance(each, int) else each) for each in values)
    pairs = zip(map(Bound, columns), names, strict=True)
    return model.Project(tuple(pairs), rows)


def _vector_text(vector: Sequence[float]) -> str:
    return f"[{', '.join(map(repr, vector))}]"


def _numbered(queries: Sequence[Sequence[float]]) -> tuple[BoundExpr, BoundExpr]:
    """Lists of the query vectors and of their numbers.

    They are a text that is cast: of a constant for each number the engine would bind as many
    expressions.
    """
    text = f"[{', '.join(map(_vector_text, queries))}]"
    singles = Conversion(Constant(_VARCHAR, text), SqlType("LIST", (_FLOATS,)))
    numbers = Call("range", (Constant(_BIGINT, len(queries)),), _BIGINTS)
    return Conversion(singles, SqlType("LIST", (_DOUBLES,))), numbers


def _as_float(score: BoundExpr) -> BoundExpr:
    """A Float32; infinite where it is beyond one.

    Rows are ordered by what is given out: by digits that it has not, what is computed equal but for
    its rounding would be no tie.
    """
    infinite = Call("*", (score, Constant(_DOUBLE, float("inf"))), _DOUBLE)
    narrowed = Conversion(score, _FLOAT, tries=True)
    return Special(Form.COALESCE, (narrowed, Conversion(infinite, _FLOAT)))


def _error(*parts: str | BoundExpr) -> BoundExpr:
    args = tuple(Constant(_VARCHAR, part) if isinstance(part, str) else part for part in parts)
    return Call("error", (Call("concat", args, _VARCHAR),), SqlType("NULL"))


def _json_value(place: Place, column: TableColumn) -> BoundExpr:
    """NaN and the infinite ones are no JSON numbers: null."""
    match column.kind:
        case ColumnKind.FLOAT:
            return _finite(place)
        case ColumnKind.FLOATS:
            return Call("list_transform", (place, Lambda(1, _finite(Place(0)), ())), _DOUBLES)
        case _:
            return place


def _finite(value: Place) -> BoundExpr:
    return Choice(((Call("isfinite", (value,), _BOOLEAN), value),), _NULL)
