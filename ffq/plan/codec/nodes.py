"""Plan nodes: each shape once, for reading and writing."""

from __future__ import annotations

import json
from typing import Any, Final

from ffq.plan import model
from ffq.plan.bound import Phase
from ffq.plan.codec.bound import (
    BOUND,
    BOUND_AGGREGATE,
    BOUND_KEY,
    BOUND_WINDOW,
    CONSTANT,
    MATCH,
    PHASE,
    SQL_TYPE,
)
from ffq.plan.codec.cursor import Budget, Cursor, Json, shown
from ffq.plan.codec.expressions import (
    AGGREGATE,
    BINARY_OPERATOR,
    COLUMN_NAME,
    COUNT,
    EXPR,
    OWN_PREFIX,
    WINDOW,
)
from ffq.plan.codec.inline import INLINE_TABLES
from ffq.plan.codec.shapes import (
    BOOLEAN,
    FLOAT32,
    NAME,
    STRING,
    Codec,
    Key,
    enumeration,
    listing,
    optional,
    pair,
    read_variant,
    record,
    unit,
    variants_of,
    write_variant,
)
from ffq.plan.codec.types import SCHEMA
from ffq.plan.model import (
    HashPartitioning,
    KeyedPartitioning,
    Node,
    Partitioning,
    SinglePartitioning,
)
from ffq.plan.terms import (
    BuildSide,
    FileFormat,
    JoinStrategy,
    JoinType,
    WriteMode,
    WriteTarget,
)

DEFAULT_PARTITIONS: Final = 64


def _read_node(cursor: Cursor) -> Node:
    cursor.budget.spend()
    node: Node = read_variant("node", _NODES, cursor)[1]
    return node


def _write_node(node: Node, budget: Budget) -> Json:
    with budget.nested():
        name = "Exchange" if type(node).__name__ in _EXCHANGES else type(node).__name__
        if isinstance(node, model.OWN_NODES):
            name = f"{OWN_PREFIX}{name}"
        return write_variant(name, _NODES[name], node, budget)


NODE: Codec[Node] = Codec(_read_node, _write_node)


def _read_scan(cursor: Cursor) -> model.ParquetScan:
    found = _read_node(cursor)
    if type(found) is not model.ParquetScan:
        cursor.fail("right would be a ParquetScan")
    return found


def _read_partitions(cursor: Cursor) -> int:
    return cursor.integer(1, cursor.budget.limits.max_partitions)


_HASHED: Final = (
    Key("keys", listing(COLUMN_NAME)),
    Key(
        "partitions",
        Codec(_read_partitions, lambda count, _budget: count),
        default=DEFAULT_PARTITIONS,
    ),
)
_KEYED: Final = f"{OWN_PREFIX}KeyedHash"


def _name_of(partitioning: Partitioning) -> str:
    if isinstance(partitioning, KeyedPartitioning):
        return _KEYED
    return "HashKeys" if isinstance(partitioning, HashPartitioning) else "Single"


_PARTITIONING: Codec[Partitioning] = variants_of(
    "partitioning",
    {
        "HashKeys": record(HashPartitioning, *_HASHED),
        _KEYED: record(KeyedPartitioning, *_HASHED, Key("keys_bytes", COUNT)),
        "Single": unit(SinglePartitioning()),
    },
    _name_of,
)


_TARGET: Final = record(
    WriteTarget,
    Key("path", NAME),
    Key("mode", enumeration(WriteMode, "write mode")),
    Key("single_file", BOOLEAN),
    Key("write_id", STRING, default=""),
)


def _read_config(cursor: Cursor) -> tuple[tuple[str, str], ...]:
    pairs = cursor.object("an object of strings").items()
    entries = ((key, cursor.into(value, f"[{shown(key)}]")) for key, value in pairs)
    return tuple(sorted((entry.into(key, "").string(), entry.string()) for key, entry in entries))


_CONFIG: Codec[tuple[tuple[str, str], ...]] = Codec(
    _read_config, lambda config, _budget: dict(config)
)


def _read_definition(cursor: Cursor) -> str:
    cursor.budget.spend()
    found = cursor.object("a table's definition")
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


_DEFINITION: Codec[str] = Codec(_read_definition, lambda text, _budget: json.loads(text))
"""What a catalog reads: the plan only carries it."""

_INPUT: Final = Key("input", NODE)
_SUBQUERY: Final = Key("subquery", NODE)
_NEGATED: Final = Key("negated", BOOLEAN)
_PARTITIONED: Final = (_INPUT, Key("partitioning", _PARTITIONING))
_AGGREGATION: Final = (
    Key("group_exprs", listing(EXPR)),
    Key("aggr_exprs", listing(pair(AGGREGATE, STRING, "aggregate, output name"))),
    _INPUT,
)

_SCAN: Final = (
    Key("table", NAME),
    Key("schema", optional(SCHEMA), default=None),
    Key("projection", optional(listing(COLUMN_NAME)), default=None),
    Key("filters", listing(EXPR)),
)

_JOIN: Final = (
    Key("left", NODE),
    Key("right", NODE),
    Key("match", MATCH),
    Key("condition", optional(BOUND), default=None),
    Key("keys", listing(pair(STRING, STRING, "left key, right key")), default=[]),
)

_EXCHANGES: dict[str, Codec[Any]] = {
    "ShuffleWrite": record(model.ShuffleWrite, *_PARTITIONED),
    "ShuffleRead": record(model.ShuffleRead, *_PARTITIONED),
    "Broadcast": record(model.Broadcast, _INPUT),
}

_NODES: dict[str, Codec[Any]] = {
    "ParquetScan": record(model.ParquetScan, *_SCAN),
    "ParquetWrite": record(model.ParquetWrite, Key("table", NAME), _INPUT),
    "Filter": record(model.Filter, Key("predicate", EXPR), _INPUT),
    "InSubqueryFilter": record(
        model.InSubqueryFilter, _INPUT, Key("expr", EXPR), _SUBQUERY, _NEGATED
    ),
    "ExistsSubqueryFilter": record(model.ExistsSubqueryFilter, _INPUT, _SUBQUERY, _NEGATED),
    "ScalarSubqueryFilter": record(
        model.ScalarSubqueryFilter,
        _INPUT,
        Key("expr", EXPR),
        Key("op", BINARY_OPERATOR),
        _SUBQUERY,
    ),
    "Project": record(
        model.Project, Key("exprs", listing(pair(EXPR, STRING, "expression, output name"))), _INPUT
    ),
    "Window": record(model.Window, Key("exprs", listing(WINDOW)), _INPUT),
    "CoalesceBatches": record(model.CoalesceBatches, Key("target_batch_rows", COUNT), _INPUT),
    "PartialHashAggregate": record(model.PartialHashAggregate, *_AGGREGATION),
    "FinalHashAggregate": record(model.FinalHashAggregate, *_AGGREGATION),
    "HashJoin": record(
        model.HashJoin,
        Key("left", NODE),
        Key("right", NODE),
        Key("on", listing(pair(COLUMN_NAME, COLUMN_NAME, "left key, right key"))),
        Key("join_type", enumeration(JoinType, "join type")),
        Key("strategy_hint", enumeration(JoinStrategy, "join strategy")),
        Key("build_side", enumeration(BuildSide, "build side")),
    ),
    "Exchange": variants_of("exchange", _EXCHANGES, lambda node: type(node).__name__),
    "Limit": record(model.Limit, Key("n", COUNT), _INPUT),
    "TopKByScore": record(model.TopKByScore, Key("score_expr", EXPR), Key("k", COUNT), _INPUT),
    "UnionAll": record(model.UnionAll, Key("left", NODE), Key("right", NODE)),
    "CteRef": record(model.CteRef, Key("name", STRING), Key("plan", NODE)),
    "VectorTopK": record(
        model.VectorTopK,
        Key("table", NAME),
        Key("query_vector", listing(FLOAT32)),
        Key("k", COUNT),
        Key("filter", optional(STRING), default=None),
    ),
    "VectorKnn": record(
        model.VectorKnn,
        Key("source", NAME),
        Key("query_vectors", listing(listing(FLOAT32))),
        Key("k", COUNT),
        Key("ef_search", optional(COUNT), default=None),
        Key("prefilter", optional(STRING), default=None),
        Key("metric", optional(STRING), default=None),
        Key("provider", optional(STRING), default=None),
    ),
    f"{OWN_PREFIX}Sort": record(
        model.Sort,
        Key("keys", listing(BOUND_KEY)),
        Key("limit", optional(COUNT), default=None),
        Key("offset", COUNT, default=0),
        Key("partial", BOOLEAN, default=False),
        _INPUT,
    ),
    f"{OWN_PREFIX}Aggregate": record(
        model.Aggregate,
        Key("groups", listing(BOUND)),
        Key("aggregates", listing(BOUND_AGGREGATE)),
        _INPUT,
        Key("sets", listing(listing(COUNT)), default=[]),
        Key("groupings", listing(listing(COUNT)), default=[]),
        Key("phase", PHASE, default=Phase.WHOLE.value),
    ),
    f"{OWN_PREFIX}SetOperation": record(
        model.SetOperation,
        Key("kind", enumeration(model.SetKind, "set operation")),
        Key("left", NODE),
        Key("right", NODE),
    ),
    f"{OWN_PREFIX}Unnest": record(
        model.Unnest, Key("lists", listing(BOUND)), Key("types", listing(SQL_TYPE)), _INPUT
    ),
    f"{OWN_PREFIX}RowsOf": record(
        model.RowsOf,
        Key("function", STRING),
        Key("args", listing(BOUND)),
        Key("types", listing(SQL_TYPE)),
        _INPUT,
    ),
    f"{OWN_PREFIX}Recursion": record(
        model.Recursion,
        Key("number", COUNT),
        Key("types", listing(SQL_TYPE)),
        Key("all_rows", BOOLEAN),
        Key("start", NODE),
        Key("step", NODE),
    ),
    f"{OWN_PREFIX}RecursionRef": record(
        model.RecursionRef, Key("number", COUNT), Key("types", listing(SQL_TYPE))
    ),
    f"{OWN_PREFIX}Join": record(model.Join, *_JOIN),
    f"{OWN_PREFIX}AdaptiveJoin": record(model.AdaptiveJoin, *_JOIN, Key("broadcast_bytes", COUNT)),
    f"{OWN_PREFIX}AdaptiveGather": record(
        model.AdaptiveGather, *_PARTITIONED, Key("in_place_bytes", COUNT)
    ),
    f"{OWN_PREFIX}SharedRead": record(model.SharedRead, *_PARTITIONED, Key("number", COUNT)),
    f"{OWN_PREFIX}ReducedJoin": record(model.ReducedJoin, *_JOIN, Key("broadcast_bytes", COUNT)),
    f"{OWN_PREFIX}RangeJoin": record(
        model.RangeJoin, *_JOIN, Key("right_leads", BOOLEAN, default=False)
    ),
    f"{OWN_PREFIX}NumberedScan": record(model.NumberedScan, *_SCAN),
    f"{OWN_PREFIX}FetchedRows": record(
        model.FetchedRows, _INPUT, Key("scan", Codec(_read_scan, _write_node)), Key("at", COUNT)
    ),
    f"{OWN_PREFIX}Values": record(
        model.Values, Key("types", listing(SQL_TYPE)), Key("rows", listing(listing(BOUND)))
    ),
    f"{OWN_PREFIX}Series": record(
        model.Series,
        Key("function", NAME),
        Key("args", listing(CONSTANT)),
        Key("type", SQL_TYPE),
    ),
    f"{OWN_PREFIX}WithTables": record(
        model.WithTables,
        Key("tables", listing(_DEFINITION)),
        Key("inline", INLINE_TABLES, default=[]),
        _INPUT,
    ),
    f"{OWN_PREFIX}Inline": record(
        model.Inline,
        Key("table", NAME),
        Key("columns", listing(pair(STRING, SQL_TYPE, "column, type"))),
    ),
    f"{OWN_PREFIX}OverWindows": record(
        model.OverWindows,
        Key("windows", listing(BOUND_WINDOW)),
        _INPUT,
        Key("partial", BOOLEAN, default=False),
    ),
    f"{OWN_PREFIX}Write": record(
        model.Write,
        Key("target", _TARGET),
        Key("format", enumeration(FileFormat, "file format")),
        Key("partition_by", listing(STRING), default=[]),
        Key("options", _CONFIG, default={}),
        _INPUT,
    ),
    f"{OWN_PREFIX}Commit": record(model.Commit, Key("target", _TARGET), _INPUT),
    "Custom": record(
        model.Custom, Key("op_name", NAME), Key("config", _CONFIG, default={}), _INPUT
    ),
}
