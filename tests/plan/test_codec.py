"""The plan JSON, spelled by hand as other clients send it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ffq import plan as p
from ffq.errors import InvalidPlan
from ffq.plan import PlanLimits, dump_plan, parse_plan, terms
from ffq.plan import model as m
from ffq.plan.limits import DEFAULT_LIMITS

SCAN: dict[str, Any] = {
    "ParquetScan": {"table": "t", "schema": None, "projection": None, "filters": []}
}
A: dict[str, Any] = {"Column": "a"}
ONE: dict[str, Any] = {"Literal": {"Int64": 1}}
HASH: dict[str, Any] = {"HashKeys": {"keys": ["a"], "partitions": 4}}


def over(**fields: Any) -> dict[str, Any]:
    return {**fields, "input": SCAN}


def field(name: str, data_type: Any) -> dict[str, Any]:
    return {
        "name": name,
        "data_type": data_type,
        "nullable": True,
        "dict_id": 0,
        "dict_is_ordered": False,
        "metadata": {},
    }


ITEM = field("item", "Int32")

NODES: list[dict[str, Any]] = [
    SCAN,
    {
        "ParquetScan": {
            "table": "lineitem",
            "schema": None,
            "projection": ["l_returnflag", "l_orderkey", "l_quantity", "l_shipdate"],
            "filters": [
                {
                    "BinaryOp": {
                        "left": {"Column": "l_shipdate"},
                        "op": "LtEq",
                        "right": {"Literal": {"Utf8": "1998-09-02"}},
                    }
                }
            ],
        }
    },
    {"ParquetWrite": over(table="out")},
    {"Filter": over(predicate=A)},
    {"InSubqueryFilter": over(expr=A, subquery=SCAN, negated=True)},
    {"ExistsSubqueryFilter": over(subquery=SCAN, negated=False)},
    {"ScalarSubqueryFilter": over(expr=A, op="Gt", subquery=SCAN)},
    {"Project": over(exprs=[[A, "b"], [ONE, "one"]])},
    {"CoalesceBatches": over(target_batch_rows=8192)},
    {"PartialHashAggregate": over(group_exprs=[A], aggr_exprs=[[{"Count": ONE}, "n"]])},
    {
        "FinalHashAggregate": over(
            group_exprs=[],
            aggr_exprs=[
                [{function: A}, function]
                for function in ("CountDistinct", "ApproxCountDistinct", "Sum", "Min", "Max", "Avg")
            ],
        )
    },
    {
        "HashJoin": {
            "left": SCAN,
            "right": {"Exchange": {"Broadcast": {"input": SCAN}}},
            "on": [["a", "b"]],
            "join_type": "Semi",
            "strategy_hint": "BroadcastRight",
            "build_side": "Right",
        }
    },
    {"Exchange": {"ShuffleWrite": over(partitioning=HASH)}},
    {"Exchange": {"ShuffleRead": over(partitioning="Single")}},
    {"Exchange": {"ShuffleRead": over(partitioning={"HashKeys": {"keys": [], "partitions": 64}})}},
    {"Limit": over(n=0)},
    {"TopKByScore": over(score_expr=A, k=10)},
    {"ffq.NumberedScan": SCAN["ParquetScan"]},
    {"ffq.FetchedRows": over(scan=SCAN, at=1)},
    {"UnionAll": {"left": SCAN, "right": SCAN}},
    {"CteRef": {"name": "c", "plan": SCAN}},
    {"VectorTopK": {"table": "v", "query_vector": [0.5, -1.0], "k": 3, "filter": "x > 1"}},
    {
        "VectorKnn": {
            "source": "v",
            "query_vectors": [[0.5], []],
            "k": 3,
            "ef_search": None,
            "prefilter": None,
            "metric": "l2",
            "provider": "qdrant",
        }
    },
    {"Custom": over(op_name="op", config={"k": "v", "z": ""})},
    {
        "Window": over(
            exprs=[
                {
                    "func": function,
                    "partition_by": [A],
                    "order_by": [{"expr": A, "asc": True, "nulls_first": False}],
                    "frame": frame,
                    "output_name": "w",
                }
                for function, frame in (
                    ("RowNumber", None),
                    ({"Ntile": 4}, None),
                    (
                        {"Sum": A},
                        {
                            "units": "Rows",
                            "start_bound": {"Preceding": 3},
                            "end_bound": "CurrentRow",
                            "exclusion": "NoOthers",
                        },
                    ),
                    (
                        {"LastValue": A},
                        {
                            "units": "Groups",
                            "start_bound": "UnboundedPreceding",
                            "end_bound": {"Following": 0},
                            "exclusion": "Ties",
                        },
                    ),
                    ({"Lag": {"expr": A, "offset": 1, "default": None}}, None),
                    ({"Lead": {"expr": A, "offset": 2, "default": ONE}}, None),
                    ({"NthValue": {"expr": A, "n": 2}}, None),
                )
            ]
        )
    },
]

EXPRESSIONS: list[Any] = [
    {"ColumnRef": {"name": "a", "index": 2}},
    *({"Literal": value} for value in ({"Int64": -(2**63)}, {"Float64": 1.5}, {"Utf8": "ü"})),
    *({"Literal": value} for value in ({"Boolean": True}, "Null", {"VectorF32": [0.25]})),
    {"And": [A, {"Or": [A, A]}]},
    {"Not": {"IsNull": {"Column": "t.a"}}},
    {"IsNotNull": A},
    {"CaseWhen": {"branches": [[A, ONE]], "else_expr": None}},
    {"ScalarUdf": {"name": "lower", "args": [A]}},
    {"CosineSimilarity": {"vector": A, "query": A}},
    {"L2Distance": {"vector": A, "query": A}},
    {"DotProduct": {"vector": A, "query": A}},
]

TYPES: list[Any] = [
    *("Null", "Boolean", "Int64", "UInt8", "Float16", "Utf8View", "Date32", "LargeBinary"),
    {"Decimal128": [15, 2]},
    {"Decimal256": [76, -5]},
    {"Timestamp": ["Microsecond", None]},
    {"Timestamp": ["Nanosecond", "+02:00"]},
    *({"Time32": "Second"}, {"Time64": "Nanosecond"}, {"Duration": "Millisecond"}),
    {"Interval": "MonthDayNano"},
    {"FixedSizeBinary": 16},
    *({"List": ITEM}, {"LargeList": ITEM}, {"ListView": ITEM}, {"FixedSizeList": [ITEM, 3]}),
    {"Struct": [ITEM, field("x", {"List": ITEM})]},
    {"Union": [[[0, ITEM], [-1, ITEM]], "Sparse"]},
    {"Dictionary": ["Int32", "Utf8"]},
    {"Map": [field("entries", {"Struct": [ITEM, ITEM]}), False]},
    {"RunEndEncoded": [ITEM, ITEM]},
]


def read(document: Any, **bounds: int) -> m.Node:
    return parse_plan(json.dumps(document).encode(), limits=PlanLimits(**bounds))


@pytest.mark.parametrize("document", NODES, ids=lambda document: next(iter(document)))
def test_every_node_reads_and_is_written_as_it_was_spelled(document: Any) -> None:
    assert json.loads(dump_plan(read(document))) == document


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=json.dumps)
def test_every_expression_reads_and_is_written_as_it_was_spelled(expr: Any) -> None:
    document = {"Filter": over(predicate=expr)}
    assert json.loads(dump_plan(read(document))) == document


@pytest.mark.parametrize("data_type", TYPES, ids=str)
def test_every_type_reads_and_is_written_as_it_was_spelled(data_type: Any) -> None:
    schema = {"fields": [field("c", data_type)], "metadata": {}}
    document: dict[str, Any] = {
        "ParquetScan": {"table": "t", "schema": schema, "projection": None, "filters": []}
    }
    assert json.loads(dump_plan(read(document))) == document
    cast = {"Filter": over(predicate={"Cast": {"expr": A, "to_type": data_type}})}
    assert json.loads(dump_plan(read(cast))) == cast


def test_a_plan_becomes_the_model() -> None:
    document = {
        "HashJoin": {
            "left": {"Exchange": {"ShuffleRead": over(partitioning=HASH)}},
            "right": {"Custom": {"op_name": "op", "config": {"z": "1", "b": "2"}, "input": SCAN}},
            "on": [["a", "b"]],
            "join_type": "Anti",
            "strategy_hint": "SortMerge",
            "build_side": "Left",
        }
    }
    scan = m.ParquetScan("t", None, None, ())
    assert read(document) == m.HashJoin(
        left=m.ShuffleRead(scan, m.HashPartitioning(("a",), 4)),
        right=m.Custom("op", (("b", "2"), ("z", "1")), scan),
        on=(("a", "b"),),
        join_type=terms.JoinType.ANTI,
        strategy_hint=terms.JoinStrategy.SORT_MERGE,
        build_side=terms.BuildSide.LEFT,
    )


def test_definitions_of_tables_are_kept_as_they_are() -> None:
    """A plan only carries them: what may stand in one is the catalog's."""
    entry = {"name": "t", "paths": ["/a"], "options": {"x": [1, None], "é": {"z": True}}}
    document = {"ffq.WithTables": {"tables": [entry], "inline": [], "input": SCAN}}
    plan = read(document)
    assert isinstance(plan, m.WithTables)
    assert [json.loads(text) for text in plan.tables] == [entry]
    assert json.loads(dump_plan(plan)) == document
    again = {"options": entry["options"], "paths": entry["paths"], "name": "t"}
    assert read({"ffq.WithTables": {"tables": [again], "input": SCAN}}) == plan
    with pytest.raises(
        InvalidPlan, match=r"WithTables\.tables\[0\]: expected a table's definition"
    ):
        read({"ffq.WithTables": {"tables": ["t"], "input": SCAN}})


def test_what_may_be_absent_may_be_absent() -> None:
    assert read({"ParquetScan": {"table": "t", "filters": []}}) == read(SCAN)
    assert read({"Custom": over(op_name="op")}) == read({"Custom": over(op_name="op", config={})})
    join = NODES[11]["HashJoin"]
    assert read({"HashJoin": {**join, "alternatives": ["anything", {}]}}) == read(NODES[11])
    without_count = over(partitioning={"HashKeys": {"keys": ["a"]}})
    read_node = read({"Exchange": {"ShuffleRead": without_count}})
    assert isinstance(read_node, m.ShuffleRead)
    assert read_node.partitioning == m.HashPartitioning(("a",), 64)


def test_unknown_keys_are_ignored_and_a_unit_variant_may_hold_null() -> None:
    document = {"Limit": {"n": 1, "hint": {"Foo": [1]}, "input": SCAN}}
    assert read(document) == read({"Limit": over(n=1)})
    null = {"Literal": {"Null": None}}
    assert read({"Filter": over(predicate=null)}) == read(
        {"Filter": over(predicate={"Literal": "Null"})}
    )


INT64_RANGE = "expected an integer from -9223372036854775808 to 9223372036854775807"
COUNT_RANGE = "expected an integer from 0 to 18446744073709551615"

REFUSED: list[tuple[Any, str]] = [
    ({"Foo": {}}, "plan: unknown node 'Foo'; known: ParquetScan, ParquetWrite, Filter, "),
    ("Sort", "plan: unknown node 'Sort'; known: "),
    (None, "plan: expected node: a name or an object with one key, got null"),
    ([], "plan: expected node: a name or an object with one key, got an array of 0"),
    ({}, "plan: expected node: an object with exactly one key, got 0 keys"),
    ({**SCAN, "Limit": {}}, "plan: expected node: an object with exactly one key, got 2 keys"),
    ("Limit", "plan.Limit: expected an object with 'n', got null"),
    ({"Limit": {"n": 1}}, "plan.Limit: missing 'input'"),
    ({"Limit": over(n=-1)}, f"plan.Limit.n: {COUNT_RANGE}, got -1"),
    ({"Limit": over(n=True)}, f"plan.Limit.n: {COUNT_RANGE}, got true"),
    ({"Limit": over(n=1.0)}, f"plan.Limit.n: {COUNT_RANGE}, got 1.0"),
    ({"Limit": over(n="1")}, f"plan.Limit.n: {COUNT_RANGE}, got '1'"),
    ({"Limit": over(n=2**64)}, f"plan.Limit.n: {COUNT_RANGE}, got 18446744073709551616"),
    ({"TopKByScore": over(score_expr=A, k=-3)}, f"plan.TopKByScore.k: {COUNT_RANGE}, got -3"),
    (
        {"Project": {"exprs": [], "input": {"Filter": over(predicate={"Foo": 1})}}},
        "plan.Project.input.Filter.predicate: unknown expression 'Foo'; known: Column, ffq.Col",
    ),
    ({"Project": over(exprs=[[A]])}, "plan.Project.exprs[0]: expected a pair [expression, out"),
    ({"Project": over(exprs={})}, "plan.Project.exprs: expected an array, got an object"),
    ({"Filter": over(predicate={"And": [A]})}, "plan.Filter.predicate.And: expected a pair"),
    (
        {"Filter": over(predicate={"And": [A, {"Not": "Foo"}]})},
        "plan.Filter.predicate.And[1].Not: unknown expression 'Foo'",
    ),
    (
        {"Filter": over(predicate={"BinaryOp": {"left": A, "op": "Like", "right": A}})},
        "plan.Filter.predicate.BinaryOp.op: unknown operator 'Like'; known: Eq, NotEq, Lt, ",
    ),
    (
        {"Filter": over(predicate={"Literal": {"Int64": 2**63}})},
        f"plan.Filter.predicate.Literal.Int64: {INT64_RANGE}, got 9223372036854775808",
    ),
    (
        {"Filter": over(predicate={"Literal": {"Decimal": "1"}})},
        "plan.Filter.predicate.Literal: unknown literal 'Decimal'; known: Int64, Float64, Utf8, ",
    ),
    (
        {"Filter": over(predicate={"Literal": {"Boolean": 1}})},
        "plan.Filter.predicate.Literal.Boolean: expected true or false, got 1",
    ),
    (
        {"Filter": over(predicate={"Literal": {"Float64": None}})},
        "plan.Filter.predicate.Literal.Float64: expected a number, got null",
    ),
    (
        {"Filter": over(predicate={"Literal": {"Null": 1}})},
        "plan.Filter.predicate.Literal.Null: takes no value, got 1",
    ),
    (
        {"Filter": over(predicate={"Cast": {"expr": A, "to_type": "BigInt"}})},
        "plan.Filter.predicate.Cast.to_type: unknown data type 'BigInt'; known: Null, Boolean, ",
    ),
    (
        {"Filter": over(predicate={"Cast": {"expr": A, "to_type": {"Decimal128": [39, 2]}}})},
        "Cast.to_type.Decimal128[0]: expected an integer from 1 to 38, got 39",
    ),
    (
        {"Filter": over(predicate={"Cast": {"expr": A, "to_type": {"Decimal128": [2, 3]}}})},
        "Cast.to_type.Decimal128: scale 3 is larger than precision 2",
    ),
    (
        {"Filter": over(predicate={"Cast": {"expr": A, "to_type": {"Timestamp": ["Hour", None]}}})},
        "Cast.to_type.Timestamp[0]: unknown time unit 'Hour'; known: Second, ",
    ),
    (
        {"Exchange": {"Gather": {"input": SCAN}}},
        "plan.Exchange: unknown exchange 'Gather'; known: ShuffleWrite, ShuffleRead, Broadcast",
    ),
    (
        {"Exchange": {"ShuffleRead": over(partitioning="Range")}},
        "plan.Exchange.ShuffleRead.partitioning: unknown partitioning 'Range'; known: HashKeys, ",
    ),
    *(
        (
            {
                "Exchange": {
                    "ShuffleRead": over(
                        partitioning={"HashKeys": {**HASH["HashKeys"], "partitions": n}}
                    )
                }
            },
            "plan.Exchange.ShuffleRead.partitioning.HashKeys.partitions: "
            f"expected an integer from 1 to 10000, got {n}",
        )
        for n in (0, -1, 10_001)
    ),
    (
        {"HashJoin": {**NODES[11]["HashJoin"], "join_type": "Cross"}},
        "plan.HashJoin.join_type: unknown join type 'Cross'; known: Inner, Left, Right, Full, Semi",
    ),
    (
        {"HashJoin": {**NODES[11]["HashJoin"], "on": [["a"]]}},
        "plan.HashJoin.on[0]: expected a pair [left key, right key], got an array of 1",
    ),
    (
        {"PartialHashAggregate": over(group_exprs=[], aggr_exprs=[[{"Median": A}, "m"]])},
        "plan.PartialHashAggregate.aggr_exprs[0][0]: unknown aggregate 'Median'; known: Count, ",
    ),
    (
        {"Custom": over(op_name="op", config={"k": 1})},
        "plan.Custom.config['k']: expected a string, got 1",
    ),
    ({"Custom": over(op_name="", config={})}, "plan.Custom.op_name: expected a name, not empty"),
    ({"ParquetScan": {"table": "a\0b", "filters": []}}, "plan.ParquetScan.table: expected a name"),
    ({"ParquetScan": {"table": "t"}}, "plan.ParquetScan: missing 'filters'"),
]


@pytest.mark.parametrize(("document", "complaint"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_wrong_plan_is_refused_with_its_path(document: Any, complaint: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        read(document)
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "the plan is not JSON: Expecting value at line 1 column 1"),
        (b"{", "the plan is not JSON: "),
        (b'{"Limit": {"n": 1}} {}', "the plan is not JSON: Extra data"),
        (b"\xff\xfe", "the plan is not UTF-8 text: invalid start byte at byte 0"),
        (b'\xef\xbb\xbf{"Limit": 1}', "the plan is not JSON: Unexpected UTF-8 BOM"),
        (b'{"Limit": {"n": NaN}}', "NaN is not a JSON number"),
        (b'{"Limit": {"n": -Infinity}}', "-Infinity is not a JSON number"),
        (b'{"Limit": {"n": 1, "n": 2}}', "plan.Limit: key 'n' stands twice"),
        (b'{"Limit": {}, "Limit": {}}', "plan: key 'Limit' stands twice"),
        (b'{"Limit": {"n": 1' + b"0" * 5000 + b"}}", "a number is too long"),
        (b'{"Limit": {"n": 1' + b"0" * 50 + b"}}", "got an integer of 167 bits"),
        (b'{"Limit": {"n": 1e999}}', "got Infinity"),
        (b'{"ParquetScan": {"table": "\\ud800"}}', "a lone surrogate is not text"),
        (b'{"\\udfff": 1}', "unknown node '\\udfff'"),
    ],
)
def test_bytes_that_are_no_json_of_ours_are_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        parse_plan(data)
    assert complaint in caught.value.message
    caught.value.message.encode()


def test_depth_is_bounded_before_any_recursion() -> None:
    for opening in (b"[", b'{"Not":', b'[{"a":'):
        with pytest.raises(InvalidPlan, match="nests deeper than 256 JSON levels"):
            parse_plan(opening * 100_000)


def test_brackets_inside_strings_are_no_depth() -> None:
    text = '\\"' + "[{" * 500
    document = {"Filter": over(predicate={"Literal": {"Utf8": text}})}
    plan = read(document)
    assert isinstance(plan, m.Filter)
    assert plan.predicate == terms.Literal(terms.LiteralType.UTF8, text)


def test_the_deepest_plan_allowed_reads_and_is_written() -> None:
    expr: Any = A
    for _ in range(DEFAULT_LIMITS.max_depth - 3):
        expr = {"Not": expr}
    document = {"Filter": over(predicate=expr)}
    plan = read(document)
    assert json.loads(dump_plan(plan)) == document
    deeper = {"Filter": over(predicate={"Not": expr})}
    with pytest.raises(InvalidPlan, match="nests deeper"):
        read(deeper)


def test_bytes_nodes_and_containers_are_bounded() -> None:
    with pytest.raises(InvalidPlan, match="bytes; the bound is 50 bytes"):
        read(SCAN, max_bytes=50)
    union: Any = SCAN
    for _ in range(5):
        union = {"UnionAll": {"left": union, "right": SCAN}}
    assert read(union, max_nodes=11)
    with pytest.raises(InvalidPlan, match="more than 10 nodes and expressions"):
        read(union, max_nodes=10)
    with pytest.raises(InvalidPlan, match="has 81 JSON objects and arrays"):
        read([[]] * 80, max_nodes=10)


def test_a_dotted_key_counts_as_an_expression_when_read_and_when_written() -> None:
    plan = p.scan("t", ["a"]).join(p.scan("u"), [("a", "u.a")]).node
    data = dump_plan(plan)
    nodes = next(
        number for number in range(1, 50) if not _is_refused(data, PlanLimits(max_nodes=number))
    )
    dump_plan(plan, limits=PlanLimits(max_nodes=nodes))
    with pytest.raises(InvalidPlan, match=f"more than {nodes - 1} nodes and expressions"):
        dump_plan(plan, limits=PlanLimits(max_nodes=nodes - 1))


def _is_refused(data: bytes, limits: PlanLimits) -> bool:
    try:
        parse_plan(data, limits=limits)
    except InvalidPlan:
        return True
    return False


def test_a_shared_subtree_that_blows_up_when_written_is_refused() -> None:
    node: m.Node = m.ParquetScan("t", None, None, ())
    for _ in range(40):
        node = m.UnionAll(node, node)
    with pytest.raises(InvalidPlan, match="more than 1000 nodes and expressions"):
        dump_plan(node, limits=PlanLimits(max_nodes=1000))


def test_values_that_json_cannot_carry_are_refused_when_written() -> None:
    scan = m.ParquetScan("t", None, None, ())
    for literal in (
        terms.Literal(terms.LiteralType.FLOAT64, float("nan")),
        terms.Literal(terms.LiteralType.UTF8, "\ud800"),
        terms.Cast(terms.Column("a"), terms.DataType("BigInt")),
    ):
        with pytest.raises(InvalidPlan):
            dump_plan(m.Filter(literal, scan))


def test_a_long_path_is_shortened_in_the_middle() -> None:
    node: Any = {"Foo": {}}
    for _ in range(60):
        node = {"Limit": {"n": 1, "input": node}}
    with pytest.raises(InvalidPlan) as caught:
        read(node)
    path = caught.value.message.split(": ", 1)[0]
    assert len(path) == 401
    assert path.startswith("plan.Limit.input.")
    assert path.endswith(".Limit.input")
