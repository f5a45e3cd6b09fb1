"""docs/plan.md is true: its vocabulary is the codec's, and its stages are so numbered."""

from __future__ import annotations

import re

import attrs
import pytest

from ffq import plan as p
from ffq.core import CoordinatorSettings
from ffq.engine import functions
from ffq.engine.inline import MAX_ROWS, MAX_UNPACKED_BYTES
from ffq.plan import dump_plan, model, parse_plan, terms
from ffq.plan.codec import bound, expressions, nodes
from ffq.plan.inline import MAX_INLINE_BYTES
from ffq.plan.limits import DEFAULT_LIMITS
from ffq.plan.stages import cut
from ffq.plan.walk import child_fields, walk_stage
from tests.docs import pages
from tests.docs.blocks import blocks_of
from tests.strategies import graphs

PAGE = "docs/plan.md"


def rows(heading: str) -> list[list[str]]:
    """Cells of the tables under a heading."""
    lines = pages.section(PAGE, heading).splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("| ")
    ]


def words(cell: str) -> list[str]:
    return re.findall(r"(?:ffq\.)?\w+", cell)


def test_the_plan_reads_and_is_the_one_that_the_builder_writes() -> None:
    block = next(each.text for each in blocks_of(PAGE) if each.language == "json")
    counted = p.col("l_returnflag").count().alias("n")
    scan = p.scan("lineitem", ["l_returnflag"])
    built = scan.aggregate(["l_returnflag"], [counted], partitions=4)
    assert parse_plan(block.encode()) == parse_plan(built.to_json())


def test_the_builder_s_example_runs() -> None:
    (block,) = (each.text for each in blocks_of(PAGE) if each.language == "python")
    exec(block, {"print": parse_plan_text})


def parse_plan_text(text: str) -> None:
    parse_plan(text.encode())


def node_type(name: str) -> type:
    found: type = vars(model)[name.removeprefix("ffq.")]
    return found


def test_it_names_every_bound_expression() -> None:
    told = [row[0] for row in rows("## What SQL needs beyond") if row[0] != "bound expression"]
    assert told == list(bound._EXPRESSIONS)


def test_it_names_every_node_and_its_keys() -> None:
    told = {row[0]: row[1] for row in rows("## Nodes") if len(row) == 3 and row[0] != "node"}
    assert told.keys() == nodes._NODES.keys()
    for name, keys in told.items():
        if name != "Exchange":
            fields = {field.name for field in attrs.fields(node_type(name))}
            assert set(words(keys)) == fields, name
    assert set(words(told["Exchange"])) - {"or"} == nodes._EXCHANGES.keys()


def test_children_are_walked_in_the_order_of_the_keys() -> None:
    for name, keys, _ in (row for row in rows("## Nodes") if len(row) == 3 and row[0] != "node"):
        if name != "Exchange":
            fields = child_fields.__globals__["_CHILD_FIELDS"][node_type(name)]
            told = [key for key in words(keys) if key in fields]
            assert told == list(fields), name


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("join_type", terms.JoinType),
        ("strategy_hint", terms.JoinStrategy),
        ("build_side", terms.BuildSide),
        ("op", terms.BinaryOperator),
        ("aggregate", terms.AggregateFunction),
    ],
)
def test_it_names_every_word(word: str, kind: type[terms.JoinType]) -> None:
    (cell,) = (row[1] for row in rows("## Nodes") if len(row) == 2 and row[0] == word)
    assert words(cell) == [member.value for member in kind]


def test_it_names_every_window_function_and_frame() -> None:
    text = " ".join(pages.section(PAGE, "## Nodes").split()).partition("A window is")[2]
    told = words(text.partition("`func` is one of ")[2].partition("`frame` is")[0])
    assert set(expressions._WINDOW_FUNCTIONS) == {word for word in told if word[0].isupper()}


def test_it_names_every_expression_and_literal() -> None:
    told = [row for row in rows("## Expressions") if row[0] != "expression"]
    names = [name for row in told for name in words(row[0])]
    assert set(names) == expressions._EXPRESSIONS.keys()
    (literals,) = (row[1] for row in told if row[0] == "Literal")
    assert re.findall(r'"(\w+)"[:`]', literals) == list(expressions._LITERALS)


def test_it_names_every_function() -> None:
    text = pages.section(PAGE, "## Expressions").partition("Functions: ")[2]
    assert words(text) == list(functions._FUNCTIONS)


def test_stages_are_numbered_as_it_says() -> None:
    left = graphs.aggregate(graphs.scan("t"), 2)
    graph = cut(graphs.join(left, graphs.scan("u"), 2))
    told = re.findall(r"stage (\d)", pages.section(PAGE, "## Stages and their numbers"))
    assert [str(stage.stage_id) for stage in graph.stages] == told
    kinds = [{type(node) for node in walk_stage(stage.fragment)} for stage in graph.stages]
    assert model.HashJoin in kinds[0]
    assert model.FinalHashAggregate in kinds[1]
    assert [scan.table for stage in graph.stages for scan in stage.scans] == ["t", "u"]
    assert [stage.stage_id for stage in graph.stages if stage.scans] == [2, 3]


def test_its_bounds_are_those_of_the_code() -> None:
    told = {row[0]: row[1] for row in rows("## Bounds")}
    settings = CoordinatorSettings()
    assert settings.max_assignment_bytes == 3_500_000
    assert told["bytes of JSON"].startswith("3.5 MB")
    assert {name: int(told[name].replace(",", "")) for name in list(told)[2:]} == {
        "nesting of objects and arrays": DEFAULT_LIMITS.max_depth,
        "nodes and expressions": DEFAULT_LIMITS.max_nodes,
        "stages": DEFAULT_LIMITS.max_stages,
        "partitions of one exchange": DEFAULT_LIMITS.max_partitions,
        "tasks": settings.max_tasks_per_query,
        "bytes of its inline tables together": MAX_INLINE_BYTES,
        "bytes of one of them before compression": MAX_UNPACKED_BYTES,
        "rows of one of them": MAX_ROWS,
    }
    assert dump_plan(graphs.scan())  # what is within them can be written


def test_every_file_it_names_exists() -> None:
    assert [
        path for path in pages.paths(pages.prose(PAGE)) if not (pages.ROOT / path).exists()
    ] == []
