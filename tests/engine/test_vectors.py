"""Vector search as exact search, run in tasks over files, against numpy's brute force."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffq.catalog import Catalog, Table
from ffq.engine import Engine
from ffq.errors import DataError
from ffq.plan.model import Limit, Node, ParquetScan, Project, VectorKnn, VectorTopK
from ffq.plan.terms import Column, Literal, LiteralType, VectorDistance
from ffq.plan.vectors import with_exact_search
from tests.engine.runner import LocalRunner

Vector: TypeAlias = "Sequence[float] | None"
_FOLDER: Final = itertools.count()
NAN: Final = float("nan")


@attrs.frozen
class Bench:
    """One table of vectors; each row group is a task's at most."""

    engine: Engine
    root: Path
    options: Mapping[str, object] = attrs.field(factory=dict)

    def run(self, node: Node, table: pa.Table, rows_of_group: int = 2) -> pa.Table:
        folder = self.root / str(next(_FOLDER))
        folder.mkdir()
        file = folder / "t.parquet"
        pq.write_table(table, file, row_group_size=rows_of_group)
        catalog = Catalog.of([Table("t", (str(file),), options=self.options)])
        plan = with_exact_search(node, catalog.vector_table)
        return LocalRunner(self.engine, folder, {"t": [file]}).run(plan)


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    return Bench(engine, tmp_path)


def vectors(values: Sequence[Vector], kind: pa.DataType | None = None) -> pa.Table:
    """Ids from 0."""
    column = pa.array(values, kind or pa.list_(pa.float64()))
    return pa.table({"id": pa.array(range(len(values)), pa.int64()), "v": column})


def top(*query: float, k: int = 10, wanted: object = None) -> VectorTopK:
    return VectorTopK("t", query, k, None if wanted is None else json.dumps(wanted))


def knn(*queries: Sequence[float], k: int = 10, metric: str = "cosine") -> VectorKnn:
    return VectorKnn("t", tuple(map(tuple, queries)), k, None, None, metric, "exact")


# --- against brute force ---------------------------------------------------------------------


def score(metric: str, vector: Sequence[float], query: Sequence[float]) -> float:
    a = np.array(vector, dtype=np.float64)
    b = np.array(query, dtype=np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        match metric:
            case "cosine":
                return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
            case "l2":
                return float(np.linalg.norm(a - b))
            case _:
                return float(np.dot(a, b))


def badness(metric: str, value: float) -> tuple[bool, float]:
    """Small is good; NaN is after all."""
    return math.isnan(value), 0.0 if math.isnan(value) else value * (1 if metric == "l2" else -1)


def check(metric: str, k: int, rows: pa.Table, query: Sequence[float], given: Any) -> None:
    """That these are the k best rows, in order."""
    found = rows.to_pylist()
    known = dict(enumerate(given))
    held = {key: score(metric, vector, query) for key, vector in known.items() if vector}
    assert len(found) == min(k, len(held))
    assert len({row["id"] for row in found}) == len(found)
    for row in found:
        assert row["score"] == pytest.approx(held[row["id"]], rel=1e-6, abs=1e-6, nan_ok=True)
    order = [(badness(metric, row["score"]), row["id"]) for row in found]
    assert order == sorted(order)
    left_out = held.keys() - {row["id"] for row in found}
    worst = badness(metric, found[-1]["score"]) if found else (False, -math.inf)
    for key in left_out if found else ():
        no_number, value = badness(metric, held[key])
        assert (no_number, value + 1e-5) >= worst, key


COMPONENT = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-100, 100, width=16),
    st.sampled_from([0.0, -0.0, NAN]),
)
KINDS: Final = ("list", "large", "fixed")
ITEMS: Final = (pa.float64(), pa.float32(), pa.float16())


# Each example writes files and runs two queries in several tasks.
@settings(max_examples=settings().max_examples // 5)
@given(st.data())
def test_the_k_best_rows_are_those_of_brute_force(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    length = data.draw(st.integers(1, 3), "length")
    vector = st.lists(COMPONENT, min_size=length, max_size=length)
    given_ = data.draw(st.lists(st.none() | vector, max_size=9), "vectors")
    query = st.lists(st.floats(-3, 3, width=32), min_size=length, max_size=length)
    queries = data.draw(st.lists(query, min_size=1, max_size=3), "queries")
    metric = data.draw(st.sampled_from(["cosine", "l2", "dot"]))
    k = data.draw(st.integers(0, 11), "k")
    item = data.draw(st.sampled_from(ITEMS))
    match data.draw(st.sampled_from(KINDS)):
        case "list":
            kind = pa.list_(item)
        case "large":
            kind = pa.large_list(item)
        case _:
            kind = pa.list_(item, length)
    held: Sequence[Vector] = given_
    if item == pa.float16():  # Arrow makes these of numpy's alone
        held = [None if one is None else [np.float16(each) for each in one] for one in given_]  # type: ignore[misc]
    table = vectors(held, kind)
    bench = Bench(engine, tmp_path_factory.mktemp("vectors"), {"metric": metric})
    group = data.draw(st.integers(1, 4), "rows of a group")
    one = bench.run(top(*queries[0], k=k), table, group)
    check(metric, k, one, queries[0], given_)
    several = bench.run(knn(*queries, k=k, metric=metric), table, group)
    assert several["query"].to_pylist() == sorted(several["query"].to_pylist())
    for at, each in enumerate(queries):
        check(metric, k, several.filter(pa.compute.field("query") == at), each, given_)


# --- what the rows are -----------------------------------------------------------------------


def test_columns_and_payload(bench: Bench) -> None:
    table = pa.table(
        {
            "id": pa.array([7, None], pa.int32()),
            "title": ['a "quoted" word', None],
            "v": [[1.0, 0.0], [1.0, 0.0]],
            "price": [NAN, 1.5],
            "Price": pa.array([1, 2], pa.uint64()),
            "other": pa.array([[0.5, math.inf, None], None], pa.list_(pa.float32())),
            "day": pa.array([0, None], pa.date32()),
        }
    )
    rows = Bench(bench.engine, bench.root, {"vector_column": "v"}).run(top(2.0, 0.0), table)
    assert rows.schema == pa.schema(
        [("id", pa.int64()), ("score", pa.float32()), ("payload", pa.string())]
    )
    assert rows["id"].to_pylist() == [7, None]  # of one score by id, without one last
    assert rows["score"].to_pylist() == [1.0, 1.0]
    assert [
        json.loads(each, parse_constant=pytest.fail) for each in rows["payload"].to_pylist()
    ] == [
        {
            "title": 'a "quoted" word',
            "price": None,
            "Price": 1,
            "other": [0.5, None, None],
            "day": "1970-01-01",
        },
        {"title": None, "price": 1.5, "Price": 2, "other": None, "day": None},
    ]


def test_knn_tells_which_query_vector_a_row_is_near_to(bench: Bench) -> None:
    table = vectors([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], None])
    rows = bench.run(knn([0.0, 2.0], [1.0, 0.0], k=2, metric="L2"), table)
    assert rows.to_pydict() == {
        "id": [1, 0, 0, 1],
        "score": [1.0, pytest.approx(math.sqrt(5)), 0.0, pytest.approx(math.sqrt(2))],
        "payload": ["{}"] * 4,
        "query": [0, 0, 1, 1],
    }
    assert bench.run(knn(), table).num_rows == 0
    assert bench.run(Limit(1, knn([1.0, 1.0])), table).num_rows == 1


def test_ties_go_by_id_and_no_number_is_last(bench: Bench) -> None:
    table = vectors([[0.0, 0.0], [NAN, 1.0], [3.0, 3.0], [1.0, 1.0], [-1.0, -1.0]])
    for rows in (bench.run(top(2.0, 2.0), table), bench.run(knn([2.0, 2.0]), table)):
        assert rows["id"].to_pylist() == [2, 3, 4, 0, 1]
    assert bench.run(top(2.0, 2.0, k=1), table)["id"].to_pylist() == [2]


def test_a_score_beyond_a_float32_is_infinite(bench: Bench) -> None:
    table = vectors([[1e300], [-1e300], [1.0]])
    rows = Bench(bench.engine, bench.root, {"metric": "dot"}).run(top(1.0), table)
    assert rows["id"].to_pylist() == [0, 2, 1]
    assert rows["score"].to_pylist() == [math.inf, 1.0, -math.inf]


def test_a_filter_is_over_the_columns_of_the_row(bench: Bench) -> None:
    table = pa.table(
        {
            "id": range(5),
            "v": [[1.0], [2.0], [3.0], [4.0], None],
            "lang": ["en", None, "de", "en", "en"],
            "score": pa.array([1.5, 2.5, 1.5, None, 1.5], pa.float32()),
        }
    )

    def ids(**wanted: object) -> list[int]:
        found: list[int] = bench.run(top(1.0, wanted=wanted), table)["id"].to_pylist()
        return found

    english, low = {"field": "lang", "value": "en"}, {"key": "score", "match": {"value": 1.5}}
    assert ids(must=[english]) == [0, 3]
    assert ids(must_not=[english]) == [1, 2]
    assert ids(should=[english, low]) == [0, 2, 3]
    assert ids(must=[english, low]) == [0]
    assert ids(must=[{"field": "lang", "value": None}]) == [1]
    assert ids(must_not=[{"should": [english, low]}]) == [1]
    assert ids(must=[{"field": "id", "value": 9}]) == []


def test_an_expression_of_a_vector_that_is_null_in_a_file_is_null(bench: Bench) -> None:
    file = bench.root / "t.parquet"
    pq.write_table(vectors([[3.0, 4.0], None], pa.list_(pa.float32())), file)
    query = Literal(LiteralType.VECTOR_F32, (0.0, 0.0))
    distance = VectorDistance("L2Distance", Column("v"), query)
    plan = Project(((distance, "d"),), ParquetScan("t", None, None, ()))
    rows = LocalRunner(bench.engine, bench.root, {"t": [file]}).run(plan)
    assert rows["d"].to_pylist() == [5.0, None]


@pytest.mark.parametrize("node", [top(1.0, 2.0), knn([1.0, 2.0])], ids=["top_k", "knn"])
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([1.0], "table 't', column 'v': a vector has 1 numbers, and the query vector 2"),
        ([], "table 't', column 'v': a vector has 0 numbers, and the query vector 2"),
        ([1.0, None], "table 't', column 'v': a vector has a null among its numbers"),
    ],
)
def test_a_vector_that_cannot_be_compared_is_an_error(
    bench: Bench, node: Node, bad: list[float], says: str
) -> None:
    with pytest.raises(DataError) as caught:
        bench.run(node, vectors([[1.0, 2.0], [3.0, 4.0], bad, None]))
    assert says in caught.value.message
