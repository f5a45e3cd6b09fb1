"""Plans that write: how they are made, and what a coordinator makes of them."""

from __future__ import annotations

import attrs
import pytest

from ffq import plan as p
from ffq.errors import InvalidRequest, PlanningError
from ffq.plan import dump_plan, model, parse_plan
from ffq.plan.model import HashPartitioning, Node, ShuffleRead, ShuffleWrite
from ffq.plan.properties import has_own_words
from ffq.plan.stages import Parallelism, cut
from ffq.plan.terms import FileFormat, WriteMode, WriteTarget
from ffq.plan.writes import accepted_write, written

SCAN = model.ParquetScan("t", None, ("k", "v"), ())
FOLDER = WriteTarget("/out", WriteMode.CREATE, single_file=False)
FILE = attrs.evolve(FOLDER, single_file=True)


def write(target: WriteTarget, rows: Node = SCAN) -> Node:
    return written(rows, target, FileFormat.PARQUET, ("k",), (("compression", "zstd"),))


def no_folder(table: str) -> tuple[str, tuple[str, ...]]:
    raise PlanningError(f"{table} is no folder")


def stages(plan: Node) -> list[Parallelism]:
    return [stage.parallelism for stage in cut(plan).stages]


def test_tasks_write_where_the_rows_lie_and_one_commits() -> None:
    assert stages(write(FOLDER)) == [Parallelism.SINGLE, Parallelism.SCAN]
    keys = HashPartitioning(("k",), 4)
    hashed = ShuffleRead(ShuffleWrite(SCAN, keys), keys)
    assert stages(write(FOLDER, hashed)) == [
        Parallelism.SINGLE,
        Parallelism.HASH,
        Parallelism.SCAN,
    ]


def test_one_file_is_written_by_one_task() -> None:
    single, scan = Parallelism.SINGLE, Parallelism.SCAN
    assert stages(write(FILE)) == [single, single, scan]
    assert stages(write(FILE, model.Limit(1, SCAN))) == [single, single]


def test_what_is_no_query_keeps_the_plan_from_peers_that_do_not_know_it() -> None:
    assert has_own_words(cut(write(FOLDER)))


@pytest.mark.parametrize("target", [FOLDER, FILE], ids=["folder", "file"])
def test_the_json_of_a_write_reads_as_it_was(target: WriteTarget) -> None:
    plan = write(attrs.evolve(target, write_id="w"))
    assert parse_plan(dump_plan(plan)) == plan


def test_each_accepted_write_has_the_id_that_it_is_given() -> None:
    accepted = accepted_write(write(attrs.evolve(FOLDER, write_id="the client's")), no_folder, "w")
    assert accepted == write(attrs.evolve(FOLDER, write_id="w"))


def test_a_plan_that_writes_nothing_is_as_it_was() -> None:
    assert accepted_write(SCAN, no_folder, "w") is SCAN


def test_a_parquet_write_appends_to_the_folder_of_its_table() -> None:
    accepted = accepted_write(model.ParquetWrite("t", SCAN), lambda _: ("/t", ("k",)), "w")
    target = WriteTarget("/t", WriteMode.APPEND, single_file=False, write_id="w")
    assert accepted == written(SCAN, target, FileFormat.PARQUET, ("k",))


@pytest.mark.parametrize(
    "plan",
    [
        model.Limit(1, write(FOLDER)),
        model.Commit(FOLDER, SCAN),
        model.Write(FOLDER, FileFormat.PARQUET, (), (), SCAN),
        write(FOLDER, write(FILE)),
        model.Commit(FILE, getattr(write(FOLDER), "input")),  # noqa: B009
    ],
)
def test_a_write_elsewhere_than_at_the_root_is_refused(plan: Node) -> None:
    with pytest.raises(PlanningError, match=r"ffq\.(Commit|Write): .*Single exchange"):
        accepted_write(plan, no_folder, "w")


def test_the_builder_writes_parquet() -> None:
    rows = p.scan("t", ["k", "v"])
    assert rows.write_parquet("/out").node == written(rows.node, FOLDER, FileFormat.PARQUET)
    one = rows.write_parquet("/out.parquet", mode="replace", options={"compression": "zstd"})
    assert isinstance(one.node, model.Commit)
    assert one.node.target == WriteTarget("/out.parquet", WriteMode.REPLACE, single_file=True)
    assert one.columns == ("Count",)


def test_what_the_builder_refuses() -> None:
    rows = p.scan("t", ["k", "v"])
    with pytest.raises(InvalidRequest, match="'out': right would be an absolute path"):
        rows.write_parquet("out")
    with pytest.raises(InvalidRequest, match="is one file; append adds to a folder"):
        rows.write_parquet("/o.parquet", mode="append")
    with pytest.raises(InvalidRequest, match="mode: unknown 'x'; known: create, append, replace"):
        rows.write_parquet("/o", mode="x")  # type: ignore[arg-type]
    with pytest.raises(PlanningError, match="partition_by.*'z'"):
        rows.write_parquet("/o", partition_by=["z"])
