"""Vector search as exact search: where it stands in a plan, its stages, and what is refused."""

from __future__ import annotations

import pytest

from ffq.errors import FfqError, PlanningError, UnsupportedPlan
from ffq.plan import model
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.explain import explain_logical, explain_stages
from ffq.plan.model import Limit, Node, UnionAll, VectorKnn, VectorTopK
from ffq.plan.properties import has_own_words
from ffq.plan.stages import Parallelism, cut
from ffq.plan.terms import Column
from ffq.plan.vector_tables import ColumnKind, Metric, TableColumn, VectorTable
from ffq.plan.vectors import with_exact_search
from ffq.plan.walk import walk_stage

TABLE = VectorTable(
    "docs",
    id=TableColumn("id", ColumnKind.INTEGER, "int64"),
    vector=TableColumn("v", ColumnKind.FLOATS, "fixed_size_list<element: float>[2]", 2),
    others=(TableColumn("lang", ColumnKind.TEXT, "string"),),
    metric=Metric.COSINE,
)
TOP = VectorTopK("docs", (1.0, 0.1), 3, '{"must": [{"field": "lang", "value": "en"}]}')
KNN = VectorKnn("docs", ((1.0, 0.1), (0.0, -2.5)), 3, 100, None, "L2", "exact")


def tables(name: str) -> VectorTable:
    if name != TABLE.name:
        raise PlanningError(f"unknown table {name!r}")
    return TABLE


@pytest.mark.parametrize("node", [TOP, KNN], ids=["top_k", "knn"])
def test_tasks_of_the_scan_keep_their_best_and_one_task_takes_the_best_of_these(node: Node) -> None:
    plan = with_exact_search(Limit(2, node), tables)
    sink, scan = cut(plan).stages
    assert (sink.parallelism, scan.parallelism) == (Parallelism.SINGLE, Parallelism.SCAN)
    assert has_own_words(cut(plan))  # no peer is given it
    assert parse_plan(dump_plan(plan)) == plan
    (read,) = (each for each in walk_stage(scan.fragment) if isinstance(each, model.ParquetScan))
    assert read.projection == ("id", "v", "lang")
    assert len(read.filters) == (2 if node is TOP else 1)


def test_the_text_of_its_plan_tells_what_each_task_does() -> None:
    plan = with_exact_search(KNN, tables)
    stages = explain_stages(cut(plan), {}).splitlines()
    assert sum("Window" in line for line in stages) == 2
    assert sum("of each task" in line for line in stages) == 1
    assert not any("of each task" in line for line in explain_logical(plan, {}).splitlines())


def test_it_may_stand_anywhere_and_a_plan_without_it_stays_itself() -> None:
    scan = model.ParquetScan("docs", None, None, ())
    plain = Limit(1, UnionAll(scan, model.Filter(Column("open"), scan)))
    assert with_exact_search(plain, tables) is plain
    plan = with_exact_search(UnionAll(model.CteRef("best", TOP), TOP), tables)
    assert isinstance(plan, UnionAll)
    assert isinstance(plan.left, model.CteRef)
    assert plan.left.plan == plan.right == with_exact_search(TOP, tables)
    assert len(cut(plan).stages) == 3


@pytest.mark.parametrize("provider", [None, "", "exact", "Brute-Force", "parquet"])
@pytest.mark.parametrize("metric", [None, "", "cosine", "L2", "Dot", "inner_product"])
def test_exact_search_goes_by_several_names(provider: str | None, metric: str | None) -> None:
    with_exact_search(VectorKnn("docs", (), 3, None, None, metric, provider), tables)


@pytest.mark.parametrize(
    ("node", "error", "says"),
    [
        (
            VectorKnn("docs", ((1.0, 1.0),), 3, None, None, "L2", "hnsw"),
            UnsupportedPlan,
            "VectorKnn of 'docs': this engine has no provider 'hnsw'; right would be exact",
        ),
        (
            VectorKnn("docs", ((1.0, 1.0),), 3, None, None, "jaccard", ""),
            UnsupportedPlan,
            "unknown metric 'jaccard'; known: cosine, l2",
        ),
        (
            # The provider is what is wrong, whatever tables there are.
            VectorKnn("elsewhere", ((1.0, 1.0),), 3, None, None, "L2", "qdrant"),
            UnsupportedPlan,
            "no provider 'qdrant'",
        ),
        (
            VectorKnn("docs", ((1.0, 1.0),), 3, None, "x > 1", "L2", ""),
            UnsupportedPlan,
            "VectorKnn: prefilter of table 'docs': 'x > 1' is no payload filter",
        ),
        (
            VectorKnn("docs", ((1.0, 1.0), (1.0,)), 3, None, None, "L2", ""),
            PlanningError,
            "query_vectors[1] has 1 numbers, and those of the column 2",
        ),
        (VectorTopK("docs", (), 3, None), PlanningError, "query_vector has 0 numbers"),
        (VectorTopK("elsewhere", (1.0,), 3, None), PlanningError, "unknown table 'elsewhere'"),
    ],
)
def test_what_is_refused_by_name(node: Node, error: type[FfqError], says: str) -> None:
    with pytest.raises(error) as caught:
        with_exact_search(Limit(1, node), tables)
    assert says in caught.value.message


def test_query_vectors_of_several_lengths_are_refused_where_the_column_has_none() -> None:
    def of_any_length(_name: str) -> VectorTable:
        vector = TableColumn("v", ColumnKind.FLOATS, "list<element: float>")
        return VectorTable("docs", TABLE.id, vector, (), Metric.DOT)

    node = VectorKnn("docs", ((1.0, 1.0), (1.0,)), 3, None, None, None, None)
    with pytest.raises(PlanningError, match="query_vectors have 2 and 1 numbers; right would be"):
        with_exact_search(node, of_any_length)
