"""Operators that a query names in FROM: `FROM op('score', (SELECT ...), threshold => 0.5)`.

The planning instance knows none, so each gets the name of a table of its output's columns, and the
text that name. Its input is a query of its own, planned before it: what stands beside it in FROM it
does not see, common tables of the query around it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from ffq.engine.arrow_types import arrow_schema, sql_columns
from ffq.engine.faults import one_line
from ffq.engine.sql import identifier
from ffq.errors import InvalidQuery
from ffq.plan.bound import Conversion, Place, SqlType
from ffq.plan.configs import config_pairs
from ffq.plan.model import (
    Custom,
    Node,
    ParquetScan,
    Project,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
)
from ffq.plan.terms import Bound, Column
from ffq.plan.walk import child_fields
from ffq.sql.calls import Call, is_operator, read_call
from ffq.sql.declared import Columns, Declared, DeclaredColumns
from ffq.sql.files import Named
from ffq.sql.kinds import ENGINE_ERRORS
from ffq.sql.parameters import Value
from ffq.sql.parsing import OPERATOR, Parsed, QueryParser
from ffq.sql.pieces import project
from ffq.sql.planning import Planned, PlanningInstance
from ffq.sql.serialized import Json, NotDistributed, dicts, read_type, volatile_call
from ffq.sql.text import Edit, Edited, query_error, without_place

_NOWHERE: Final = 2**64 - 1
"""Where the parser says that something stands which is not in the text."""


@attrs.frozen
class Operators:
    """A query with names of tables in place of operators, and what gives the rows of each.

    Attributes:
        named: the query.
        parameters: those that are left in it.
        volatile: a function that gives another value each time, in what gives a table its rows.
    """

    named: Named
    parameters: Mapping[str, Value]
    nodes: Mapping[str, Node]
    volatile: Mapping[str, Json] = attrs.field(factory=dict)

    def put_into(self, plan: Node) -> Node:
        """The plan, in which operators stand where it scans their tables."""
        return _put(self.nodes, plan, {}) if self.nodes else plan


@attrs.frozen
class Planner:
    """What plans the inputs of operators.

    Attributes:
        parser: reads and writes queries.
        instance: plans them; operators become tables of it.
        distribute: makes plans of ours of them; it is told which tables are volatile, and why.
        declared: what operators give out.
    """

    parser: QueryParser
    instance: PlanningInstance
    distribute: Callable[[Planned, Mapping[str, Json]], Node]
    declared: DeclaredColumns

    def plan(self, sql: str) -> Planned:
        text = Edited(sql.encode(), sql.encode())
        return self.instance.plan(Named(text, text, (), ()), {})


def name_operators(
    named: Named, parsed: Parsed, parameters: Mapping[str, Value], planner: Planner
) -> Operators:
    """
    Args:
        named: the query, whose files and parameters have their names and values.
        parsed: the same, as it was written.

    Raises:
        InvalidQuery: an operator that is not called as it must be, or whose output is not known;
            says where.
        PlanningError: a config that it does not take.
        UnsupportedPlan: what is not distributed, or a column of a type that the engine has not.
    """
    if not parsed.operators:
        return Operators(named, parameters, {})
    naming = _Naming(planner, named.sql)
    naming.visit(planner.parser.read(named.sql.text.decode()), ())
    edits = naming.edits
    left = {
        each.name.lower()
        for each in parsed.parameters
        if not any(edit.start <= each.start < edit.end for edit in edits)
    }
    return Operators(
        attrs.evolve(named, sql=named.sql.over(edits), described=named.described.over(edits)),
        {name: value for name, value in parameters.items() if name.lower() in left},
        naming.nodes,
        naming.volatile,
    )


@attrs.define
class _Naming:
    """Walks a parsed query, and puts tables in place of its operators, the innermost first.

    edits: of the text as it was written, those of the outermost ones.
    """

    planner: Planner
    text: Edited
    nodes: dict[str, Node] = attrs.field(factory=dict)
    volatile: dict[str, Json] = attrs.field(factory=dict)
    edits: list[Edit] = attrs.field(factory=list)
    _depth: int = 0

    def visit(self, value: Any, known: tuple[Any, ...]) -> None:
        """known: the common tables that may be named here, as the parser has them."""
        if isinstance(value, list):
            for each in value:
                self.visit(each, known)
        elif isinstance(value, dict):
            if value.get("type") == "TABLE_FUNCTION" and is_operator(value["function"]):
                self._operator(value, known)
                return
            for common in value.get("cte_map", {}).get("map", ()):
                self.visit(common, known)
                known = (*known, common)
            for key, each in value.items():
                if key != "cte_map":
                    self.visit(each, known)

    def _operator(self, found: dict[str, Any], known: tuple[Any, ...]) -> None:
        start = self.text.original(found["query_location"])
        try:
            self._put_table(found, known)
        except InvalidQuery as error:
            if error.line is not None:
                raise
            raise query_error(error.message, self.text.first, start) from error
        except NotDistributed as error:  # its place is one in a text that nobody wrote
            raise NotDistributed(error.message, found["query_location"]) from error

    def _put_table(self, found: dict[str, Any], known: tuple[Any, ...]) -> None:
        call = read_call(found["function"], self.planner.parser)
        for what, is_there in (
            ("TABLESAMPLE", found.get("sample")),
            ("WITH ORDINALITY", found.get("with_ordinality") == "WITH_ORDINALITY"),
        ):
            if is_there:
                call.refuse(f"{what} is not for operators; right would be a query around it")
        self._depth += 1
        self.visit(call.query, known)
        self._depth -= 1
        name = f"{OPERATOR} {len(self.nodes) + 1}"
        node, columns = self._planned(call, known, name)
        seen: set[str] = set()
        for column, _ in columns:
            if column.lower() in seen:
                call.refuse(
                    f"it gives out two columns that are called {column!r}; right would be names "
                    "that differ"
                )
            seen.add(column.lower())
        self.planner.instance.add(name, columns)
        self.nodes[name] = _typed(node, columns, self._types(name))
        begin = found["query_location"]
        end = begin + found["query_location_length"]
        if not self._depth:
            place = (self.text.original(begin), self.text.original(end))
            self.edits.append(Edit(*place, _table_text(found, name).encode()))
        table = {
            "type": "BASE_TABLE",
            "alias": found.get("alias") or OPERATOR,
            "sample": None,
            "query_location": _NOWHERE,
            "schema_name": "",
            "table_name": name,
            "column_name_alias": found.get("column_name_alias", []),
            "catalog_name": "",
            "at_clause": None,
            "qualified_name": {"path": [name]},
        }
        found.clear()
        found.update(table)

    def _planned(self, call: Call, known: tuple[Any, ...], name: str) -> tuple[Node, Columns]:
        try:
            planned = self.planner.plan(self.planner.parser.write(_whole(call.query, known)))
        except InvalidQuery as error:
            # Its place is one in a text that nobody wrote.
            call.refuse(
                f"its input is a query of its own, which sees no table beside it, LATERAL or not "
                f"(right would be that table in its input): {without_place(error.message)}",
                error,
            )
        below = _put(self.nodes, self.planner.distribute(planned, self.volatile), {})
        volatile = volatile_call(planned.plan, self.volatile)
        if volatile is not None:  # its place is one in that text, too
            self.volatile[name] = {**volatile, "query_location": None}
        if call.whole:
            single = SinglePartitioning()
            below = ShuffleRead(ShuffleWrite(below, single), single)
        pairs = config_pairs(call.name, call.config)
        columns = tuple(zip(planned.names, planned.types, strict=True))
        declared = self.planner.declared(call.name, dict(pairs), columns)
        return Custom(call.name, pairs, below), _returned(call, declared)

    def _types(self, table: str) -> Sequence[SqlType]:
        """Of its columns, as the planner plans with them."""
        found = self.planner.plan(f"FROM {identifier(table)}").plan
        (scan,) = (each for each in dicts(found) if each.get("type") == "LOGICAL_GET")
        return [read_type(kind) for kind in scan["returned_types"]]


# --- plans -----------------------------------------------------------------------------------


def _typed(below: Node, columns: Sequence[tuple[str, str]], types: Sequence[SqlType]) -> Node:
    """Columns by name, as values of these types: those that were planned with, whatever the
    operator of a worker gives out."""
    names = [name for name, _ in columns]
    named = Project(tuple((Column(name), name) for name in names), below)
    casts = (Bound(Conversion(Place(at), kind)) for at, kind in enumerate(types))
    return Project(tuple(zip(casts, names, strict=True)), named)


def _put(nodes: Mapping[str, Node], plan: Node, done: dict[int, Node]) -> Node:
    """done: by id, what was made of a node: one that stands twice in the plan still does."""
    if id(plan) not in done:
        done[id(plan)] = _replaced(nodes, plan, done)
    return done[id(plan)]


def _replaced(nodes: Mapping[str, Node], plan: Node, done: dict[int, Node]) -> Node:
    if isinstance(plan, ParquetScan) and (given := nodes.get(plan.table)) is not None:
        read = [name for name in plan.projection or () if isinstance(name, str)]
        if not read:
            return project(given, [])  # rows without a column are rows
        return Project(tuple((Column(name), name) for name in read), given)
    below: dict[str, Any] = {
        name: _put(nodes, getattr(plan, name), done) for name in child_fields(plan)
    }
    changed: Node = attrs.evolve(plan, **below)
    return changed


# --- texts -----------------------------------------------------------------------------------


def _returned(call: Call, declared: Declared) -> Columns:
    if call.returns is None:
        if declared.unknown:
            call.refuse(
                f"{declared.unknown} Of one that the workers alone have, right would be "
                f"returns => {{'score': 'DOUBLE'}} in its call (of map_batches, "
                f"returns={{'score': 'DOUBLE'}})"
            )
        if declared.columns is None:
            call.refuse(
                "it does not declare what it gives out; right would be an operator that declares "
                "output_schema, or returns => {'score': 'DOUBLE'} in its call (of map_batches, "
                "returns={'score': 'DOUBLE'})"
            )
        return declared.columns
    kinds = [(column, _sql_kind(call, column, kind)) for column, kind in call.returns.items()]
    return sql_columns(f"operator {call.name!r}", arrow_schema(kinds))


def _sql_kind(call: Call, column: str, kind: object) -> str:
    what = f"returns says of {column!r} the type {kind!r}, which is no type of SQL"
    if not isinstance(kind, str):
        call.refuse(what)
    try:
        arrow_schema([(column, kind)])
    except ENGINE_ERRORS as error:
        call.refuse(f"{what}: {one_line(error)}", error)
    return kind


def _whole(query: Mapping[str, Any], known: Sequence[Any]) -> Mapping[str, Any]:
    """A query, with the common tables that it may name."""
    node = query["node"]
    own = node.get("cte_map", {}).get("map", [])
    names = {each["key"].lower() for each in own}
    around = {each["key"].lower(): each for each in known if each["key"].lower() not in names}
    return {**query, "node": {**node, "cte_map": {"map": [*around.values(), *own]}}}


def _table_text(found: Mapping[str, Any], name: str) -> str:
    columns = ", ".join(map(identifier, found.get("column_name_alias") or ()))
    listed = f"({columns})" if columns else ""
    return f"{identifier(name)} AS {identifier(found.get('alias') or OPERATOR)}{listed}"
