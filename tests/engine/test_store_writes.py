"""Write and Commit into a store: one set of files is seen, whatever attempts and ends there are.

The store is the one in memory, which makes an object only where there is none as S3 does; what a
server and other processes add is in tests/integration/test_store_writes.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine import CancelToken, Engine, publishing, stores
from ffq.engine import objects as objects_module
from ffq.engine.publishing import Publishing
from ffq.engine.staging import STAGING
from ffq.engine.writes import StagedFile, commit, discard_attempt, settle
from ffq.errors import PlanningError, QueryCanceled, StorageError, UnsupportedPlan
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan import model
from ffq.plan.model import Node, ParquetScan
from ffq.plan.terms import FileFormat, WriteMode, WriteTarget
from ffq.plan.writes import written
from tests.engine.runner import LocalRunner

fsspec = pytest.importorskip("fsspec", reason="the extra `s3` installs fsspec")

ROWS = 300
SCAN = ParquetScan("t", None, None, ())
FOLDER = WriteTarget("memory://lake/out", WriteMode.CREATE, single_file=False, write_id="w1")
FILE = WriteTarget("memory://lake/out.parquet", WriteMode.CREATE, single_file=True, write_id="w1")
APPEND = attrs.evolve(FOLDER, mode=WriteMode.APPEND)
REPLACE = attrs.evolve(FOLDER, mode=WriteMode.REPLACE)
REPLACE_FILE = attrs.evolve(FILE, mode=WriteMode.REPLACE)
ALL = pytest.mark.parametrize(
    "target",
    [FOLDER, APPEND, REPLACE, FILE, REPLACE_FILE],
    ids=["create", "append", "replace", "file", "replaced file"],
)


@pytest.fixture(autouse=True)
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(stores, "WRITTEN", stores.WRITTEN | {"memory"})
    fs = stores.store("memory")
    yield fs
    fs.store.clear()


@pytest.fixture
def runner(engine: Engine, tmp_path: Path) -> LocalRunner:
    files = []
    for number in range(3):
        values = list(range(number, ROWS, 3))
        files.append(tmp_path / f"t{number}.parquet")
        pq.write_table(pa.table({"k": [value % 4 for value in values], "v": values}), files[-1])
    return LocalRunner(engine, tmp_path / "shuffle", {"t": files})


def write(runner: LocalRunner, target: WriteTarget, rows: Node = SCAN, **more: Any) -> int:
    """Rows written. The write stays unsettled."""
    format_ = more.pop("format_", FileFormat.PARQUET)
    (row,) = runner.run(written(rows, target, format_, **more)).to_pylist()
    return int(row["Count"])


def objects(fs: Any) -> set[str]:
    return {path.removeprefix("/lake/") for path in fs.find("memory://lake")}


def seen(fs: Any) -> set[str]:
    """What a reader finds that passes over hidden names, and what one does that does not."""
    shown = {path for path in objects(fs) if STAGING not in path}
    assert {path for path in objects(fs) if path.endswith((".parquet", ".csv"))} == {
        path for path in shown if path.endswith((".parquet", ".csv"))
    }
    return shown


def values(fs: Any) -> list[int]:
    found = []
    for path in seen(fs):
        with fs.open(f"memory://lake/{path}") as file:
            found += pq.read_table(file)["v"].to_pylist()
    return sorted(found)


def put(fs: Any, name: str, *values: int) -> None:
    with fs.open(f"memory://lake/{name}", "wb") as file:
        pq.write_table(pa.table({"v": list(values)}), file)


def existing(fs: Any, target: WriteTarget) -> list[int]:
    """Something to replace or to append to, where the target is such; its rows."""
    if target.mode is WriteMode.CREATE:
        return []
    put(fs, "out.parquet" if target.single_file else "out/mine[1].parquet", 7)
    return [7]


@ALL
def test_rows_are_there_and_nothing_else_is(
    runner: LocalRunner, lake: Any, target: WriteTarget
) -> None:
    before = existing(lake, target)
    assert write(runner, target) == ROWS
    stays = before if target.mode is WriteMode.APPEND else []
    assert values(lake) == sorted([*stays, *range(ROWS)])
    settle(target, succeeded=True)
    assert values(lake) == sorted([*stays, *range(ROWS)])
    assert objects(lake) == seen(lake)


def test_partitions_become_folders(runner: LocalRunner, lake: Any) -> None:
    assert write(runner, FOLDER, partition_by=("k",)) == ROWS
    assert {path.split("/")[1] for path in seen(lake)} == {"k=0", "k=1", "k=2", "k=3"}
    assert all(path.endswith("-w1.parquet") for path in seen(lake))
    assert values(lake) == list(range(ROWS))


@pytest.mark.parametrize(
    ("format_", "options", "first"),
    [
        (FileFormat.CSV, (("header", "false"),), b"0,0"),
        (FileFormat.JSON, (), b'{"k":0,"v":0}'),
    ],
)
def test_other_formats(
    runner: LocalRunner,
    lake: Any,
    format_: FileFormat,
    options: tuple[tuple[str, str], ...],
    first: bytes,
) -> None:
    target = attrs.evolve(FILE, path="memory://lake/out.txt")
    assert write(runner, target, format_=format_, options=options) == ROWS
    assert first in lake.cat_file("memory://lake/out.txt").splitlines()


def test_no_rows_still_tell_the_columns(runner: LocalRunner, lake: Any) -> None:
    assert write(runner, FOLDER, rows=model.Limit(0, SCAN)) == 0
    (path,) = seen(lake)
    with lake.open(f"memory://lake/{path}") as file:
        assert pq.read_schema(file).names == ["k", "v"]


@ALL
@pytest.mark.parametrize("end", [False, None], ids=["failed", "not known"])
def test_what_a_query_that_failed_made_visible_is_taken_back(
    lake: Any, target: WriteTarget, end: bool | None
) -> None:
    """Of a query of which nobody knows how it ended, what is done stays."""
    before = existing(lake, target)
    committed(target, 1, *(staged(lake, target, task, 1) for task in range(3)))
    after = values(lake)
    settle(target, succeeded=end)
    assert values(lake) == (before if end is False else after)


# --- attempts --------------------------------------------------------------------------------


def attempt(task: int, number: int, stage: int = 1) -> AttemptKey:
    return AttemptKey(QueryId("q"), StageId(stage), TaskId(task), Attempt(number))


def staged(fs: Any, target: WriteTarget, task: int, number: int) -> StagedFile:
    """What an attempt of a Write leaves: one row that says which attempt it was."""
    folder = Publishing(target).of_attempt(attempt(task, number))
    name = f"part-{task:05}.parquet.staged"
    with fs.open(f"{folder}/{name}", "wb") as file:
        pq.write_table(pa.table({"v": [10 * task + number]}), file)
    return StagedFile(f"{folder.rpartition('/')[2]}/{name}", 1, 1)


def committed(
    target: WriteTarget, number: int, *files: StagedFile, token: CancelToken | None = None
) -> int:
    return commit(
        target,
        attempt(0, number, stage=0),
        files[:1] if target.single_file else files,
        token or CancelToken(),
    )


@ALL
def test_a_later_attempt_of_the_commit_finds_it_done(lake: Any, target: WriteTarget) -> None:
    """Also when the files that it is told of are others: those of the first are seen already."""
    before = existing(lake, target) if target.mode is WriteMode.APPEND else []
    assert committed(target, 1, staged(lake, target, 0, 1)) == 1
    committed(target, 2, staged(lake, target, 0, 2), staged(lake, target, 1, 1))
    assert values(lake) == sorted([*before, 1])


class Dies(BaseException):
    """A process that is killed: nothing of it runs any more."""


def at_each_step(monkeypatch: pytest.MonkeyPatch, do: Callable[[int], None]) -> Callable[[], None]:
    """`do` is called before each thing that is asked of the store, with its number."""
    asked, count = stores.asked, iter(range(10**6))

    def told(scheme: str, ask: Callable[[Any], Any]) -> Any:
        do(next(count))
        return asked(scheme, ask)

    monkeypatch.setattr(stores, "asked", told)
    return lambda: monkeypatch.setattr(stores, "asked", asked)


@ALL
@pytest.mark.parametrize("end", ["again", "failed"])
def test_a_commit_that_is_killed_at_any_step(
    lake: Any, target: WriteTarget, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt finishes it with the files of the first; or the query leaves nothing."""
    monkeypatch.setattr("ffq.engine.objects._AT_ONCE", 1)
    for step in range(100):
        lake.store.clear()
        before = existing(lake, target)
        first = [staged(lake, target, task, 1) for task in range(3)]
        other = [staged(lake, target, task, 2) for task in range(3)]

        def die(number: int, step: int = step) -> None:
            if number >= step:
                raise Dies

        restore = at_each_step(monkeypatch, die)
        done = False
        try:
            committed(target, 1, *first)
            done = True
        except Dies:
            pass
        restore()
        if end == "again":
            committed(target, 2, *other)
            settle(target, succeeded=True)
            stays = before if target.mode is WriteMode.APPEND else []
            sets = [[1, 11, 21], [2, 12, 22]]
            sets = [sorted([*stays, *(one[:1] if target.single_file else one)]) for one in sets]
            assert values(lake) in sets
            assert objects(lake) == seen(lake)
        else:
            settle(target, succeeded=False)
            assert values(lake) == before
        if done:
            assert step > 10
            return
    pytest.fail("the commit did not end")


def test_attempts_of_a_commit_at_the_same_time_make_one_set_visible(lake: Any) -> None:
    sets = [[staged(lake, FOLDER, task, number) for task in range(5)] for number in range(1, 5)]
    begin = threading.Barrier(len(sets))
    rows: list[int] = []

    def run(number: int, files: list[StagedFile]) -> None:
        begin.wait()
        rows.append(committed(FOLDER, number, *files))

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(sets, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows == [5] * len(sets)
    assert values(lake) in [[10 * task + number for task in range(5)] for number in range(1, 5)]


def paused(
    target: WriteTarget,
    files: list[StagedFile],
    step: int,
    meanwhile: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
) -> bool:
    """A commit that is paused before a step of it; whether it came so far."""
    came = False

    def act(number: int) -> None:
        nonlocal came
        if number == step:
            came = True
            restore()
            meanwhile()

    restore = at_each_step(monkeypatch, act)
    with suppress(StorageError, PlanningError):
        committed(target, 1, *files)
    restore()
    return came


@ALL
@pytest.mark.parametrize("end", [False, True], ids=["failed", "succeeded"])
def test_a_commit_that_is_paused_while_the_query_ends_changes_nothing(
    lake: Any, target: WriteTarget, end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any step of it; where the query succeeded, by another attempt."""
    for step in range(100):
        lake.store.clear()
        before = existing(lake, target)
        files = [staged(lake, target, task, 1) for task in range(2)]
        other = [staged(lake, target, task, 2) for task in range(2)]
        found: list[int] = []

        def meanwhile(other: list[StagedFile] = other, found: list[int] = found) -> None:
            if end:
                committed(target, 2, *other)
            settle(target, succeeded=end)
            found += values(lake)

        if not paused(target, files, step, meanwhile, monkeypatch):
            assert step > 5
            return
        assert values(lake) == found
        hidden = objects(lake) - seen(lake)
        assert not end or not hidden
        assert all(path.endswith("/settled") or "/old-" in path for path in hidden)
        assert end or found == before
        assert not end or len(found) >= (1 if target.single_file else 2)
    pytest.fail("the commit did not end")


@ALL
def test_what_a_store_was_copying_when_the_query_ended_is_taken_back(
    lake: Any, target: WriteTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a large object takes minutes, and nothing stops it."""
    before = existing(lake, target)
    files = [staged(lake, target, task, 1) for task in range(3)]
    copies = objects_module._copy

    def slow(fs: Any, pairs: list[tuple[str, str]]) -> None:
        if STAGING in pairs[0][1]:  # of what is replaced
            copies(fs, pairs)
            return
        held = [(into, fs.cat_file(source)) for source, into in pairs]
        monkeypatch.setattr(objects_module, "_copy", copies)
        settle(target, succeeded=False)
        assert values(fs) == before
        for into, data in held:
            fs.pipe_file(into, data)

    monkeypatch.setattr(objects_module, "_copy", slow)
    with pytest.raises(StorageError, match="what was staged is gone, as the query is over"):
        committed(target, 1, *files)
    assert values(lake) == before
    assert objects(lake) == seen(lake)


def test_a_canceled_commit_ends_before_anything_is_visible(lake: Any) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(QueryCanceled):
        committed(FOLDER, 1, staged(lake, FOLDER, 0, 1), token=token)
    assert seen(lake) == set()
    settle(FOLDER, succeeded=False)
    assert seen(lake) == set()


def test_of_what_is_replaced_nothing_is_seen_beside_what_is_new(
    lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffq.engine.objects._AT_ONCE", 1)
    for number in range(3):
        put(lake, f"out/old-{number}.parquet", -1)
    files = [staged(lake, REPLACE, task, 1) for task in range(3)]
    found: list[list[int]] = []
    restore = at_each_step(monkeypatch, lambda _: found.append(values(lake)))
    committed(REPLACE, 1, *files)
    restore()
    assert [-1, -1, -1] in found
    assert [] in found
    assert not [each for each in found if min(each, default=0) < 0 < max(each, default=0)]
    assert values(lake) == [1, 11, 21]


def test_an_attempt_that_is_not_wanted_leaves_nothing(lake: Any) -> None:
    staged(lake, FOLDER, 0, 1)
    discard_attempt(FOLDER, attempt(0, 1))
    assert objects(lake) == set()


# --- several writes --------------------------------------------------------------------------


@pytest.mark.parametrize("target", [FOLDER, FILE], ids=["folder", "file"])
def test_of_two_queries_that_make_the_same_one_does(lake: Any, target: WriteTarget) -> None:
    other = attrs.evolve(target, write_id="w2")
    first, second = staged(lake, target, 0, 1), staged(lake, other, 0, 2)
    committed(target, 1, first)
    with pytest.raises(PlanningError, match=r"lake/out.* exists already; right would be"):
        committed(other, 1, second)
    settle(other, succeeded=False)
    settle(target, succeeded=True)
    assert values(lake) == [1]


@pytest.mark.parametrize("target", [REPLACE, REPLACE_FILE], ids=["folder", "file"])
def test_writes_that_replace_the_same_take_turns(
    lake: Any, target: WriteTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing(lake, target)
    other = attrs.evolve(target, write_id="w2")
    mine, its = staged(lake, target, 0, 1), staged(lake, other, 0, 2)

    def meanwhile() -> None:
        with pytest.raises(PlanningError, match=r"another write does so now, 'w1'.*claim"):
            committed(other, 1, its)

    assert paused(target, [mine], 8, meanwhile, monkeypatch)
    assert values(lake) == [1]
    committed(other, 2, its)
    assert values(lake) == [2]


def test_what_another_write_has_replaced_since_is_left_alone(lake: Any) -> None:
    put(lake, "out/a.parquet", 7)
    other = attrs.evolve(REPLACE, write_id="w2")
    committed(REPLACE, 1, staged(lake, REPLACE, 0, 1))
    committed(other, 1, staged(lake, other, 0, 2))
    settle(REPLACE, succeeded=False)
    assert values(lake) == [2]


def test_what_killed_workers_left_goes_with_a_later_write(
    lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = attrs.evolve(FOLDER, write_id="lost")
    staged(lake, lost, 0, 1)
    assert Publishing(lost)._has_claim()
    file = staged(lake, FOLDER, 0, 1)
    with pytest.raises(PlanningError, match="another write does so now, 'lost'"):
        committed(FOLDER, 1, file)
    monkeypatch.setattr(publishing, "ABANDONED_S", -1)
    with pytest.raises(StorageError, match="what was staged is gone"):
        committed(FOLDER, 1, file)  # its own files are as old
    monkeypatch.undo()
    assert not [path for path in objects(lake) if "lost" in path or "claim" in path]


# --- what cannot be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (FOLDER, "cannot write to memory://lake/out: it exists already"),
        (FILE, "cannot write to memory://lake/out.parquet: it exists already"),
        (attrs.evolve(FILE, path="memory://lake/out"), "memory://lake/out: it is a folder"),
        (attrs.evolve(APPEND, path="memory://lake/out.parquet"), "files into .*: it is a file"),
    ],
)
def test_what_is_there_stays(
    runner: LocalRunner, lake: Any, target: WriteTarget, says: str
) -> None:
    put(lake, "out/mine.parquet", 7)
    put(lake, "out.parquet", 8)
    with pytest.raises(PlanningError, match=says):
        write(runner, target)
    assert values(lake) == [7, 8]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("ftp://lake/out", "right would be a path that all workers share, or one of gcs://, gs://"),
        ("s3://lake/o*", "right would be a name without"),
    ],
)
def test_places_that_cannot_be(runner: LocalRunner, uri: str, says: str) -> None:
    with pytest.raises(UnsupportedPlan, match=says):
        write(runner, attrs.evolve(FOLDER, path=uri))


def test_memory_is_not_written_to_by_workers(
    runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with pytest.raises(UnsupportedPlan, match="another process would not find it there"):
        write(runner, FOLDER)


def test_a_store_that_fails_is_named(
    runner: LocalRunner, lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While rows are written, the error comes through the engine, which says more of it."""

    def full(*_: object, **__: object) -> None:
        raise OSError("SlowDown: please reduce your request rate")

    monkeypatch.setattr(type(lake), "_open", full)
    with pytest.raises(StorageError) as told:
        write(runner, FOLDER)
    assert told.value.message == (
        "cannot write to memory://lake/out: SlowDown: please reduce your request rate"
    )
