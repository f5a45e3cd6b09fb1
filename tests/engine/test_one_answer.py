"""A query has one answer, however its work is cut, and it is the one that DuckDB has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs
import duckdb
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ffq.catalog import Catalog, ScanSettings, plan_scans
from ffq.catalog import Table as CatalogTable
from ffq.core.layout import lay_out, scan_inputs
from ffq.core.records import TaskShare
from ffq.core.settings import CoordinatorSettings
from ffq.engine import Engine, FragmentSpec
from ffq.ids import AttemptKey, StageId
from ffq.messages import StageScan
from ffq.plan.model import Node
from ffq.plan.stages import StageGraph, StagePlan, cut
from tests.engine.one_answer import Case, Row, answer, cases, close, exact
from tests.engine.runner import LocalRunner

_FOLDER = itertools.count()


@attrs.define
class CoordinatedRunner(LocalRunner):
    """Lays tasks out as the coordinator does. target_bytes: of a share of a scan."""

    target_bytes: int = 1
    _scans: dict[StageId, dict[int, StageScan]] = attrs.field(factory=dict)
    _layouts: dict[StageId, Sequence[TaskShare]] = attrs.field(factory=dict)

    def rows(self, plan: Node) -> list[Row]:
        catalog = Catalog.of(
            CatalogTable(name, tuple(map(str, paths))) for name, paths in self.tables.items()
        )
        self._scans, self._layouts = {}, {}
        for scan in plan_scans(cut(plan), catalog, ScanSettings(self.target_bytes)):
            self._scans.setdefault(scan.stage_id, {})[scan.leaf] = scan
        columns = [column.to_pylist() for column in self.run(plan).columns]
        return list(zip(*columns, strict=True))

    def _task_count(self, stage: StagePlan) -> int:
        known = self._layouts.get(stage.stage_id)
        if known is None:
            known = self._layouts[stage.stage_id] = lay_out(
                stage,
                self._scans.get(stage.stage_id, {}),
                [1] * stage.reduce_partitions,
                splits=True,
                settings=CoordinatorSettings(),
            )
        return len(known)

    def _spec(
        self, graph: StageGraph, stage: StagePlan, task: int, done: dict[int, list[AttemptKey]]
    ) -> FragmentSpec:
        share = self._layouts[stage.stage_id][task]
        inputs = scan_inputs(stage, self._scans.get(stage.stage_id, {}), share)
        shuffles = {
            source.leaf: partial(
                self._read,
                done[source.stage_id],
                list(range(source.partitions) if source.whole else share.partitions),
            )
            for source in stage.parents
        }
        return FragmentSpec(stage.fragment, {one.leaf: one.splits for one in inputs}, shuffles)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one_answer")


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


# Each example writes files and runs several queries: half as many as of others.
@settings(max_examples=settings().max_examples // 2)
@given(st.data())
def test_a_query_has_one_answer(
    engine: Engine, root: Path, duck: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    case = data.draw(cases(), "case")
    event(case.query.kind)
    ways = list(itertools.product((1 << 30, 1), case.query.shapes))
    others = st.lists(st.sampled_from(ways[1:]), min_size=2, max_size=3, unique=True)
    some = [ways[0], *data.draw(others, "ways")]  # the first: as little work as can be, one task
    check(engine, root / str(next(_FOLDER)), duck, case, some)


def check(
    engine: Engine,
    folder: Path,
    duck: duckdb.DuckDBPyConnection,
    case: Case,
    ways: Sequence[tuple[int, str]],
) -> None:
    """ways: (bytes of a share, shape of the plan)."""
    folder.mkdir()
    files = {}
    for name, table in zip("tu", (case.left, case.right), strict=True):
        table.load(duck, name)
        files[name] = table.write(folder / name)
    wanted = duck.execute(case.query.sql).fetchall()
    first: tuple[str, list[Row]] | None = None
    for target, shape in ways:
        runner = CoordinatedRunner(engine, folder / "shuffle", files, target_bytes=target)
        name, found = f"{shape}, shares of {target} bytes", runner.rows(case.query.shapes[shape])
        assert answer(found, close) == answer(wanted, close), f"{name}: {case.query.sql}"
        first = first or (name, found)
        assert answer(found, exact) == answer(first[1], exact), f"{name}; {first[0]}"
