"""A query has one answer on one worker and on three, and while workers are killed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import attrs
import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

import ffq
from ffq.errors import InvalidPlan
from ffq.plan import dump_plan
from ffq.plan.model import Node
from tests import processes
from tests.engine.one_answer import Case, Row, answer, cases, close, exact
from tests.profiles import heavy

WORKERS = ("w1", "w2", "w3")
CATALOG = """[{"name": "t", "paths": ["t"]}, {"name": "u", "paths": ["u"]}]"""
ENVIRONMENT = {"FFQ_SCAN_TARGET_BYTES": "1"}  # shares of a row group each


@attrs.define
class Cluster:
    """Real processes; a worker that was killed is started anew under its id."""

    endpoint: str
    client: ffq.SyncClient
    _stack: ExitStack
    _workers: dict[str, processes.Running] = attrs.field(factory=dict)

    def start(self, name: str) -> None:
        started = processes.worker(self.endpoint, name)
        self._workers[name] = self._stack.enter_context(started)

    def kill(self, name: str) -> None:
        self._workers[name].signal(signal.SIGKILL)


@attrs.frozen
class Clusters:
    """Of one worker and of three, over the same files."""

    folder: Path
    one: Cluster
    three: Cluster


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    folder = tmp_path_factory.mktemp("one_answer")
    (folder / "tables.json").write_text(CATALOG)
    with ExitStack() as stack:
        one, three = (_start(stack, folder, workers) for workers in (WORKERS[:1], WORKERS))
        yield Clusters(folder, one, three)


def _start(stack: ExitStack, folder: Path, workers: Sequence[str]) -> Cluster:
    catalog = f"--catalog={folder / 'tables.json'}"
    _, endpoint = stack.enter_context(processes.gateway(catalog, env=ENVIRONMENT))
    client = stack.enter_context(ffq.SyncClient(endpoint))
    cluster = Cluster(endpoint, client, stack)
    for name in workers:
        cluster.start(name)
    return cluster


# An example is four processes, four tables and three queries.
@heavy
@settings(
    max_examples=max(1, settings().max_examples // 25), suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_a_query_has_one_answer_while_workers_are_killed(
    clusters: Clusters, data: st.DataObject
) -> None:
    case = data.draw(cases(), "case")
    shapes = case.query.shapes
    plans = [data.draw(st.sampled_from(sorted(shapes)), "shape") for _ in range(3)]
    assume(all(is_json(shapes[shape]) for shape in plans))
    event(case.query.kind)
    victim = data.draw(st.sampled_from(WORKERS), "victim")
    check(clusters, case, plans, victim)


def is_json(plan: Node) -> bool:
    """NaN and infinity are no JSON: such literals cannot be sent."""
    try:
        dump_plan(plan)
    except InvalidPlan:
        return False
    return True


def check(clusters: Clusters, case: Case, plans: list[str], victim: str) -> None:
    query = case.query
    with duckdb.connect() as duck:
        for name, table in zip("tu", (case.left, case.right), strict=True):
            shutil.rmtree(clusters.folder / name, ignore_errors=True)
            table.write(clusters.folder / name)
            table.load(duck, name)
        wanted = duck.execute(query.sql).fetchall()
    by_one = run(clusters.one, query.shapes[plans[0]])
    assert answer(by_one, close) == answer(wanted, close), query.sql
    by_three = run(clusters.three, query.shapes[plans[1]])
    assert answer(by_three, exact) == answer(by_one, exact), f"{plans[:2]}: {query.sql}"
    three = clusters.three
    query_id = three.client.submit(dump_plan(query.shapes[plans[2]]))
    three.kill(victim)
    # Its successor is a new worker under the old id: what the dead one ran is given out again.
    three.start(victim)
    three.client.wait(query_id)
    killed = rows_of(three.client.fetch(query_id))
    assert answer(killed, exact) == answer(by_one, exact), f"{plans}: {query.sql}"


def run(cluster: Cluster, plan: Node) -> list[Row]:
    return rows_of(cluster.client.run(dump_plan(plan)))


def rows_of(table: pa.Table) -> list[Row]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
