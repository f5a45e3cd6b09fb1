"""ffq.ext.v1: what people and tools ask the coordinator."""

from __future__ import annotations

from ffq.ids import parse_query_id, parse_worker_id
from ffq.messages import (
    AttemptStatus,
    DrainWorker,
    ListAttempts,
    ListQueries,
    ListWorkers,
    QueryStatus,
    QueryUpdate,
    WatchQuery,
    WorkerStatus,
)
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.queries import decode_status, decode_time, encode_status, encode_time
from ffq.proto.codec.values import (
    decode_key,
    decode_task_state,
    decode_usage,
    encode_ref,
    encode_task_state,
    encode_usage,
    parse_optional_worker_id,
)


def encode_list_queries(request: ListQueries) -> ext.ListQueriesRequest:
    return ext.ListQueriesRequest(limit=request.limit)


def decode_list_queries(message: ext.ListQueriesRequest) -> ListQueries:
    return ListQueries(message.limit) if message.limit else ListQueries()


def encode_queries(found: tuple[QueryStatus, ...]) -> ext.ListQueriesResponse:
    return ext.ListQueriesResponse(queries=[encode_status(status) for status in found])


def decode_queries(message: ext.ListQueriesResponse) -> tuple[QueryStatus, ...]:
    return tuple(decode_status(status) for status in message.queries)


def encode_list_attempts(request: ListAttempts) -> ext.ListAttemptsRequest:
    return ext.ListAttemptsRequest(query_id=request.query_id)


def decode_list_attempts(message: ext.ListAttemptsRequest) -> ListAttempts:
    return ListAttempts(parse_query_id(message.query_id))


def encode_attempts(found: tuple[AttemptStatus, ...]) -> ext.ListAttemptsResponse:
    return ext.ListAttemptsResponse(attempts=[encode_attempt(status) for status in found])


def decode_attempts(message: ext.ListAttemptsResponse) -> tuple[AttemptStatus, ...]:
    return tuple(decode_attempt(status) for status in message.attempts)


def encode_list_workers(_: ListWorkers) -> ext.ListWorkersRequest:
    return ext.ListWorkersRequest()


def decode_list_workers(_: ext.ListWorkersRequest) -> ListWorkers:
    return ListWorkers()


def encode_workers(found: tuple[WorkerStatus, ...]) -> ext.ListWorkersResponse:
    return ext.ListWorkersResponse(workers=[encode_worker(status) for status in found])


def decode_workers(message: ext.ListWorkersResponse) -> tuple[WorkerStatus, ...]:
    return tuple(decode_worker(status) for status in message.workers)


def encode_drain(request: DrainWorker) -> ext.DrainWorkerRequest:
    return ext.DrainWorkerRequest(worker_id=request.worker_id)


def decode_drain(message: ext.DrainWorkerRequest) -> DrainWorker:
    return DrainWorker(parse_worker_id(message.worker_id))


def encode_drain_reply(_: None) -> ext.DrainWorkerResponse:
    return ext.DrainWorkerResponse()


def decode_drain_reply(_: ext.DrainWorkerResponse) -> None:
    return None


def encode_attempt(status: AttemptStatus) -> ext.AttemptStatus:
    return ext.AttemptStatus(
        attempt=encode_ref(status.key),
        state=encode_task_state(status.state),
        worker_id=status.worker_id or "",
        assigned_at_ms=encode_time(status.assigned_at_ms),
        finished_at_ms=encode_time(status.finished_at_ms),
        message=status.message,
        committed=status.committed,
        usage=None if status.usage is None else encode_usage(status.usage),
        speculative=status.speculative,
    )


def decode_attempt(message: ext.AttemptStatus) -> AttemptStatus:
    return AttemptStatus(
        key=decode_key(message.attempt),
        state=decode_task_state(message.state),
        worker_id=parse_optional_worker_id(message.worker_id),
        assigned_at_ms=decode_time(message.assigned_at_ms),
        finished_at_ms=decode_time(message.finished_at_ms),
        message=message.message,
        committed=message.committed,
        usage=decode_usage(message.usage) if message.HasField("usage") else None,
        speculative=message.speculative,
    )


def encode_worker(status: WorkerStatus) -> ext.WorkerStatus:
    return ext.WorkerStatus(
        worker_id=status.worker_id,
        capabilities=status.capabilities,
        running_attempts=status.running_attempts,
        slots=status.slots,
        stuck_tasks=status.stuck_tasks,
        consecutive_failures=status.consecutive_failures,
        excluded=status.excluded,
        draining=status.draining,
        shuffle_endpoint=status.endpoint,
        engine_family=status.family,
    )


def decode_worker(message: ext.WorkerStatus) -> WorkerStatus:
    return WorkerStatus(
        worker_id=parse_worker_id(message.worker_id),
        capabilities=tuple(message.capabilities),
        running_attempts=message.running_attempts,
        slots=message.slots,
        stuck_tasks=message.stuck_tasks,
        consecutive_failures=message.consecutive_failures,
        excluded=message.excluded,
        draining=message.draining,
        endpoint=message.shuffle_endpoint,
        family=message.engine_family,
    )


def encode_watch(request: WatchQuery) -> ext.WatchQueryRequest:
    return ext.WatchQueryRequest(query_id=request.query_id, result=request.result)


def decode_watch(message: ext.WatchQueryRequest) -> WatchQuery:
    return WatchQuery(parse_query_id(message.query_id), message.result)


def encode_update(update: QueryUpdate) -> ext.QueryUpdate:
    return ext.QueryUpdate(status=encode_status(update.status), result=update.result)


def decode_update(message: ext.QueryUpdate) -> QueryUpdate:
    result = message.result if message.HasField("result") else None
    return QueryUpdate(decode_status(message.status), result)
