"""Our workers and client under a coordinator as strict as the one in Rust, which knows none of our
extensions: `tests/strict/coordinator.py`."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import attrs
import grpc
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import trio

from ffq.client import Client, connect
from ffq.errors import QueryFailed
from ffq.plan import Relation, col, count, model, scan
from ffq.plan.codec import dump_plan
from ffq.shuffle.mark import FAMILY_KEY
from tests.integration.cluster import same_rows
from tests.processes import END_TIMEOUT_S, ffq, worker
from tests.strict.coordinator import StrictCoordinator, strict_coordinator
from tests.strict.wire import FILE, pb

ROWS = 1_000
T = scan("t", ["k", "v", "x"])
NAMES = scan("names", ["k", "name"])


@attrs.frozen
class Data:
    """t (k 0..9, v 0..ROWS-1, x = v / 2), names (k 0..4), and the folder that all share."""

    folder: Path

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    def options(self, root: Path | None) -> tuple[str, ...]:
        given = () if root is None else (f"--shuffle-root={root}",)
        return (f"--catalog={self.folder / 'tables.json'}", "--slots=2", *given)


def t_table() -> pa.Table:
    values = list(range(ROWS))
    return pa.table({"k": [v % 10 for v in values], "v": values, "x": [v / 2 for v in values]})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    made = Data(tmp_path_factory.mktemp("strict"))
    pq.write_table(t_table(), made.folder / "t.parquet")
    names = pa.table({"k": range(5), "name": [f"name {k}" for k in range(5)]})
    pq.write_table(names, made.folder / "names.parquet")
    tables = [{"name": n, "uri": str(made.folder / f"{n}.parquet")} for n in ("t", "names")]
    (made.folder / "tables.json").write_text(json.dumps(tables))
    return made


@contextmanager
def cluster(
    data: Data, *names: str, root: Path | None = None
) -> Iterator[tuple[StrictCoordinator, str]]:
    """A strict coordinator, and workers of ours with its folder, or with `root`."""
    with strict_coordinator(data.shared) as (coordinator, endpoint):
        if not names:
            yield coordinator, endpoint
            return
        with worker(endpoint, names[0], *data.options(root or data.shared)):
            if len(names) == 1:
                yield coordinator, endpoint
                return
            with worker(endpoint, names[1], *data.options(root or data.shared)):
                yield coordinator, endpoint


@pytest.fixture(scope="module")
def strict(data: Data) -> Iterator[tuple[StrictCoordinator, str]]:
    """Two workers of ours."""
    with cluster(data, "a", "b") as running:
        yield running


@asynccontextmanager
async def client_of(endpoint: str) -> AsyncIterator[Client]:
    with trio.fail_after(END_TIMEOUT_S):
        async with connect(endpoint) as client:
            yield client


async def result_of(endpoint: str, plan: Relation) -> pa.Table:
    async with client_of(endpoint) as client:
        return await client.run(plan)


async def failure_of(endpoint: str, plan: Relation) -> str:
    with pytest.raises(QueryFailed) as info:
        await result_of(endpoint, plan)
    return info.value.message


def by_k(rows: Relation) -> Relation:
    return rows.aggregate(["k"], [count().alias("n"), col("v").sum().alias("s")], partitions=4)


def cte_twice() -> Relation:
    cte = model.CteRef("c", by_k(T).node)
    return Relation(model.UnionAll(cte, cte), ("k", "n", "s"))


TOTALS: list[dict[str, object]] = [
    {"k": k, "n": ROWS // 10, "s": sum(range(k, ROWS, 10))} for k in range(10)
]
KEPT: list[dict[str, object]] = [
    {**row, "kn": row["k"], "name": f"name {row['k']}"} for row in TOTALS[:5]
]
NAMED = NAMES.project(col("k").alias("kn"), "name")
PLANS: dict[str, tuple[Callable[[], Relation], list[dict[str, object]]]] = {
    "one stage": (
        lambda: T.filter(col("v") < 3).project("v"),
        [{"v": v} for v in range(3)],
    ),
    "aggregate": (lambda: by_k(T), TOTALS),
    "global aggregate": (
        lambda: T.aggregate([], [col("v").max().alias("top")]),
        [{"top": ROWS - 1}],
    ),
    "shuffled join": (
        lambda: by_k(T).join(NAMED, [("k", "kn")], partitions=3),
        KEPT,
    ),
    "broadcast join": (
        lambda: by_k(T.join(NAMED, [("k", "kn")], strategy="broadcast_right")),
        TOTALS[:5],
    ),
    "several stages": (
        lambda: by_k(T).join(NAMED, [("k", "kn")], partitions=3).top_k(col("k"), 2),
        KEPT[3:],
    ),
    "a repeated cte with exchanges inside": (cte_twice, TOTALS * 2),
    "whole numbers beside a column of floats": (
        lambda: T.filter(col("x") < 1).project("v", (col("x") * 2 + 1).alias("y")),
        [{"v": 0, "y": 1.0}, {"v": 1, "y": 2.0}],
    ),
    "no row": (lambda: T.filter(col("v") < 0), []),
    "all partitions empty": (lambda: by_k(T.filter(col("v") < 0)), []),
    "one side empty": (
        lambda: NAMED.join(by_k(T.filter(col("v") < 0)), [("kn", "k")], partitions=3),
        [],
    ),
    "all empty below a global aggregate": (
        lambda: by_k(T.filter(col("v") < 0)).aggregate([], [count().alias("n")]),
        [{"n": 0}],
    ),
}


@pytest.mark.parametrize("name", PLANS)
async def test_our_workers_give_its_clients_the_right_rows(
    strict: tuple[StrictCoordinator, str], name: str
) -> None:
    """R22 to R26 as such a coordinator has them."""
    coordinator, endpoint = strict
    make, expected = PLANS[name]
    before = len(coordinator.uploads)
    result = await result_of(endpoint, make())
    assert result.column_names == list(make().columns or ())
    assert same_rows(result, pa.Table.from_pylist(expected))
    assert result.schema.metadata is None
    assert len(coordinator.uploads) == before + 1
    assert all(attempt >= 1 for _, attempt, _ in coordinator.fetched)
    query = list(coordinator.queries.values())[-1]
    registered = {
        stage for query_id, stage, _, _ in coordinator.outputs if query_id == query.query_id
    }
    assert registered == {stage.stage_id for stage in query.graph.stages[1:]}


async def test_a_result_goes_in_one_call(strict: tuple[StrictCoordinator, str]) -> None:
    """R26: each call is the whole result there, so the last of several would be all of it."""
    coordinator, endpoint = strict
    rows = T.join(T.project(col("k").alias("j"), col("v").alias("w")), [("k", "j")], partitions=2)
    result = await result_of(endpoint, rows.filter(col("w") < 900).project("v", "w"))
    assert result.num_rows == 90 * 100 * 10
    assert 1 << 20 < coordinator.uploads[-1] < 4 << 20


async def test_a_result_that_no_message_holds_is_refused_by_name(
    strict: tuple[StrictCoordinator, str],
) -> None:
    coordinator, endpoint = strict
    before = len(coordinator.uploads)
    other = T.project(col("k").alias("j"), col("v").alias("w"), col("x").alias("y"))
    everything = T.join(other, [("k", "j")], partitions=2)
    message = await failure_of(endpoint, everything)
    assert "the result has " in message
    assert "at most 4194304 bytes a message" in message
    assert "4194304" in message.partition("it answered:")[2]
    assert len(coordinator.uploads) == before


async def test_the_newest_attempt_is_read_whatever_an_older_one_left(
    strict: tuple[StrictCoordinator, str],
) -> None:
    """R25: nobody says which attempt is committed; the folder does."""
    coordinator, endpoint = strict
    coordinator.disbelieved.add((1, 1))
    before = len(coordinator.fetched)
    try:
        result = await result_of(endpoint, by_k(T))
    finally:
        coordinator.disbelieved.clear()
    assert same_rows(result, pa.Table.from_pylist(TOTALS))
    assert {attempt for _, attempt, _ in coordinator.fetched[before:]} == {2}


def split(task: Any) -> None:
    task.assigned_reduce_split_count = 2


def leave_out(task: Any) -> None:
    if task.assigned_reduce_partitions:
        del task.assigned_reduce_partitions[-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (split, "shared its partitions out to 2 tasks"),
        (leave_out, "left reduce partition 3 of 4 out"),
    ],
)
async def test_R31_a_share_of_a_stage_is_refused_by_name(
    strict: tuple[StrictCoordinator, str], change: Callable[[Any], None], told: str
) -> None:
    """On the fixed wire a stage is one task; a share of it would give a wrong answer."""
    coordinator, endpoint = strict
    untouched = coordinator.assignment
    coordinator.assignment = change
    try:
        assert told in await failure_of(endpoint, by_k(T))
    finally:
        coordinator.assignment = untouched


async def test_a_worker_without_the_shared_folder_says_so(data: Data) -> None:
    with (
        strict_coordinator(data.shared) as (_, endpoint),
        worker(endpoint, "alone", *data.options(None)),
    ):
        message = await failure_of(endpoint, by_k(T))
    assert "--shuffle-root (FFQ_SHUFFLE_ROOT)" in message


async def test_another_folder_than_the_coordinators_is_no_empty_answer(data: Data) -> None:
    """It answers what it does not find with an empty chunk: taken for empty, rows were lost."""
    with cluster(data, "astray", root=data.folder / "elsewhere") as (_, endpoint):
        message = await failure_of(endpoint, by_k(T))
    assert "it has 0 bytes, the shared folder has " in message


async def test_status_says_what_such_a_coordinator_lacks_and_shows_the_rest(
    strict: tuple[StrictCoordinator, str],
) -> None:
    _, endpoint = strict
    async with client_of(endpoint) as client:
        query = await client.submit(by_k(T))
        await query.wait()

    async def status(*arguments: str) -> CompletedProcess[str]:
        options = ("status", *arguments, f"--coordinator={endpoint}")
        return await trio.to_thread.run_sync(ffq, *options)

    lacks = f"the coordinator at {endpoint} is another implementation of FFQ: it has no ffq.ext.v1"
    one = await status(str(query))
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout.startswith(f"{query} SUCCEEDED\n")
    assert [line.split() for line in one.stdout.splitlines() if line.startswith(" ")][-1][0] == "1"
    assert f"no attempts: {lacks}" in one.stdout
    everything = await status()
    assert (everything.returncode, everything.stdout) == (1, "")
    assert everything.stderr.startswith(f"error: {lacks}")
    assert "ffq status QUERY_ID" in everything.stderr
    nobody = await status("nobody")
    assert (nobody.returncode, nobody.stderr) == (1, "error: unknown query nobody\n")


# --- workers of two makes in one query -------------------------------------------------------


def stream(metadata: dict[bytes, bytes] | None) -> bytes:
    """An Arrow stream that fits the partial aggregate of `by_k` in all but whose it is."""
    fields = [("k", pa.int64()), ("n", pa.int64()), ("s", pa.int64())]
    schema = pa.schema(fields, metadata=metadata)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([[1], [2], [3]], schema=schema))
    return sink.getvalue()


def run_as_another_make(endpoint: str, root: Path, parts: Sequence[bytes]) -> None:
    """Take one map task, leave these bytes as its partitions, and report success."""

    def call(service: str, method: str, request: Any) -> Any:
        found = FILE.services_by_name[service].methods_by_name[method]
        path = f"/{found.containing_service.full_name}/{method}"
        reply = getattr(pb, found.output_type.name).FromString
        with grpc.insecure_channel(endpoint) as channel:
            return channel.unary_unary(path, type(request).SerializeToString, reply)(request)

    (task,) = call(
        "ControlPlane", "GetTask", pb.GetTaskRequest(worker_id="other", capacity=1)
    ).tasks
    key = {"query_id": task.query_id, "stage_id": task.stage_id, "attempt": task.attempt}
    layout = {
        "layout_version": task.layout_version,
        "layout_fingerprint": task.layout_fingerprint,
    }
    folder = root / "shuffle" / task.query_id / str(task.stage_id) / "0" / str(task.attempt)
    folder.mkdir(parents=True)
    (folder / "index.json").write_text("{}")
    output = pb.RegisterMapOutputRequest(map_task=0, **key, **layout)
    for number, payload in enumerate(parts):
        (folder / f"part-{number}.ipc").write_bytes(payload)
        output.partitions.add(
            reduce_partition=number, bytes=len(payload), rows=1, batches=1, finalized=True
        )
    if parts:  # such a worker registers nothing when all are empty
        call("ShuffleService", "RegisterMapOutput", output)
    report = pb.ReportTaskStatusRequest(state=pb.TASK_STATE_SUCCEEDED, **key, **layout)
    call("ControlPlane", "ReportTaskStatus", report)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([stream(None)], "an Arrow IPC stream without the mark of an engine family"),
        ([stream({FAMILY_KEY: b"ffq-rust-9"})], "written by engine family 'ffq-rust-9'"),
        ([b"FFQ1 a framing of its own"], "no Arrow IPC stream, so its framing is another"),
        ([], "no rows, and no schema.ipc in the folder that all share"),
    ],
    ids=["unmarked", "another family", "no stream", "all empty"],
)
async def test_R31_a_partition_that_another_make_wrote_is_refused_by_name(
    data: Data, parts: Sequence[bytes], told: str
) -> None:
    """Its hashes and partial states are not ours: read as ours they gave a wrong answer."""
    with cluster(data) as (coordinator, endpoint):
        coordinator.only[1] = "other"
        async with client_of(endpoint) as client:
            query = await client.submit(by_k(T))
            await trio.to_thread.run_sync(run_as_another_make, endpoint, data.shared, parts)
            with (
                worker(endpoint, "ours", *data.options(data.shared)),
                pytest.raises(QueryFailed) as info,
            ):
                await query.wait()
    assert f"map output {query.query_id}/1/0/1, partition 0" in info.value.message
    assert told in info.value.message
    assert "ffq-duckdb-" in info.value.message or "framing" in told


# --- the coordinator itself is as strict as it says ------------------------------------------


async def test_it_is_strict(data: Data) -> None:
    assert not [
        field.name
        for message in FILE.message_types_by_name.values()
        for field in message.fields
        if field.number >= 1000
    ]
    with cluster(data) as (coordinator, endpoint):
        async with client_of(endpoint) as client:
            query = await client.submit(by_k(T).join(NAMED, [("k", "kn")], partitions=3))
        task = pb.GetTaskRequest(worker_id="w", capacity=9)
        (first, second) = coordinator.get_task(task, None).tasks
        assert (first.assigned_reduce_split_count, first.task_id) == (1, 0)
        assert b'"alternatives": []' in first.plan_fragment_json
        assert json.loads(dump_plan(by_k(T).node)) != json.loads(first.plan_fragment_json)
        assert {first.stage_id, second.stage_id} == {2, 3}
        path = f"/{FILE.services_by_name['ShuffleService'].full_name}/FetchShufflePartition"
        with grpc.insecure_channel(endpoint) as channel:
            fetch = channel.unary_stream(
                path,
                pb.FetchShufflePartitionRequest.SerializeToString,
                pb.ShufflePartitionChunk.FromString,
            )
            exact = {"query_id": str(query), "stage_id": 2, "map_task": 0}
            (empty,) = fetch(pb.FetchShufflePartitionRequest(attempt=1, **exact))
            assert empty == pb.ShufflePartitionChunk()
            for attempt in (0, 2):
                with pytest.raises(grpc.RpcError) as info:
                    list(fetch(pb.FetchShufflePartitionRequest(attempt=attempt, **exact)))
                assert info.value.code() is grpc.StatusCode.NOT_FOUND
