"""Plans of vector search as another client writes them, at a real gateway with a real worker."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ffq
from ffq.errors import FfqError, PlanningError, QueryFailed, UnsupportedPlan
from tests import processes

DOCS = pa.table(
    {
        "key": range(40),
        "embedding": pa.array([[float(at % 8), 1.0] for at in range(40)], pa.list_(pa.float32())),
        "lang": ["en" if at % 2 else "de" for at in range(40)],
    }
)
OPTIONS = {"id_column": "key", "vector_column": "embedding", "metric": "l2"}
IN_ENGLISH = json.dumps({"must": [{"field": "lang", "value": "en"}]})


def top_k(**changed: object) -> bytes:
    node = {"table": "docs", "query_vector": [2.5, 1.0], "k": 3, "filter": IN_ENGLISH}
    return json.dumps({"VectorTopK": node | changed}).encode()


def knn(**changed: object) -> bytes:
    node: dict[str, Any] = {"source": "docs", "query_vectors": [[0.0, 0.0], [0.0, 9.0]], "k": 2}
    node |= {"ef_search": 64, "prefilter": None, "metric": "dot", "provider": "exact"}
    return json.dumps({"VectorKnn": node | changed}).encode()


def test_plans_of_vector_search_are_answered_or_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(DOCS, tmp_path / "docs.parquet", row_group_size=10)
    pq.write_table(pa.table({"id": [1], "n": [1.5]}), tmp_path / "plain.parquet")
    tables = [
        {"name": "docs", "uri": "docs.parquet", "options": OPTIONS},
        {"name": "plain", "uri": "plain.parquet"},
    ]
    catalog = tmp_path / "tables.json"
    catalog.write_text(json.dumps(tables))
    with ExitStack() as stack:
        with_catalog = processes.gateway(f"--catalog={catalog}", "--scan-target-bytes=1")
        _, endpoint = stack.enter_context(with_catalog)
        client = stack.enter_context(ffq.SyncClient(endpoint))
        stack.enter_context(processes.worker(endpoint, "w1"))

        rows = client.run(top_k())
        assert rows.to_pydict() == {
            "id": [3, 11, 19],
            "score": [0.5] * 3,
            "payload": ['{"lang":"en"}'] * 3,
        }
        # The same bytes under the same id are the same plan (R1): its digest is of what was sent.
        query_id = client.submit(top_k(k=1), "7")
        client.wait(query_id)
        assert client.submit(top_k(k=1), "7") == query_id
        assert client.status(query_id).stages[1].succeeded_tasks == 4
        rows = client.run(knn())
        assert rows["query"].to_pylist() == [0, 0, 1, 1]
        assert rows["id"].to_pylist() == [0, 1, 0, 1]
        assert rows["score"].to_pylist() == [0.0, 0.0, 9.0, 9.0]

        refused: list[tuple[bytes, type[FfqError], str]] = [
            (knn(provider="qdrant"), UnsupportedPlan, "no provider 'qdrant'"),
            (top_k(table="plain", filter=None), PlanningError, "'vector_column'"),
            (top_k(table="none"), PlanningError, "unknown table 'none'"),
            (top_k(filter="lang = 'en'"), UnsupportedPlan, 'right would be {"must"'),
        ]
        for plan, error, says in refused:
            with pytest.raises(error) as caught:
                client.submit(plan)
            assert says in caught.value.message
        with pytest.raises(QueryFailed, match="a vector has 2 numbers, and the query vector 3"):
            client.run(top_k(query_vector=[1.0, 2.0, 3.0]))
