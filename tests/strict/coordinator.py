"""A coordinator as strict as the one in Rust, over real gRPC on loopback.

It is written apart from `ffq.core`, so that it shares no fault with it. All it uses of ffq is the
cutting of plans into stages. It does what PROTOCOL calls a peer on the fixed wire: it knows no
field from 1000 up, exact attempts only, and map output only in the folder that all share.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import grpc

from ffq.plan.codec import parse_plan
from ffq.plan.stages import StageGraph, cut
from tests.strict.wire import FILE, pb

MESSAGE_BYTES = 4 << 20
CHUNK_BYTES = 64 << 10
MAX_ATTEMPTS = 3
LAYOUT_VERSION = 1

Key = tuple[str, int, int, int]
"""Query, stage, task, attempt."""


@attrs.define(eq=False)
class StrictQuery:
    """`attempts`: the newest of each stage's only task. `done`: stages that have succeeded."""

    query_id: str
    plan: bytes
    graph: StageGraph
    state: int
    submitted_ms: int
    attempts: dict[int, int] = attrs.field(factory=dict)
    running: set[int] = attrs.field(factory=set)
    done: set[int] = attrs.field(factory=set)
    message: str = ""
    finished_ms: int = 0
    result: bytes | None = None

    def runnable(self) -> Iterator[int]:
        """Stages whose parents are all done, in order."""
        if self.state in (pb.QUERY_STATE_QUEUED, pb.QUERY_STATE_RUNNING):
            for stage in self.graph.stages:
                ready = all(source.stage_id in self.done for source in stage.parents)
                if ready and stage.stage_id not in self.done | self.running:
                    yield stage.stage_id

    def end(self, state: int, message: str = "") -> None:
        self.state, self.message, self.finished_ms = state, message, _now_ms()


@attrs.define(eq=False)
class StrictCoordinator:
    """The state, behind one lock, and what tests look at.

    Attributes:
        root: the folder that all share: FFQ_SHUFFLE_ROOT.
        only: stages that go to the worker of this id alone: a coordinator that mixes workers.
        disbelieved: attempts whose success counts as a failure, so that another follows.
        assignment: what a test changes in an assignment before it is sent.
        uploads: payload sizes, call by call; `fetched`: attempts and partitions asked for.
    """

    root: Path
    queries: dict[str, StrictQuery] = attrs.field(factory=dict)
    outputs: dict[Key, dict[int, Any]] = attrs.field(factory=dict)
    only: dict[int, str] = attrs.field(factory=dict)
    disbelieved: set[tuple[int, int]] = attrs.field(factory=set)
    assignment: Callable[[Any], None] = lambda task: None
    uploads: list[int] = attrs.field(factory=list)
    fetched: list[tuple[int, int, int]] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    # --- clients -----------------------------------------------------------------------------

    def submit_query(self, request: Any, context: Any) -> Any:
        graph = cut(parse_plan(request.physical_plan_json))
        with self._lock:
            if request.query_id not in self.queries:
                plan = _written_anew(request.physical_plan_json)
                self.queries[request.query_id] = StrictQuery(
                    request.query_id, plan, graph, pb.QUERY_STATE_QUEUED, _now_ms()
                )
            state = self.queries[request.query_id].state
        return pb.SubmitQueryResponse(query_id=request.query_id, state=state)

    def get_query_status(self, request: Any, context: Any) -> Any:
        with self._lock:
            query = self._query(request.query_id, context)
            status = pb.QueryStatus(
                query_id=query.query_id,
                state=query.state,
                submitted_at_ms=query.submitted_ms,
                finished_at_ms=query.finished_ms,
                message=query.message,
            )
            for stage in query.graph.stages:
                status.stage_metrics.add(
                    stage_id=stage.stage_id, succeeded_tasks=int(stage.stage_id in query.done)
                )
        return pb.GetQueryStatusResponse(status=status)

    def cancel_query(self, request: Any, context: Any) -> Any:
        with self._lock:
            query = self._query(request.query_id, context)
            if not query.finished_ms:
                query.end(pb.QUERY_STATE_CANCELED, request.reason)
        return pb.CancelQueryResponse(query_id=request.query_id, state=query.state)

    def fetch_query_results(self, request: Any, context: Any) -> Iterator[Any]:
        with self._lock:
            query = self._query(request.query_id, context)
            if query.state != pb.QUERY_STATE_SUCCEEDED:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no result")
            result = query.result or b""
        for start in range(0, len(result), CHUNK_BYTES):
            yield pb.QueryResultsChunk(payload=result[start : start + CHUNK_BYTES])

    # --- workers -----------------------------------------------------------------------------

    def heartbeat(self, request: Any, context: Any) -> Any:
        return pb.HeartbeatResponse(accepted=True)

    def get_task(self, request: Any, context: Any) -> Any:
        answer = pb.GetTaskResponse()
        with self._lock:
            for query in self.queries.values():
                for stage_id in query.runnable():
                    owner = self.only.get(stage_id, request.worker_id)
                    if len(answer.tasks) < request.capacity and owner == request.worker_id:
                        self._assign(query, stage_id, answer.tasks.add())
        return answer

    def _assign(self, query: StrictQuery, stage_id: int, task: Any) -> None:
        query.state = pb.QUERY_STATE_RUNNING
        query.attempts[stage_id] = query.attempts.get(stage_id, 0) + 1
        query.running.add(stage_id)
        sources = query.graph.stages[stage_id].parents
        task.query_id, task.stage_id = query.query_id, stage_id
        task.attempt = query.attempts[stage_id]
        task.plan_fragment_json = query.plan
        most = max((source.partitions for source in sources), default=0)
        task.assigned_reduce_partitions.extend(range(most))
        task.assigned_reduce_split_count = 1
        task.layout_version, task.layout_fingerprint = LAYOUT_VERSION, 40 + stage_id
        self.assignment(task)

    def report_task_status(self, request: Any, context: Any) -> Any:
        with self._lock:
            query = self._query(request.query_id, context)
            stage = request.stage_id
            current = request.attempt == query.attempts.get(stage) and not request.task_id
            echoed = request.layout_version == LAYOUT_VERSION
            echoed = echoed and request.layout_fingerprint == 40 + stage
            if current and echoed and stage in query.running:
                self._reported(query, stage, request)
        return pb.ReportTaskStatusResponse()

    def _reported(self, query: StrictQuery, stage: int, request: Any) -> None:
        if request.state == pb.TASK_STATE_RUNNING:
            return
        query.running.discard(stage)
        succeeded = request.state == pb.TASK_STATE_SUCCEEDED
        if succeeded and (stage, request.attempt) not in self.disbelieved:
            query.done.add(stage)
            if stage == 0:
                query.end(pb.QUERY_STATE_SUCCEEDED)
        elif request.attempt >= MAX_ATTEMPTS:
            query.end(pb.QUERY_STATE_FAILED, request.message)

    def register_map_output(self, request: Any, context: Any) -> Any:
        key = (request.query_id, request.stage_id, request.map_task, request.attempt)
        with self._lock:
            self._check_exact(key, context)
            parts = self.outputs.setdefault(key, {})
            parts.update({each.reduce_partition: each for each in request.partitions})
        return pb.RegisterMapOutputResponse()

    def fetch_shuffle_partition(self, request: Any, context: Any) -> Iterator[Any]:
        key = (request.query_id, request.stage_id, request.map_task, request.attempt)
        with self._lock:
            self._check_exact(key, context)
            self.fetched.append((request.stage_id, request.attempt, request.reduce_partition))
            part = self.outputs.get(key, {}).get(request.reduce_partition)
        folder = self.root.joinpath("shuffle", *map(str, key))
        path = folder / f"part-{request.reduce_partition}.ipc"
        if part is None or not path.exists():
            yield pb.ShufflePartitionChunk()
            return
        data = path.read_bytes()
        first = min(request.start_offset, len(data))
        end = min(len(data), first + request.max_bytes) if request.max_bytes else len(data)
        for start in range(first, max(end, first + 1), CHUNK_BYTES):
            payload = data[start : min(start + CHUNK_BYTES, end)]
            yield pb.ShufflePartitionChunk(
                payload=payload,
                start_offset=start,
                end_offset=start + len(payload),
                watermark_offset=len(data),
                finalized=part.finalized,
                stream_epoch=part.stream_epoch,
            )

    def register_query_results(self, request: Any, context: Any) -> Any:
        with self._lock:
            self.uploads.append(len(request.ipc_payload))
            self._query(request.query_id, context).result = request.ipc_payload
        return pb.RegisterQueryResultsResponse()

    def _query(self, query_id: str, context: Any) -> StrictQuery:
        if query_id not in self.queries:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown query {query_id}")
        return self.queries[query_id]

    def _check_exact(self, key: Key, context: Any) -> None:
        """Attempts that were assigned, and no others; 0 is none."""
        query_id, stage, task, attempt = key
        newest = self._query(query_id, context).attempts.get(stage, 0)
        if task != 0 or not 1 <= attempt <= newest:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no map output of attempt {key}")


def _written_anew(plan: bytes) -> bytes:
    """The same plan as such a coordinator writes it: with an empty key more in every join."""

    def with_alternatives(value: dict[str, Any]) -> dict[str, Any]:
        if "HashJoin" in value:
            value["HashJoin"].setdefault("alternatives", [])
        return value

    return json.dumps(json.loads(plan, object_hook=with_alternatives)).encode()


def _now_ms() -> int:
    return int(time.time() * 1000)


@contextmanager
def strict_coordinator(root: Path) -> Iterator[tuple[StrictCoordinator, str]]:
    """It, serving on a free port of loopback, and its endpoint."""
    coordinator = StrictCoordinator(root)
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    threads = ThreadPoolExecutor(16)
    server = grpc.server(threads, options=options)
    for service in FILE.services_by_name.values():
        handlers = {method.name: _handler(coordinator, method) for method in service.methods}
        generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
        server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield coordinator, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        threads.shutdown()


def _handler(coordinator: StrictCoordinator, method: Any) -> Any:
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in method.name)[1:]
    make = (
        grpc.unary_stream_rpc_method_handler
        if method.output_type.name.endswith("Chunk")
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        getattr(coordinator, name),
        request_deserializer=getattr(pb, method.input_type.name).FromString,
        response_serializer=getattr(pb, method.output_type.name).SerializeToString,
    )
