"""Write and Commit: files that are seen all at once, or not at all."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import CancelToken, Engine
from ffq.engine.staging import STAGING, Staging, discard_attempt, settle
from ffq.engine.writes import StagedFile, commit
from ffq.errors import PlanningError, QueryCanceled, StorageError, UnsupportedPlan
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan import model
from ffq.plan.bound import Call, Form, Place, Special, SqlType
from ffq.plan.model import Node, ParquetScan
from ffq.plan.terms import Bound, FileFormat, WriteMode, WriteTarget
from ffq.plan.writes import written
from tests.engine.runner import LocalRunner

ROWS = 3_000
SCAN = ParquetScan("t", None, None, ())
FOLDER = WriteTarget("", WriteMode.CREATE, single_file=False, write_id="w1")
FILE = attrs.evolve(FOLDER, single_file=True)


@pytest.fixture
def runner(engine: Engine, tmp_path: Path) -> LocalRunner:
    files = []
    for number in range(3):
        values = list(range(number, ROWS, 3))
        table = pa.table({"k": [value % 4 for value in values], "v": values})
        files.append(tmp_path / f"t{number}.parquet")
        pq.write_table(table, files[-1])
    return LocalRunner(engine, tmp_path / "shuffle", {"t": files})


def at(target: WriteTarget, path: Path, **changes: Any) -> WriteTarget:
    return attrs.evolve(target, path=str(path), **changes)


def write(
    runner: LocalRunner,
    target: WriteTarget,
    *,
    rows: Node = SCAN,
    format_: FileFormat = FileFormat.PARQUET,
    **more: Any,
) -> int:
    """Rows written. The write stays unsettled."""
    (row,) = runner.run(written(rows, target, format_, **more)).to_pylist()
    assert list(row) == ["Count"]
    return int(row["Count"])


def seen(folder: Path) -> set[str]:
    """What a reader finds."""
    return {
        str(Path(root, name).relative_to(folder))
        for root, folders, names in os.walk(folder)
        if not folders.sort() and STAGING not in root
        for name in names
        if not name.startswith(".")
    }


def values(path: Path) -> list[int]:
    return sorted(pq.read_table(path)["v"].to_pylist())


def test_what_the_engine_refuses_of_the_rows_is_an_error_of_its_node(
    runner: LocalRunner, tmp_path: Path
) -> None:
    """Its type was told by rule: nobody has asked the engine before the rows are written."""
    year = Call("year", (Place(1),), SqlType("BIGINT"))
    rows = model.Filter(Bound(Special(Form.IS_NULL, (year,))), SCAN)
    with pytest.raises(PlanningError, match="^Filter: "):
        write(runner, at(FOLDER, tmp_path / "out"), rows=rows)


def test_a_folder_has_a_file_of_each_task(runner: LocalRunner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write(runner, at(FOLDER, out)) == ROWS
    assert seen(out) == {f"part-0000{task}.parquet" for task in range(3)}
    assert values(out) == list(range(ROWS))
    settle(at(FOLDER, out), succeeded=True)
    assert values(out) == list(range(ROWS))
    assert not (tmp_path / STAGING).exists()


def test_one_file_is_written_by_one_task(runner: LocalRunner, tmp_path: Path) -> None:
    out = at(FILE, tmp_path / "out.parquet")
    assert write(runner, out) == ROWS
    assert values(tmp_path / "out.parquet") == list(range(ROWS))
    settle(out, succeeded=True)
    assert values(tmp_path / "out.parquet") == list(range(ROWS))


def test_partitions_become_folders(runner: LocalRunner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write(runner, at(FOLDER, out), partition_by=("k",)) == ROWS
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"k=0", "k=1", "k=2", "k=3"}
    found = pq.read_table(out)
    assert sorted(found["v"].to_pylist()) == list(range(ROWS))
    assert all(row["k"] == row["v"] % 4 for row in found.slice(0, 100).to_pylist())


def test_appended_files_stand_in_a_folder_of_their_own(runner: LocalRunner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in (1, 2):
        target = at(FOLDER, out, mode=WriteMode.APPEND, write_id=f"w{number}")
        assert write(runner, target) == ROWS
        settle(target, succeeded=True)
    assert {path.name for path in out.iterdir()} == {"ffq-w1", "ffq-w2"}
    assert values(out) == sorted([*range(ROWS)] * 2)


@pytest.mark.parametrize("single", [True, False], ids=["file", "folder"])
def test_what_is_there_is_replaced(runner: LocalRunner, tmp_path: Path, single: bool) -> None:
    path = tmp_path / ("out.parquet" if single else "out")
    first = at(FILE if single else FOLDER, path)
    write(runner, first)
    settle(first, succeeded=True)
    again = attrs.evolve(first, mode=WriteMode.REPLACE, write_id="w2")
    write(runner, again, rows=model.Limit(7, SCAN))
    assert len(values(path)) == 7
    settle(again, succeeded=True)
    assert len(values(path)) == 7


@pytest.mark.parametrize("mode", [WriteMode.CREATE, WriteMode.APPEND, WriteMode.REPLACE])
@pytest.mark.parametrize("single", [True, False], ids=["file", "folder"])
def test_what_a_query_that_failed_made_visible_is_taken_back(
    runner: LocalRunner, tmp_path: Path, single: bool, mode: WriteMode
) -> None:
    path = tmp_path / ("out.parquet" if single else "out")
    before: list[int] = []
    if mode is not WriteMode.CREATE:
        first = at(FILE if single else FOLDER, path)
        write(runner, first, rows=model.Limit(5, SCAN))
        settle(first, succeeded=True)
        before = values(path)
    if single and mode is WriteMode.APPEND:
        return
    target = at(FILE if single else FOLDER, path, mode=mode, write_id="w2")
    write(runner, target)
    assert len(values(path)) != len(before)
    settle(target, succeeded=False)
    assert (values(path) if path.exists() else []) == before
    assert not (tmp_path / STAGING).exists()


@pytest.mark.parametrize(
    ("format_", "options", "first"),
    [
        (FileFormat.CSV, (("header", "false"), ("delimiter", "|")), "0|0"),
        (FileFormat.CSV, (), "k,v"),
        (FileFormat.JSON, (), '{"k":0,"v":0}'),
    ],
)
def test_other_formats(
    runner: LocalRunner,
    tmp_path: Path,
    format_: FileFormat,
    options: tuple[tuple[str, str], ...],
    first: str,
) -> None:
    path = tmp_path / "out.txt"
    assert write(runner, at(FILE, path), format_=format_, options=options) == ROWS
    assert first in path.read_text().splitlines()


def test_no_rows_still_tell_the_columns(runner: LocalRunner, tmp_path: Path) -> None:
    assert write(runner, at(FOLDER, tmp_path / "out"), rows=model.Limit(0, SCAN)) == 0
    assert pq.read_table(tmp_path / "out").schema.names == ["k", "v"]


# --- attempts --------------------------------------------------------------------------------


def attempt(task: int, number: int, stage: int = 1) -> AttemptKey:
    return AttemptKey(QueryId("q"), StageId(stage), TaskId(task), Attempt(number))


def staged(target: WriteTarget, task: int, number: int) -> StagedFile:
    """What an attempt of a Write leaves: one row that says which attempt it was."""
    key = attempt(task, number)
    folder = Staging(target).of_attempt(key)
    folder.mkdir(parents=True)
    file = folder / f"part-{task:05}.parquet"
    pq.write_table(pa.table({"v": [10 * task + number]}), file)
    return StagedFile(f"{folder.name}/{file.name}", 1, file.stat().st_size)


def committed(target: WriteTarget, number: int, *files: StagedFile) -> int:
    return commit(target, attempt(0, number, stage=0), files, CancelToken())


def test_of_two_attempts_that_wrote_one_is_seen(tmp_path: Path) -> None:
    out = at(FOLDER, tmp_path / "out")
    staged(out, 0, 1)
    winner, other = staged(out, 0, 2), staged(out, 1, 1)
    assert committed(out, 1, winner, other) == 2
    assert values(tmp_path / "out") == [2, 11]


@pytest.mark.parametrize("mode", [WriteMode.CREATE, WriteMode.APPEND, WriteMode.REPLACE])
def test_a_later_attempt_of_the_commit_finds_it_done(tmp_path: Path, mode: WriteMode) -> None:
    """Also when the files that it is told of are others: those of the first are seen already."""
    out = at(FOLDER, tmp_path / "out", mode=mode)
    first = staged(out, 0, 1)
    assert committed(out, 1, first) == 1
    again = staged(out, 0, 2), staged(out, 1, 1)
    assert committed(out, 2, *again) == 1
    assert values(tmp_path / "out") == [1]


def test_a_later_attempt_finds_the_file_done(tmp_path: Path) -> None:
    out = at(FILE, tmp_path / "out.parquet")
    first = staged(out, 0, 1)
    committed(out, 1, first)
    assert committed(out, 2, staged(out, 0, 2)) == 1
    assert values(tmp_path / "out.parquet") == [1]


def test_a_commit_that_stopped_half_way_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = at(FOLDER, tmp_path / "out")
    files = [staged(out, task, 1) for task in range(3)]
    links = []

    def dies(source: Path, into: Path) -> None:
        links.append(into)
        if len(links) == 2:
            raise KeyboardInterrupt
        link(source, into)

    link = os.link
    monkeypatch.setattr(os, "link", dies)
    with pytest.raises(KeyboardInterrupt):
        committed(out, 1, *files)
    monkeypatch.undo()
    assert not (tmp_path / "out").exists()
    assert committed(out, 2, *files) == 3
    assert values(tmp_path / "out") == [1, 11, 21]


def test_attempts_of_a_commit_at_the_same_time_make_one_set_visible(tmp_path: Path) -> None:
    out = at(FOLDER, tmp_path / "out")
    sets = [[staged(out, task, number) for task in range(5)] for number in range(1, 5)]
    begin = threading.Barrier(len(sets))
    rows: list[int] = []

    def run(number: int, files: list[StagedFile]) -> None:
        begin.wait()
        rows.append(committed(out, number, *files))

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(sets, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows == [5] * len(sets)
    found = values(tmp_path / "out")
    assert found in [[10 * task + number for task in range(5)] for number in range(1, 5)]


_looks: list[Callable[[], None]] = []
"""What is called before each step that Python tells of: hooks cannot be removed."""


def _before_each_step(event: str, _: tuple[object, ...]) -> None:
    if _looks and event.startswith(("os.", "shutil.", "open")):
        look, _looks[:] = _looks[0], []
        look()
        _looks.append(look)


@pytest.fixture(scope="module")
def _steps() -> None:
    sys.addaudithook(_before_each_step)


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize("mode", [WriteMode.CREATE, WriteMode.APPEND])
def test_at_no_step_a_part_of_the_files_is_seen(tmp_path: Path, mode: WriteMode) -> None:
    out = at(FOLDER, tmp_path / "out", mode=mode)
    files = [staged(out, task, 1) for task in range(4)]
    found: list[int] = []

    def look() -> None:
        found.append(len(seen(tmp_path / "out")))

    _looks.append(look)
    try:
        committed(out, 1, *files)
    finally:
        _looks.clear()
    assert len(found) > len(files)
    assert set(found) | {len(seen(tmp_path / "out"))} == {0, len(files)}


@pytest.mark.parametrize("target", [FOLDER, FILE], ids=["folder", "file"])
def test_after_the_end_of_a_query_a_zombie_makes_nothing_visible(
    tmp_path: Path, target: WriteTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paused at the last moment, when nothing but the rename was left to do."""
    out = at(target, tmp_path / "out")
    file = staged(out, 0, 1)

    class Paused(CancelToken):
        def check(self) -> None:
            settle(out, succeeded=False)

    monkeypatch.setattr("ffq.engine.writes.Staging.is_done", lambda _: False)
    with pytest.raises(StorageError, match="cannot write to .*out"):
        commit(out, attempt(0, 1, stage=0), [file], Paused())
    assert list(tmp_path.iterdir()) == []


def test_a_canceled_commit_makes_nothing_visible(tmp_path: Path) -> None:
    out, token = at(FOLDER, tmp_path / "out"), CancelToken()
    file = staged(out, 0, 1)
    token.cancel()
    with pytest.raises(QueryCanceled):
        commit(out, attempt(0, 1, stage=0), [file], token)
    assert not (tmp_path / "out").exists()


def test_an_attempt_that_is_not_wanted_leaves_nothing(tmp_path: Path) -> None:
    out = at(FOLDER, tmp_path / "out")
    staged(out, 0, 1)
    discard_attempt(out, attempt(0, 1))
    assert list(tmp_path.iterdir()) == []


def test_what_killed_workers_left_goes_with_a_later_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(at(FOLDER, tmp_path / "lost", write_id="old"), 0, 1)
    monkeypatch.setattr("ffq.engine.staging.ABANDONED_S", -1)
    now = at(FOLDER, tmp_path / "out")
    committed(now, 1, staged(now, 0, 1))
    assert not (tmp_path / STAGING / "old").exists()


def test_a_write_that_is_under_way_is_left_alone(tmp_path: Path) -> None:
    other = at(FOLDER, tmp_path / "slow", write_id="other")
    file = staged(other, 0, 1)
    now = at(FOLDER, tmp_path / "out")
    committed(now, 1, staged(now, 0, 1))
    assert committed(other, 1, file) == 1


# --- what cannot be --------------------------------------------------------------------------


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "taken"
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    yield path
    assert (path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("target", [FOLDER, FILE], ids=["folder", "file"])
def test_what_is_there_stays(runner: LocalRunner, taken: Path, target: WriteTarget) -> None:
    with pytest.raises(PlanningError, match=f"cannot write to {taken}: it (exists|is a folder)"):
        write(runner, at(target, taken))


def test_what_comes_to_be_there_before_the_commit_stays(tmp_path: Path) -> None:
    for target in (at(FOLDER, tmp_path / "one"), at(FILE, tmp_path / "two", write_id="w2")):
        file = staged(target, 0, 1)
        if target.single_file:
            Path(target.path).write_text("mine")
        else:
            (Path(target.path) / "mine").mkdir(parents=True)
        with pytest.raises(PlanningError, match="it exists already; right would be another path"):
            committed(target, 1, file)


def test_a_folder_that_is_a_file(runner: LocalRunner, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(PlanningError, match="cannot write files into .*f: it is a file"):
        write(runner, at(FOLDER, tmp_path / "f", mode=WriteMode.APPEND))


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("relative/out", PlanningError, "right would be an absolute path"),
        ("/no/such/folder/out", StorageError, "there is no folder /no/such/folder"),
    ],
)
def test_paths_that_cannot_be(
    runner: LocalRunner, path: str, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        write(runner, attrs.evolve(FOLDER, path=path))


def test_a_write_without_an_id_is_refused(runner: LocalRunner, tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match="no id that tells it"):
        write(runner, at(FOLDER, tmp_path / "out", write_id=""))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"partition_by": ("x",)}, "PARTITION_BY: there is no column 'x'; there are k, v"),
        ({"partition_by": (".x",)}, "PARTITION_BY: folders of column '.x' would be hidden"),
        ({"partition_by": ("k", "V")}, "PARTITION_BY: all columns are named"),
        ({"options": (("nope", "1"),)}, "Parquet files are not written with option 'nope'; known:"),
        ({"options": (("compression", "nope"),)}, "compression"),
    ],
)
def test_options_that_cannot_be(
    runner: LocalRunner, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    with pytest.raises((PlanningError, UnsupportedPlan), match=says):
        write(runner, at(FOLDER, tmp_path / "out"), **more)


def test_a_disk_that_is_full_is_named_and_nothing_stays(
    runner: LocalRunner, tmp_path: Path
) -> None:
    """A limit on the size of files fails writes as a full disk does."""
    big = tmp_path / "big.parquet"
    pq.write_table(pa.table({"v": [os.urandom(64).hex() for _ in range(20_000)]}), big)
    runner.tables["big"] = [big]
    out = at(FOLDER, tmp_path / "out")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, before[1]))
    try:
        with pytest.raises(StorageError, match=f"cannot write to {out.path}: .*"):
            write(runner, out, rows=ParquetScan("big", None, None, ()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not Path(out.path).exists()


def test_a_folder_that_may_not_be_written_in_is_named(runner: LocalRunner) -> None:
    with pytest.raises(StorageError, match="cannot write to /proc/out: "):
        write(runner, attrs.evolve(FOLDER, path="/proc/out"))
