"""The map between protobuf and values: what is encoded is decoded as it was, bytes in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ffq.core.assignment import encoded_bytes
from ffq.endpoint import MAX_ENDPOINT_LENGTH
from ffq.errors import InvalidRequest
from ffq.ids import (
    Attempt,
    AttemptKey,
    QueryId,
    StageId,
    TaskId,
    WorkerId,
    parse_query_id,
    parse_worker_id,
)
from ffq.messages import (
    Assignment,
    AttemptStatus,
    CancelReply,
    ErrorKind,
    FetchShufflePartition,
    FilePlace,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    Layout,
    LostInput,
    OutputPartition,
    PartitionSize,
    PartitionValue,
    QueryState,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    ScanInput,
    ScanSplit,
    ShuffleChunk,
    ShuffleInput,
    ShufflePart,
    StageStatus,
    SubmitReply,
    TaskState,
    WorkerStatus,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec import inspection, liveness, outputs, queries, shuffle, tasks
from ffq.proto.codec.values import MAX_ITEMS, MAX_TEXT, short

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
times = st.none() | st.integers(1, 2**62)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
ids = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)
query_ids, worker_ids = ids.map(QueryId), ids.map(WorkerId)
endpoints = st.sampled_from(["", "127.0.0.1:50061", "host.example:1", "[::1]:65535"])


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=3).map(tuple)


keys = st.builds(AttemptKey, query_ids, u64.map(StageId), u64.map(TaskId), u32.map(Attempt))
layouts = st.builds(Layout, u32, u64)


def fetch_also(key: AttemptKey, also: tuple[tuple[int, int, int, int], ...]) -> object:
    """Other parts of the key's query."""
    parts = (
        ShufflePart(AttemptKey(key.query_id, StageId(stage), TaskId(task), Attempt(attempt)), at)
        for stage, task, attempt, at in also
    )
    return FetchShufflePartition(key, 0, also=tuple(parts), opens=True)


folders = st.builds(PartitionValue, texts, texts, st.none() | texts)
splits = st.builds(ScanSplit, texts, u32, u32, u64, u64, u64, tuples(folders))
sizes = st.builds(PartitionSize, u32, u64, u64, st.binary(max_size=8))
inputs = st.builds(ShuffleInput, u64, u64, u32, texts, tuples(sizes))
partitions = st.builds(OutputPartition, u32, u64, u64, u64, u32, u64, st.booleans())
stages = st.builds(
    StageStatus,
    *(u64, u32, u32, u32, u32, u64, u64, u64, u64, u32, u32, u64, u32),
    tuples(texts),
    st.booleans(),
)
PAIRS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "get_task": (
        st.builds(GetTask, worker_ids, u32, u64),
        tasks.encode_get_task,
        tasks.decode_get_task,
    ),
    "assignment": (
        st.builds(
            Assignment,
            keys,
            st.binary(max_size=20),
            tuples(u32),
            layouts,
            tuples(st.builds(ScanInput, u32, texts, tuples(splits))),
            tuples(inputs),
            u32,
            inlined=tuples(u64),
        ),
        tasks.encode_assignment,
        tasks.decode_assignment,
    ),
    "report": (
        st.builds(
            ReportTaskStatus,
            keys,
            st.sampled_from(TaskState),
            texts,
            layouts,
            st.none() | worker_ids,
            u64,
            st.none() | st.sampled_from(ErrorKind),
            tuples(st.builds(LostInput, u64, u64, u32)),
        ),
        tasks.encode_report,
        tasks.decode_report,
    ),
    "map output": (
        st.builds(
            RegisterMapOutput,
            keys,
            tuples(partitions),
            layouts,
            st.none() | worker_ids,
            u64,
            endpoints,
        ),
        outputs.encode_map_output,
        outputs.decode_map_output,
    ),
    "keyed result": (
        keys.flatmap(
            lambda key: st.builds(
                RegisterQueryResults,
                st.just(key.query_id),
                st.binary(max_size=20),
                st.just(key),
                u64,
                st.booleans(),
            )
        ),
        outputs.encode_results,
        outputs.decode_results,
    ),
    "keyless result": (
        st.builds(RegisterQueryResults, query_ids, st.binary(max_size=20)),
        outputs.encode_results,
        outputs.decode_results,
    ),
    "heartbeat": (
        st.builds(
            Heartbeat,
            worker_ids,
            u64,
            u32,
            st.frozensets(texts, max_size=3),
            u64,
            endpoints,
            texts,
            st.none() | tuples(keys),
            tuples(query_ids),
            u32,
            u32,
        ),
        liveness.encode_heartbeat,
        liveness.decode_heartbeat,
    ),
    "heartbeat reply": (
        st.builds(HeartbeatReply, st.booleans(), tuples(keys), tuples(query_ids), st.booleans()),
        liveness.encode_heartbeat_reply,
        liveness.decode_heartbeat_reply,
    ),
    "submit reply": (
        st.builds(SubmitReply, query_ids, st.sampled_from(QueryState)),
        queries.encode_submit_reply,
        queries.decode_submit_reply,
    ),
    "cancel reply": (
        st.builds(CancelReply, query_ids, st.sampled_from(QueryState)),
        queries.encode_cancel_reply,
        queries.decode_cancel_reply,
    ),
    "status": (
        st.builds(
            QueryStatus,
            query_ids,
            st.sampled_from(QueryState),
            st.integers(1, 2**62),
            times,
            times,
            texts,
            tuples(stages),
        ),
        queries.encode_status,
        queries.decode_status,
    ),
    "attempt": (
        st.builds(
            AttemptStatus,
            keys,
            st.sampled_from(TaskState),
            st.none() | worker_ids,
            times,
            times,
            texts,
            st.booleans(),
        ),
        inspection.encode_attempt,
        inspection.decode_attempt,
    ),
    "worker": (
        st.builds(
            WorkerStatus,
            worker_ids,
            tuples(texts),
            u32,
            u32,
            u32,
            u32,
            st.booleans(),
            st.booleans(),
            texts,
            texts,
        ),
        inspection.encode_worker,
        inspection.decode_worker,
    ),
    "fetch": (
        st.builds(FetchShufflePartition, keys, u32, u64, u64, u32, u32)
        | st.builds(fetch_also, keys, tuples(st.tuples(u64, u64, u32, u32))),
        shuffle.encode_fetch,
        shuffle.decode_fetch,
    ),
    "chunk": (
        st.builds(
            ShuffleChunk,
            *(st.binary(max_size=20), u64, u64, u64, st.booleans(), u32),
            tuples(st.builds(FilePlace, texts, u64, u64, u64, u64, u64)),
        ),
        shuffle.encode_chunk,
        shuffle.decode_chunk,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@given(data=st.data())
def test_what_is_encoded_is_decoded_as_it_was(name: str, data: st.DataObject) -> None:
    values, encode, decode = PAIRS[name]
    value = data.draw(values)
    message = encode(value)
    assert decode(type(message).FromString(message.SerializeToString())) == value


_wide_text = st.text(st.characters(codec="utf-8"), max_size=50)
_largest = st.just(2**64 - 1) | u64
_wide_splits = st.builds(
    ScanSplit,
    _wide_text,
    u32,
    u32,
    _largest,
    _largest,
    _largest,
    tuples(st.builds(PartitionValue, _wide_text, st.sampled_from(["Int64", "Utf8"]), _wide_text)),
)
_wide_inputs = st.builds(
    ShuffleInput,
    _largest,
    _largest,
    u32,
    st.integers(1, MAX_ENDPOINT_LENGTH - 6).map(lambda length: "h" * length + ":65535"),
    tuples(st.builds(PartitionSize, u32, _largest, _largest)),
)


@given(
    st.builds(
        Assignment,
        st.builds(AttemptKey, st.just("q" * 128), _largest, _largest, u32),
        st.binary(max_size=20),
        st.integers(0, 200).map(lambda count: (2**32 - 1,) * count),
        layouts,
        tuples(st.builds(ScanInput, u32, _wide_text, tuples(_wide_splits))),
        tuples(_wide_inputs),
        u32,
        u32,
        tuples(_largest),
    )
)
def test_R30_no_assignment_is_larger_than_the_core_reckons(assignment: Assignment) -> None:
    """What does not fit into a message is refused by that reckoning."""
    answer = tasks.encode_assignments((assignment,))
    assert answer.ByteSize() <= encoded_bytes(assignment)


def test_a_time_is_zero_on_the_wire_while_there_is_none() -> None:
    status = QueryStatus(QueryId("1"), QueryState.RUNNING, 5, 7, None, "", ())
    message = queries.encode_status(status)
    assert (message.submitted_at_ms, message.started_at_ms, message.finished_at_ms) == (5, 7, 0)


def test_a_peer_on_the_fixed_wire_sets_nothing_of_ours() -> None:
    """R22, R26: absent extensions are read as: no incarnation, no list, the whole result."""
    beat = liveness.decode_heartbeat(wire.HeartbeatRequest(worker_id="w"))
    assert (beat.incarnation, beat.running_attempts, beat.endpoint) == (0, None, "")
    result = outputs.decode_results(
        wire.RegisterQueryResultsRequest(query_id="1", ipc_payload=b"x")
    )
    assert (result.key, result.offset, result.last) == (None, 0, True)
    report = tasks.decode_report(
        wire.ReportTaskStatusRequest(query_id="1", state=wire.TASK_STATE_FAILED)
    )
    assert (report.worker_id, report.kind, report.incarnation) == (None, None, 0)


def test_a_reduce_split_count_is_one_which_peers_need() -> None:
    key = AttemptKey(QueryId("1"), StageId(0), TaskId(0), Attempt(1))
    assignment = Assignment(key, b"{}", (), Layout(1, 2))
    assert tasks.encode_assignment(assignment).assigned_reduce_split_count == 1


BAD_IDS = ["", ".", "..", "../x", "a/b", "a\\b", "a b", "é", "a\n", "x" * 129, "\x00"]


@pytest.mark.parametrize("text", BAD_IDS)
@pytest.mark.parametrize("parse", [parse_query_id, parse_worker_id])
def test_what_could_be_a_path_is_no_id(parse: Callable[[str], str], text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"is not 1 to 128 characters"):
        parse(text)


@pytest.mark.parametrize("text", ["0", str(2**64 - 1), "a.b-c_D", "...", "x" * 128])
def test_ids_of_all_implementations_are_ids(text: str) -> None:
    assert parse_query_id(text) == text


def test_a_long_message_of_a_peer_is_cut() -> None:
    assert len(short("x" * 1_000_000)) == MAX_TEXT


def test_a_message_that_is_no_unicode_is_reported_all_the_same() -> None:
    # As an operator raises it that cannot open a file whose name is not UTF-8.
    key = AttemptKey(QueryId("q"), StageId(0), TaskId(0), Attempt(1))
    report = ReportTaskStatus(key, TaskState.FAILED, message="caf\udce9.csv", layout=Layout(1, 2))
    assert tasks.encode_report(report).message == "caf?.csv"


def test_R30_items_of_a_message_are_bounded() -> None:
    many = MAX_ITEMS + 1
    part, lost = wire.MapOutputPartition(), wire.LostInput()
    ref = wire.AttemptRef(query_id="q")
    cases: list[tuple[Callable[[Any], object], Message]] = [
        (
            outputs.decode_map_output,
            wire.RegisterMapOutputRequest(query_id="q", partitions=[part] * many),
        ),
        (
            tasks.decode_report,
            wire.ReportTaskStatusRequest(
                query_id="q", state=wire.TASK_STATE_FAILED, lost_inputs=[lost] * many
            ),
        ),
        (
            liveness.decode_heartbeat,
            wire.HeartbeatRequest(worker_id="w", running_attempts=[ref] * many),
        ),
        (
            liveness.decode_heartbeat,
            wire.HeartbeatRequest(worker_id="w", held_queries=["q"] * many),
        ),
    ]
    for decode, message in cases:
        with pytest.raises(InvalidRequest, match="has 100001 items; at most 100000 are allowed"):
            decode(message)
