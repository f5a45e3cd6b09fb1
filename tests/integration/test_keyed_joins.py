"""Joins whose right side has many rows and few keys, on real processes: the left side leaves out
rows with other keys before both are exchanged, and the answers are the engine's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import attrs
import duckdb
import pytest

import ffq
from ffq.plan import dump_plan
from ffq.sql.distribute import distribute
from ffq.sql.planning import PlanningInstance
from ffq.sql.sharing import with_shared
from tests.processes import gateway, worker
from tests.sql.compared import plan_of, rows_of, write_tables
from tests.sql.keyed import CLUSTER, KEYED, MANY, SIZES, TABLES


@attrs.frozen
class _Cluster:
    con: duckdb.DuckDBPyConnection
    instance: PlanningInstance
    client: ffq.SyncClient

    def plan(self, sql: str, keys_bytes: int) -> bytes:
        """In which no right side is read whole, and so many bytes of keys go first."""
        planned = plan_of(self.instance, sql)
        plan, _ = with_shared(distribute(planned, partitions=3, estimates=SIZES, cluster=CLUSTER))
        text = re.sub(r'("broadcast_bytes":) *\d+', r"\1 0", dump_plan(plan).decode())
        return re.sub(r'("keys_bytes":) *\d+', rf"\1 {keys_bytes}", text).encode()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Cluster]:
    root = tmp_path_factory.mktemp("keyed")
    con = duckdb.connect()
    for name, sql in {**TABLES, "many": MANY}.items():
        con.execute(f"CREATE TABLE {name} AS {sql}")
    files = write_tables(con, root)
    columns = {
        name: [(column, kind) for column, kind, *_ in con.execute(f"DESCRIBE {name}").fetchall()]
        for name in files
    }
    entries = [{"name": name, "paths": list(map(str, paths))} for name, paths in files.items()]
    catalog = root / "tables.json"
    catalog.write_text(json.dumps(entries))
    instance = PlanningInstance(columns)
    with (
        gateway(f"--catalog={catalog}", "--scan-target-bytes=1") as (_, endpoint),
        worker(endpoint, "w1", "--slots=1"),
        worker(endpoint, "w2", "--slots=1"),
        ffq.SyncClient(endpoint) as client,
    ):
        yield _Cluster(con, instance, client)
    instance.close()


def _decided(cluster: _Cluster, sql: str, keys_bytes: int) -> list[str]:
    """What was decided by sizes, once the answer is found to be right."""
    query_id = cluster.client.submit(cluster.plan(sql, keys_bytes))
    cluster.client.wait(query_id)
    got = rows_of(cluster.client.fetch(query_id))
    assert sorted(got, key=repr) == sorted(rows_of(cluster.con.sql(sql).to_arrow_table()), key=repr)
    return [text for stage in cluster.client.status(query_id).stages for text in stage.decisions]


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize(
    "name", ["inner", "of two keys", "nulls are alike", "of text", "semi with a condition"]
)
def test_few_keys_go_first(cluster: _Cluster, name: str, table: str) -> None:
    decided = _decided(cluster, KEYED[name].format(table), 2**20)
    if table in {"none", "nulls"} and not any("reduced" in text for text in decided):
        assert any(text.startswith("broadcast: ") for text in decided), "there was no row at all"
        return
    (told,) = [text for text in decided if text.startswith("reduced: the keys of stage ")]
    assert told.endswith("and rows with others are left out here")
    assert any(text.startswith("shuffled: ") and "more than 0 B" in text for text in decided)


def test_many_keys_do_not(cluster: _Cluster) -> None:
    decided = _decided(cluster, KEYED["inner"].format("every"), 10)
    assert any(
        text.startswith("not reduced: the keys of stage ") and text.endswith("more than 10 B")
        for text in decided
    )
