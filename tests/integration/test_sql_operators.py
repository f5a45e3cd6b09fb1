"""`ffq sql --operators`: an operator of the current folder in a query, on real workers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.processes import ffq

MODULE = """
import ffq

@ffq.operator("shop.from", output_schema={"v": "BIGINT"})
class From:
    def __init__(self, least: int):
        self.least = least

    def __call__(self, batch):
        return batch.filter([v >= self.least for v in batch["v"].to_pylist()])
"""


def test_an_operator_of_the_current_folder_is_used_by_name(tmp_path: Path) -> None:
    (tmp_path / "shop_ops.py").write_text(MODULE)
    pq.write_table(pa.table({"v": list(range(100))}), tmp_path / "t.parquet", row_group_size=10)
    query = "SELECT count(*) AS n FROM op('shop.from', (FROM 't.parquet'), least => 90)"
    done = ffq("sql", query, "--operators=shop_ops", "--format=csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "n\n10\n"), done.stderr
