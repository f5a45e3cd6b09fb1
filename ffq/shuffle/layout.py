"""Where map output lies on disk.

    {root}/{query_id}/{stage_id}/{map_task}/{attempt}/part-{reduce_partition}.ipc
                                                      schema.ipc

Each part file is one Arrow IPC stream; empty partitions have none. `schema.ipc` is a stream of no
rows: what an empty partition yields (R23). An attempt's folder appears whole, by a rename.

Of a worker's own outputs small ones stay in its memory (`ffq.shuffle.held`) and are in no file. Of
one that its writer could hold the streams lie in one file, in the order of their partitions:

    {root}/{query_id}/{stage_id}-{map_task}-{attempt}.ipc

The root is a folder of the worker's own. Under a coordinator that serves from a folder which all
share it is `{FFQ_SHUFFLE_ROOT}/shuffle`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ffq.ids import AttemptKey, QueryId, parse_query_id

SCHEMA_FILE: Final = "schema.ipc"
SHARED_FOLDER: Final = "shuffle"
"""In the folder that all share, the root of map outputs."""
TEMPORARY_PREFIX: Final = ".tmp-"


def query_folder(root: Path, query_id: QueryId) -> Path:
    """Raises InvalidRequest for an id that must not become a file name."""
    return root / parse_query_id(query_id)


def task_folder(root: Path, key: AttemptKey) -> Path:
    return query_folder(root, key.query_id) / str(int(key.stage_id)) / str(int(key.task_id))


def attempt_folder(root: Path, key: AttemptKey) -> Path:
    return task_folder(root, key) / str(int(key.attempt))


def packed_file(root: Path, key: AttemptKey) -> Path:
    """An output of one file."""
    name = f"{int(key.stage_id)}-{int(key.task_id)}-{int(key.attempt)}.ipc"
    return query_folder(root, key.query_id) / name


def part_file(reduce_partition: int) -> str:
    return f"part-{int(reduce_partition)}.ipc"


def reduce_partition_of(file_name: str) -> int | None:
    """The partition whose `part_file` this is; None: it is none."""
    number = file_name.removeprefix("part-").removesuffix(".ipc")
    if not (number.isascii() and number.isdecimal()) or part_file(int(number)) != file_name:
        return None
    return int(number)
