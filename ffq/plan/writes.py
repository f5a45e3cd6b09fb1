"""Plans that write: how they are made, and how a coordinator takes one. Pure.

A write is two stages. Each task of the first writes its rows into files that nobody sees yet
(Write) and gives out their names; one task gathers these and makes them visible, all at once
(Commit). Which attempts' files count is so decided as for any other rows: those of the committed
ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import attrs

from ffq.errors import PlanningError
from ffq.plan import model
from ffq.plan.distribution import distribution_of
from ffq.plan.model import Node, ShuffleRead, ShuffleWrite, SinglePartitioning
from ffq.plan.terms import FileFormat, WriteMode, WriteTarget
from ffq.plan.walk import node_name, walk_plan, walk_stage

Folder: TypeAlias = Callable[[str], tuple[str, tuple[str, ...]]]
"""A table's folder and the columns that its folders add, by its name; raises PlanningError."""

SUFFIXES: Final = {
    ".parquet": FileFormat.PARQUET,
    ".csv": FileFormat.CSV,
    ".json": FileFormat.JSON,
    ".ndjson": FileFormat.JSON,
    ".jsonl": FileFormat.JSON,
}
"""Names that end so are meant as one file, of that format."""


def written(
    plan: Node,
    target: WriteTarget,
    format_: FileFormat,
    partition_by: tuple[str, ...] = (),
    options: tuple[tuple[str, str], ...] = (),
) -> Node:
    """A plan that writes the rows of `plan`, and gives out their number as column Count.

    One file is written by one task: rows that lie in several are gathered first.
    """
    rows = plan
    if target.single_file and distribution_of(plan).is_split:
        rows = _gathered(plan)
    writes = model.Write(target, format_, partition_by, options, rows)
    return model.Commit(target, _gathered(writes))


def accepted_write(plan: Node, folder_of: Folder, write_id: str) -> Node:
    """The plan as it is run: a ParquetWrite at its root as our two stages, each write with its id.

    The plan itself where it writes nothing.

    Raises:
        PlanningError: a write that stands where no attempt of it could be told from another; or as
            `folder_of` does.
    """
    if isinstance(plan, model.ParquetWrite):
        path, partition_by = folder_of(plan.table)
        target = WriteTarget(path, WriteMode.APPEND, single_file=False, write_id=write_id)
        plan = written(plan.input, target, FileFormat.PARQUET, partition_by)
    elif isinstance(plan, model.Commit):
        plan = _with_id(plan, write_id)
    rows = _rows_of(plan)
    for node in walk_plan(rows):
        if isinstance(node, model.Commit | model.Write):
            raise PlanningError(
                f"ffq.{node_name(node)}: a plan has one write, at its root: ffq.Commit over a "
                f"Single exchange over ffq.Write"
            )
    return plan


def targets_of(fragment: Node) -> tuple[WriteTarget, ...]:
    """What a stage writes to."""
    nodes = walk_stage(fragment)
    return tuple(node.target for node in nodes if isinstance(node, model.Write | model.Commit))


def _gathered(node: Node) -> Node:
    return ShuffleRead(ShuffleWrite(node, SinglePartitioning()), SinglePartitioning())


def _with_id(commit: model.Commit, write_id: str) -> model.Commit:
    match commit.input:
        case ShuffleRead(
            input=ShuffleWrite(input=model.Write() as write, partitioning=SinglePartitioning())
        ) if write.target == commit.target:
            target = attrs.evolve(commit.target, write_id=write_id)
            return model.Commit(target, _gathered(attrs.evolve(write, target=target)))
        case _:
            raise PlanningError(
                "ffq.Commit: right would be a Single exchange below it, and below that the "
                "ffq.Write of the same target"
            )


def _rows_of(plan: Node) -> Node:
    """What a plan computes before it writes."""
    match plan:
        case model.Commit(input=ShuffleRead(input=ShuffleWrite(input=model.Write() as write))):
            return write.input
        case _:
            return plan
