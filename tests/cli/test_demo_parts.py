"""The demo's parts without a cluster: plans, operators, data, the retry it looks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pyarrow as pa
import pytest

from ffq.cli.demo import queries
from ffq.cli.demo.data import cache_folder, check_scale, dataset_name, ensure_dataset
from ffq.cli.demo.kill import retried
from ffq.cli.demo.operators.hold import hold
from ffq.cli.demo.operators.late import days_late
from ffq.errors import InvalidRequest, StartupError
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import AttemptStatus, TaskState
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.stages import Parallelism, cut


def test_q3_is_held_in_the_stage_that_scans_lineitem_and_nowhere_else(tmp_path: Path) -> None:
    query = queries.q3_held(tmp_path / "go")
    stages = cut(parse_plan(dump_plan(query.plan))).stages
    held = stages[queries.stage_with(query.plan, queries.HOLD_OPERATOR)]
    assert [scan.table for scan in held.scans] == ["lineitem"]
    assert held.parallelism is Parallelism.SCAN
    assert [stage for stage in stages if stage.operators] == [held]


def test_the_operator_query_needs_its_operator() -> None:
    stages = cut(queries.operator_query("w1").plan).stages
    assert {name for stage in stages for name in stage.operators} == {queries.LATE_OPERATOR}


def test_hold_gives_the_rows_on_once_its_file_is_there(tmp_path: Path) -> None:
    batch = pa.record_batch({"x": [1, 2]})
    gate = tmp_path / "go"
    config = {"until": str(gate), "at_most_s": "0"}
    with pytest.raises(TimeoutError, match="did not appear"):
        list(hold(iter([batch]), config))
    gate.touch()
    assert list(hold(iter([batch]), config)) == [batch]


def test_days_late_keeps_what_is_late_enough() -> None:
    day = pa.date32()
    batch = pa.record_batch(
        {
            "l_shipmode": pa.array(["AIR", "RAIL", "SHIP"], pa.string()),
            "l_commitdate": pa.array([100, 100, 100], pa.int32()).cast(day),
            "l_receiptdate": pa.array([159, 160, 90], pa.int32()).cast(day),
        }
    )
    (late,) = days_late(iter([batch]), {"at_least": "60"})
    assert late.to_pylist() == [{"l_shipmode": "RAIL", "days_late": 60}]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), 1e9])
def test_a_scale_that_makes_no_sense_is_refused(scale: float) -> None:
    with pytest.raises(InvalidRequest, match="--scale"):
        check_scale(scale)


def test_the_cache_is_where_the_user_says() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/ffq/tpch")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/ffq/tpch"
    assert cache_folder({}) == Path.home() / ".cache/ffq/tpch"


def test_everything_that_decides_the_data_is_in_its_name() -> None:
    names = {dataset_name(0.1, "1"), dataset_name(0.01, "1"), dataset_name(0.1, "2")}
    assert len(names) == 3


async def test_without_the_generator_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupError, match=r'pip install "ffq-runtime\[demo\]"'):
        await ensure_dataset(0.01, tmp_path / "cache")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flipped, emptied, half, Path.unlink])
@pytest.mark.parametrize("name", ["lineitem/lineitem.2.parquet", "digests.json"])
async def test_damaged_data_is_made_anew(
    name: str, damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with data_maker(tmp_path) as made:
        folder = await ensure_dataset(0.01, tmp_path / "cache")
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert await ensure_dataset(0.01, tmp_path / "cache") == folder
        assert made() == 1
        assert capsys.readouterr().err == ""
        damage(folder / name)
        assert await ensure_dataset(0.01, tmp_path / "cache") == folder
        assert made() == 2
    assert {path: path.read_bytes() for path in before} == before
    assert name in capsys.readouterr().err
    assert os.listdir(tmp_path / "cache") == [folder.name]


@contextmanager
def data_maker(folder: Path) -> Iterator[Callable[[], int]]:
    """A quick `tpchgen-cli` beside this Python; yields how often it was run."""
    log = folder / "runs"
    log.touch()
    program = folder / "tpchgen-cli"
    program.write_text(
        "#!/bin/sh\n"
        f"echo run >> {log}\n"
        'for each in "$@"; do case $each in --output-dir=*) out=${each#*=};; esac; done\n'
        "for table in customer orders lineitem; do mkdir -p $out/$table\n"
        "for part in 1 2; do echo $table $part > $out/$table/$table.$part.parquet; done; done\n"
    )
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.executable", str(folder / "python"))
        yield lambda: len(log.read_text().splitlines())


DEAD, LIVE = WorkerId("dead"), WorkerId("live")


def attempt(task: int, number: int, worker: WorkerId, state: TaskState) -> AttemptStatus:
    key = AttemptKey(QueryId("q"), StageId(1), TaskId(task), Attempt(number))
    committed = state is TaskState.SUCCEEDED
    return AttemptStatus(key, state, worker, 0, 1, "", committed)


def test_a_retry_is_a_later_attempt_of_the_same_task_on_another_worker() -> None:
    lost = attempt(0, 1, DEAD, TaskState.FAILED)
    again = attempt(0, 2, LIVE, TaskState.SUCCEEDED)
    assert retried([lost, again], DEAD) == again
    assert retried([lost], DEAD) is None
    assert retried([lost, attempt(1, 1, LIVE, TaskState.SUCCEEDED)], DEAD) is None
    assert retried([lost, attempt(0, 2, DEAD, TaskState.SUCCEEDED)], DEAD) is None
    assert retried([lost, attempt(0, 2, LIVE, TaskState.RUNNING)], DEAD) is None
    assert retried([attrs.evolve(lost, worker_id=LIVE), again], DEAD) is None
