"""A real model over a table: a class operator with scikit-learn, from SQL and from Python.

    pip install "ffq-runtime[examples,pandas]" && python examples/churn.py

The model is fitted once in each process that runs a task, from a file, and then called batch by
batch. What it answers is checked against the same model over the whole table at once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import trio

import ffq
from ffq import plan as p

FEATURES = ["months", "calls"]


def fitted(training: str) -> Any:
    """A logistic regression over the rows of a Parquet file."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # takes a second

    rows = pq.read_table(training).to_pandas()
    return LogisticRegression().fit(rows[FEATURES].to_numpy(), rows["left"].to_numpy())


@ffq.operator("churn", batch_format="pandas", output_schema={"id": "BIGINT", "risk": "DOUBLE"})
class Churn:
    """Customers whose risk to leave is at least the threshold."""

    def __init__(self, training: str, threshold: float = 0.5) -> None:
        print(f"the model is fitted on {Path(training).name}")
        self.model = fitted(training)
        self.threshold = threshold

    def __call__(self, batch: Any) -> Any:
        features = batch[FEATURES].to_numpy(dtype=float)
        batch["risk"] = self.model.predict_proba(features)[:, 1]
        return batch.loc[batch["risk"] >= self.threshold, ["id", "risk"]]


def write_tables(folder: Path, *, customers: int = 20_000) -> None:
    """Made up: who calls often and is new leaves."""
    random = np.random.default_rng(1)

    def people(count: int) -> dict[str, Any]:
        months, calls = random.integers(0, 120, count), random.poisson(3, count)
        return {"id": np.arange(count), "months": months, "calls": calls}

    known = people(2_000)
    known["left"] = known["calls"] * 12 - known["months"] + random.normal(0, 20, 2_000) > 0
    pq.write_table(pa.table(known), folder / "known.parquet")
    rows = pa.table(people(customers))
    pq.write_table(rows, folder / "customers.parquet", row_group_size=customers // 8)


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(folder)
        training, file = str(folder / "known.parquet"), str(folder / "customers.parquet")
        tables = {"customers": file}
        query = """
            SELECT count(*) AS customers, max(risk) AS highest
            FROM op('churn', (SELECT id, months, calls FROM customers WHERE months < $months),
                    training => $training, threshold => 0.75)
        """
        plan = (
            p.scan("customers", ["id", *FEATURES])
            .filter(p.col("months") < 24)
            .map_batches("churn", training=training, threshold=0.75)
        )
        async with ffq.LocalCluster(workers=2, tables=tables) as cluster:
            parameters = {"months": 24, "training": training}
            (by_sql,) = (await cluster.client.run_sql(query, parameters)).to_pylist()
            by_plan = await cluster.run(plan)
        whole = pq.read_table(file, filters=[("months", "<", 24)]).to_pandas()
        risks = fitted(training).predict_proba(whole[FEATURES].to_numpy())[:, 1]
    at_risk = risks[risks >= 0.75]
    assert by_sql["customers"] == by_plan.num_rows == len(at_risk)
    assert np.isclose(by_sql["highest"], at_risk.max())
    print(f"{len(at_risk)} of {len(whole)} new customers are likely to leave")


if __name__ == "__main__":
    trio.run(main)
