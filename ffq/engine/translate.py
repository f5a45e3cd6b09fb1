"""Plan nodes as one chain of SQL common table expressions.

Each node becomes one, and nodes that become the same SQL are one; a chain keeps the SQL flat
however deep the plan is. What a WITH defines, and several read from the same files, is computed
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from ffq.engine import alike, types
from ffq.engine.aggregates import final_sql, partial_sql
from ffq.engine.bound import BoundWriter, constant_sql, type_sql, without_own_casts
from ffq.engine.chain import Chain
from ffq.engine.expressions import ExpressionWriter
from ffq.engine.joins import (
    LEFT_MATCHES,
    MATCHES,
    join_columns,
    join_keys,
    join_sql,
    mark_sql,
    renumbered,
)
from ffq.engine.oracle import TypeOracle
from ffq.engine.rules import types_by_rule
from ffq.engine.scalars import ROW_FUNCTIONS
from ffq.engine.scans import Source
from ffq.engine.sql import ColumnInfo, Columns, Relation, row_bound, select_list, text
from ffq.engine.subqueries import subquery_condition
from ffq.engine.windows import window_sql
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan import model
from ffq.plan.bound import BoundExpr, Match, Phase, SqlType
from ffq.plan.model import Node
from ffq.plan.names import find_column
from ffq.plan.outputs import group_name
from ffq.plan.terms import Bound, Expr
from ffq.plan.walk import node_name

_NO_CATALOG: Final = ": its coordinator does that where its catalog has the table of vectors"
_WHY_NOT: Final = {model.VectorTopK: _NO_CATALOG, model.VectorKnn: _NO_CATALOG}


class Leaves(Protocol):
    """Where a fragment's rows come from. Called in the stage's walk order."""

    def scan(self, node: model.ParquetScan) -> Source: ...

    def inline(self, node: model.Inline) -> Source: ...

    def read(self, node: model.ShuffleRead) -> Source: ...

    def custom(self, node: model.Custom) -> Source: ...

    def write(self, node: model.Write) -> Source: ...

    def commit(self, node: model.Commit) -> Source: ...

    def fetch(self, node: model.FetchedRows) -> Source: ...


class Translator:
    """Translates one fragment, or the part of one that lies above a custom operator."""

    def __init__(self, oracle: TypeOracle, leaves: Leaves) -> None:
        self._oracle = oracle
        self._leaves = leaves
        self._sources = self._chain = Chain()
        self._ctes: set[str] = set()
        self._recursions: list[int] = []

    def query(self, fragment: Node) -> tuple[str, Columns]:
        """A whole SQL query and its columns; before an exchange, as it carries them.

        Raises:
            PlanningError, UnsupportedPlan: the plan cannot run; names the node.
            StorageError: a file cannot be read.
            OperatorError: a custom operator below failed before its first batch.
        """
        relation = self.visit(fragment)
        outputs = _positions(relation.columns)
        if isinstance(fragment, model.ShuffleWrite):
            kinds = [(one.type, types.carried(one.type)) for one in relation.columns]
            outputs = [
                at if kind == carried else f"CAST({at} AS {carried})"
                for at, (kind, carried) in zip(outputs, kinds, strict=True)
            ]
        else:
            outputs = [
                types.within_digits(at, one)
                for at, one in zip(outputs, relation.columns, strict=True)
            ]
        sql = f"{self._chain.text()}SELECT {select_list(outputs)} FROM {relation.name}"
        return sql, relation.columns

    def visit(self, node: Node) -> Relation:  # noqa: PLR0911, PLR0912
        match node:
            case model.ParquetScan():
                return self._scan(node)
            case model.Inline():
                return self._source(self._leaves.inline(node))
            case model.ShuffleRead():
                return self._source(self._leaves.read(node))
            case model.Custom():
                return self._source(self._leaves.custom(node))
            case model.Write():
                return self._source(self._leaves.write(node))
            case model.Commit():
                return self._source(self._leaves.commit(node))
            case model.FetchedRows():
                return self._source(self._leaves.fetch(node))
            case (
                model.CoalesceBatches()
                | model.ShuffleWrite()
                | model.Broadcast()
                | model.WithTables()
            ):
                return self.visit(node.input)
            case model.CteRef():
                return self._cte(self.visit(node.plan))
            case model.Filter():
                return self._filter(node, (node.predicate,), self.visit(node.input))
            case model.Project():
                return self._project(node, self.visit(node.input))
            case model.PartialHashAggregate():
                return self._partial(node, self.visit(node.input))
            case model.FinalHashAggregate():
                return self._final(node, self.visit(node.input))
            case model.HashJoin():
                return self._join(node, self.visit(node.left), self.visit(node.right))
            case model.Sort():
                return self._sort(node, self.visit(node.input))
            case model.Aggregate():
                return self._whole_aggregate(node, self.visit(node.input))
            case model.Series():
                return self._series(node)
            case model.Values():
                return self._values(node)
            case model.SetOperation():
                return self._set(node, self.visit(node.left), self.visit(node.right))
            case model.Unnest():
                return self._unnest(node, self.visit(node.input))
            case model.RowsOf():
                return self._rows_of(node, self.visit(node.input))
            case model.Recursion():
                return self._recursion(node)
            case model.RecursionRef():
                return self._recursion_ref(node)
            case model.OverWindows():
                return self._over_windows(node, self.visit(node.input))
            case model.Join():
                return self._own_join(node, self.visit(node.left), self.visit(node.right))
            case model.Limit():
                below, limit = self.visit(node.input), row_bound(node.n)
                return self._add(f"SELECT * FROM {below.name} LIMIT {limit}", below.columns)
            case model.TopKByScore():
                return self._top_k(node, self.visit(node.input))
            case model.UnionAll():
                return self._union(self.visit(node.left), self.visit(node.right))
            case model.Window():
                return self._window(node, self.visit(node.input))
            case (
                model.InSubqueryFilter()
                | model.ExistsSubqueryFilter()
                | model.ScalarSubqueryFilter()
            ):
                return self._subquery(node)
            case _:
                why = _WHY_NOT.get(type(node), "")
                raise UnsupportedPlan(f"this engine does not run {node_name(node)} nodes{why}")

    def _add(self, sql: str, columns: Columns) -> Relation:
        return Relation(self._chain.add(sql), columns)

    def _cte(self, below: Relation) -> Relation:
        """Read a second time, it is kept: the planner thought it worth that."""
        if not self._recursions and below.name in self._ctes:
            self._chain.keep(below.name)
        self._ctes.add(below.name)
        return below

    def _source(self, source: Source) -> Relation:
        if not self._recursions:
            return self._add(source.sql, source.columns)
        name = self._sources.add(source.sql, keep=True)  # read in each round; no stream can be
        return Relation(name, source.columns)

    def _recursion(self, node: model.Recursion) -> Relation:
        """The step's relations stand within its own query: they are others in each round."""
        columns = _typed_columns(node.types)
        start = self.visit(node.start)
        outer, self._chain = self._chain, self._chain.inner()
        self._recursions.append(node.number)
        step = self.visit(node.step)
        self._recursions.pop()
        inner, self._chain = self._chain, outer
        for side in (start, step):
            if len(side.columns) != len(columns):
                raise PlanningError(
                    f"Recursion: {len(side.columns)} columns; right would be {len(columns)}"
                )
        casts = select_list(f"CAST(c{at} AS {one.type})" for at, one in enumerate(columns))
        again = f"({inner.text()}SELECT {casts} FROM {step.name})"
        word = "UNION ALL" if node.all_rows else "UNION"
        name = f"recursion{node.number}"
        listed = ", ".join(_positions(columns))
        self._chain.define(f"{name}({listed})", f"SELECT {casts} FROM {start.name} {word} {again}")
        return Relation(name, columns)

    def _recursion_ref(self, node: model.RecursionRef) -> Relation:
        if node.number not in self._recursions:
            raise PlanningError(f"RecursionRef: {node.number} is no Recursion that it stands in")
        return Relation(f"recursion{node.number}", _typed_columns(node.types))

    def _writer(self, node: Node, below: Relation) -> ExpressionWriter:
        return ExpressionWriter(below.columns, self._oracle, node_name(node))

    def _types(
        self, sqls: list[str], exprs: Sequence[Expr | BoundExpr], below: Relation, node: Node
    ) -> tuple[str, ...]:
        told = types_by_rule(exprs, below.columns)
        return self._oracle.types(sqls, below.columns, node_name(node), told)

    def _typed(
        self, expressions: list[tuple[str, str]], writer: ExpressionWriter, below: Relation
    ) -> Relation:
        sqls, columns = writer.typed(expressions)
        return self._add(f"SELECT {select_list(sqls)} FROM {below.name}", columns)

    def _scan(self, node: model.ParquetScan) -> Relation:
        everything = self._source(self._leaves.scan(node))
        rows = self._filter(node, node.filters, everything) if node.filters else everything
        if node.projection is None:
            return rows
        kept = [find_column(name, rows.columns, node_name(node)) for name in node.projection]
        if isinstance(node, model.NumberedScan):
            kept.append(len(rows.columns) - 1)
        columns = tuple(rows.columns[at] for at in kept)
        return self._selected([f"c{at}" for at in kept], columns, rows)

    def _filter(self, node: Node, predicates: Sequence[Expr], below: Relation) -> Relation:
        writer = self._writer(node, below)
        conditions = [writer.sql(predicate) for predicate in predicates]
        for kind in self._types(conditions, predicates, below, node):
            if kind not in {"BOOLEAN", '"NULL"'}:
                raise PlanningError(f"{node_name(node)}: the predicate is a {kind}, not a BOOLEAN")
        return self._add(
            f"SELECT * FROM {below.name} WHERE {' AND '.join(conditions)}", below.columns
        )

    def _project(self, node: model.Project, below: Relation) -> Relation:
        writer = self._writer(node, below)
        exprs = [(writer.sql(expr), name) for expr, name in node.exprs]
        if not all(isinstance(expr, Bound) for expr, _ in node.exprs):
            return self._typed(exprs, writer, below)
        sqls = [sql for sql, _ in exprs]
        if isinstance(node.input, model.ParquetScan):  # whose types are told, and not derived
            sqls = without_own_casts([expr for expr, _ in node.exprs], sqls, below.columns)
        kinds = self._types(sqls, [expr for expr, _ in node.exprs], below, node)
        columns = tuple(map(ColumnInfo, [name for _, name in node.exprs], kinds))
        return self._selected(sqls, columns, below)

    def _selected(self, sqls: list[str], columns: Columns, below: Relation) -> Relation:
        """Nothing is added that gives out what there is: it takes as long to bind as others."""
        if sqls and sqls == _positions(below.columns):
            return Relation(below.name, columns)
        return self._add(f"SELECT {select_list(sqls)} FROM {below.name}", columns)

    def _partial(self, node: model.PartialHashAggregate, below: Relation) -> Relation:
        writer = self._writer(node, below)
        keys = [writer.sql(expr) for expr in node.group_exprs]
        groups = writer.typed(
            [
                (types.one_zero(key, writer.type_of(key)), group_name(expr, at))
                for at, (key, expr) in enumerate(zip(keys, node.group_exprs, strict=True))
            ]
        )
        states = writer.typed([(partial_sql(one, writer), name) for one, name in node.aggr_exprs])
        return self._aggregate(node, groups, states, below)

    def _final(self, node: model.FinalHashAggregate, below: Relation) -> Relation:
        count = len(node.group_exprs)
        wanted = count + len(node.aggr_exprs)
        if len(below.columns) != wanted:
            raise PlanningError(
                f"FinalHashAggregate: its input has {len(below.columns)} columns; right would be "
                f"{wanted}: {count} of groups, then one partial state per aggregate"
            )
        writer = self._writer(node, below)
        groups = writer.typed(
            [(f"c{at}", group_name(expr, at)) for at, expr in enumerate(node.group_exprs)]
        )
        results = writer.typed(
            [
                (final_sql(one, f"c{at}", below.columns[at].type), name)
                for at, (one, name) in enumerate(node.aggr_exprs, count)
            ]
        )
        return self._aggregate(node, groups, results, below)

    def _aggregate(
        self,
        node: Node,
        groups: tuple[list[str], Columns],
        values: tuple[list[str], Columns],
        below: Relation,
    ) -> Relation:
        if not groups[0] and not values[0]:
            raise PlanningError(f"{node_name(node)} has neither groups nor aggregates")
        by = ", ".join(str(at + 1) for at in range(len(groups[0])))
        return self._add(
            f"SELECT {select_list(groups[0] + values[0])} FROM {below.name}"
            + (f" GROUP BY {by}" if by else ""),
            groups[1] + values[1],
        )

    def _join(self, node: model.HashJoin, left: Relation, right: Relation) -> Relation:
        keys = join_keys(node, left, right)
        columns = join_columns(node, left.columns, right.columns)
        return self._add(join_sql(node, keys, left, right), columns)

    def _sort(self, node: model.Sort, below: Relation) -> Relation:
        keys = BoundWriter(len(below.columns), node_name(node)).keys(node.keys)
        order = f" ORDER BY {keys}" if keys else ""
        limit = "" if node.limit is None else f" LIMIT {row_bound(node.limit)}"
        offset = f" OFFSET {row_bound(node.offset)}" if node.offset else ""
        return self._add(f"SELECT * FROM {below.name}{order}{limit}{offset}", below.columns)

    def _whole_aggregate(self, node: model.Aggregate, below: Relation) -> Relation:
        writer = BoundWriter(len(below.columns), node_name(node))
        groups = [writer.sql(each) for each in node.groups]
        kinds = self._types(groups, node.groups, below, node)
        match node.phase:
            case Phase.WHOLE | Phase.SHARE:
                values = [writer.aggregate(each) for each in node.aggregates]
            case Phase.STATES:
                values = [writer.state(each) for each in node.aggregates]
            case Phase.MERGED:
                values = [
                    writer.merged(each, f"c{at}")
                    for at, each in enumerate(node.aggregates, len(groups))
                ]
        # Of a state nobody asks the type: it is written as it comes, and may be of any size.
        states = node.phase is Phase.STATES
        kinds += tuple("BLOB" if states else type_sql(each.type) for each in node.aggregates)
        kinds += ("BIGINT",) * len(node.groupings)
        values += [f"GROUPING({', '.join(groups[at] for at in each)})" for each in node.groupings]
        columns = tuple(ColumnInfo(f"c{at}", kind) for at, kind in enumerate(kinds))
        by = f" GROUP BY {', '.join(str(at + 1) for at in range(len(groups)))}" if groups else ""
        if node.sets:
            sets = ", ".join(f"({', '.join(groups[at] for at in each)})" for each in node.sets)
            by = f" GROUP BY GROUPING SETS ({sets})"
        return self._add(f"SELECT {select_list(groups + values)} FROM {below.name}{by}", columns)

    def _own_join(self, node: model.Join, left: Relation, right: Relation) -> Relation:
        width = len(left.columns)
        both = left.columns + right.columns
        writer = BoundWriter(len(both), node_name(node))
        condition = "TRUE" if node.condition is None else writer.sql(node.condition)
        one, other = renumbered(left, 0), renumbered(right, width)
        kept = left.columns if node.match in LEFT_MATCHES else both
        outputs = [f"c{at}" for at in range(len(kept))]
        rows = f"{one} AS l"
        if node.match is Match.MARK:
            outputs.append(mark_sql(node.condition, width, other, writer))
            kept = (*kept, ColumnInfo("mark", "BOOLEAN"))
        elif node.match is Match.SINGLE:
            numbered = f"(SELECT *, row_number() OVER () AS n FROM {one})"
            joined = f"{numbered} AS l LEFT JOIN {other} AS r ON {condition}"
            found = f"(SELECT *, count(*) OVER (PARTITION BY n) AS matches FROM {joined})"
            why = text("a subquery gives more than one row where one value stands")
            rows = f"{found} WHERE CASE WHEN matches > 1 THEN error({why}) ELSE TRUE END"
        else:
            on = "" if node.match is Match.POSITIONAL else f" ON {condition}"
            rows += f" {MATCHES[node.match]} {other} AS r{on}"
        columns = tuple(
            attrs.evolve(one, name=f"c{at}", qualifier=None) for at, one in enumerate(kept)
        )
        return self._add(f"SELECT {select_list(outputs)} FROM {rows}", columns)

    def _values(self, node: model.Values) -> Relation:
        writer = BoundWriter(0, node_name(node))
        kinds = [type_sql(kind) for kind in node.types]
        rows = [
            ", ".join(
                f"CAST({writer.sql(value)} AS {kind})"
                for value, kind in zip(row, kinds, strict=True)
            )
            or "1"  # a row of no columns
            for row in node.rows
        ]
        names = ", ".join(f"c{at}" for at in range(len(kinds))) or "_"
        nothing = select_list(f"CAST(NULL AS {kind})" for kind in kinds)
        # No UNION ALL: threads would share it out, and give out the rows in any order.
        listed = ", ".join(f"({row})" for row in rows)
        sql = (
            f"SELECT * FROM (VALUES {listed}) AS rows({names})"
            if rows
            else f"SELECT {nothing} WHERE FALSE"
        )
        return self._add(sql, tuple(ColumnInfo(f"c{at}", kind) for at, kind in enumerate(kinds)))

    def _set(self, node: model.SetOperation, left: Relation, right: Relation) -> Relation:
        places = ", ".join(_positions(left.columns))
        word = "EXCEPT ALL" if node.kind is model.SetKind.EXCEPT else "INTERSECT ALL"
        sql = f"SELECT {places} FROM {left.name} {word} SELECT {places} FROM {right.name}"
        return self._add(sql, left.columns)

    def _unnest(self, node: model.Unnest, below: Relation) -> Relation:
        writer = BoundWriter(len(below.columns), node_name(node))
        lists = [f"unnest({writer.sql(each)})" for each in node.lists]
        width = len(below.columns)
        columns = below.columns + tuple(
            ColumnInfo(f"c{at}", type_sql(kind)) for at, kind in enumerate(node.types, width)
        )
        outputs = select_list(_positions(below.columns) + lists)
        return self._add(f"SELECT {outputs} FROM {below.name}", columns)

    def _rows_of(self, node: model.RowsOf, below: Relation) -> Relation:
        if node.function not in ROW_FUNCTIONS:
            raise UnsupportedPlan(f"this engine does not run the table function {node.function!r}")
        writer = BoundWriter(len(below.columns), node_name(node))
        args = ", ".join(map(writer.sql, node.args))
        width = len(below.columns)
        columns = below.columns + tuple(
            ColumnInfo(f"c{at}", type_sql(kind)) for at, kind in enumerate(node.types, width)
        )
        added = [f"f.x{at}" for at in range(len(node.types))]
        names = ", ".join(each.removeprefix("f.") for each in added)
        outputs = select_list([f"b.c{at}" for at in range(width)] + added)
        sql = f"SELECT {outputs} FROM {below.name} AS b, {node.function}({args}) AS f({names})"
        return self._add(sql, columns)

    def _series(self, node: model.Series) -> Relation:
        if node.function not in {"range", "generate_series"}:
            raise UnsupportedPlan(f"this engine does not run the table function {node.function!r}")
        args = ", ".join(map(constant_sql, node.args))
        kind = type_sql(node.type)
        sql = f"SELECT CAST(x AS {kind}) AS c0 FROM {node.function}({args}) AS s(x)"
        return self._add(sql, (ColumnInfo("c0", kind),))

    def _over_windows(self, node: model.OverWindows, below: Relation) -> Relation:
        writer = BoundWriter(len(below.columns), node_name(node))
        added = [writer.window(each) for each in node.windows]
        width = len(below.columns)
        columns = below.columns + tuple(
            ColumnInfo(f"c{at}", type_sql(each.function.type))
            for at, each in enumerate(node.windows, width)
        )
        outputs = select_list(_positions(below.columns) + added)
        return self._add(f"SELECT {outputs} FROM {below.name}", columns)

    def _top_k(self, node: model.TopKByScore, below: Relation) -> Relation:
        score = self._writer(node, below).sql(node.score_expr)
        # Among rows of one score the columns decide, so that another attempt gives the same rows.
        ties = "".join(f", {column}" for column in _positions(below.columns))
        return self._add(
            f"SELECT * FROM {below.name} ORDER BY {score} DESC NULLS LAST{ties} "
            f"LIMIT {row_bound(node.k)}",
            below.columns,
        )

    def _union(self, left: Relation, right: Relation) -> Relation:
        if len(left.columns) != len(right.columns):
            raise PlanningError(
                f"UnionAll: {len(left.columns)} columns on the left, {len(right.columns)} on the "
                f"right; right would be the same number"
            )
        pairs = zip(left.columns, right.columns, strict=True)
        columns = tuple(attrs.evolve(a, type=self._common_type(a, b)) for a, b in pairs)
        casts = select_list(f"CAST(c{at} AS {one.type})" for at, one in enumerate(columns))
        return self._add(
            f"SELECT {casts} FROM {left.name} UNION ALL SELECT {casts} FROM {right.name}", columns
        )

    def _common_type(self, left: ColumnInfo, right: ColumnInfo) -> str:
        if left.type == right.type:
            return left.type  # asking for each column of each union takes a chain of them seconds
        node = f"UnionAll of {left.name!r} ({left.type}) and {right.name!r} ({right.type})"
        kinds = {left.type, right.type} - {'"NULL"'}
        if len(kinds) > 1 and "VARCHAR" in kinds:
            raise PlanningError(f"{node}: {alike.remedy(kinds)}")
        choice = "CASE WHEN TRUE THEN c0 ELSE c1 END"
        return self._oracle.made_one(sorted(kinds), choice, (left, right), node)

    def _window(self, node: model.Window, below: Relation) -> Relation:
        writer = self._writer(node, below)
        added = [(window_sql(one, writer), one.output_name) for one in node.exprs]
        sqls, columns = writer.typed(added)
        outputs = select_list(_positions(below.columns) + sqls)
        return self._add(f"SELECT {outputs} FROM {below.name}", below.columns + columns)

    def _subquery(
        self,
        node: model.InSubqueryFilter | model.ExistsSubqueryFilter | model.ScalarSubqueryFilter,
    ) -> Relation:
        below, subquery = self.visit(node.input), self.visit(node.subquery)
        condition = subquery_condition(node, self._writer(node, below), subquery)
        return self._add(f"SELECT * FROM {below.name} WHERE {condition}", below.columns)


def _typed_columns(kinds: Sequence[SqlType]) -> Columns:
    return tuple(ColumnInfo(f"c{at}", type_sql(kind)) for at, kind in enumerate(kinds))


def _positions(columns: Columns) -> list[str]:
    return [f"c{at}" for at in range(len(columns))]
