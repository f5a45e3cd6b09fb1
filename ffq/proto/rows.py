"""How each message of the outer world travels: one row per RPC, from which gateway and remote come.

A row holds what belongs to the RPC and not to its meaning: its place on the wire, how its request
and reply are written and read, who calls it, how long its caller waits, whether it may be repeated,
and how large its request may be.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ffq.errors import InvariantViolated
from ffq.messages import (
    MAX_SQL_BYTES,
    CancelQuery,
    DrainWorker,
    FetchQueryResults,
    FetchShufflePartition,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    ListAttempts,
    ListQueries,
    ListTables,
    ListWorkers,
    PlanSql,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    Rpc,
    RunQuery,
    StreamRpc,
    SubmitQuery,
    WatchQuery,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec import inspection, liveness, outputs, queries, shuffle, sql, tasks
from ffq.runtime.message import Sendable

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
R = TypeVar("R")
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
Q = TypeVar("Q", bound=Message)
P = TypeVar("P")

CONTROL_PLANE: Final = wire.DESCRIPTOR.services_by_name["ControlPlane"]
SHUFFLE_SERVICE: Final = wire.DESCRIPTOR.services_by_name["ShuffleService"]
HEARTBEAT_SERVICE: Final = wire.DESCRIPTOR.services_by_name["HeartbeatService"]
INSPECTION: Final = ext.DESCRIPTOR.services_by_name["Inspection"]
SQL: Final = ext.DESCRIPTOR.services_by_name["Sql"]

SMALL_REQUEST_BYTES: Final = 1024 * 1024
"""More than any request needs that carries ids and a few words."""

_HOUR_MS = 3_600_000


class Role(enum.Enum):
    """Who calls an RPC."""

    CLIENT = "client"
    WORKER = "worker"
    OPERATOR = "operator"


class Streamed(Protocol[M_co, C_co]):
    """For type checkers: a message that is an `M_co` and is answered with a stream of `C_co`."""

    def __message__(self) -> M_co: ...

    def __chunk__(self) -> C_co: ...


@attrs.frozen
class Wire(Generic[M, R, Q, P]):
    """One RPC. `R` is its reply, or one chunk of it where it streams.

    Attributes:
        message: the class of its message; the method has the same name.
        service: full name of its gRPC service.
        request_type: protobuf class of the request.
        reply_type: protobuf class of the reply, or another that reads and writes the same bytes.
        encode: message to request; `decode` raises InvalidRequest for what is no such message.
        encode_reply: reply (or chunk) to protobuf; `decode_reply` likewise.
        role: who calls it.
        time_limit_ms: how long a client waits for the whole answer.
        repeatable: whether it may be sent again when no answer came.
        max_request_bytes: larger requests are refused unread; None: the server's own bound.
    """

    message: type[M]
    service: str
    request_type: type[Q]
    reply_type: type[P]
    encode: Callable[[M], Q]
    decode: Callable[[Q], M]
    encode_reply: Callable[[R], P]
    decode_reply: Callable[[P], R]
    role: Role
    time_limit_ms: int = 30_000
    repeatable: bool = True
    max_request_bytes: int | None = SMALL_REQUEST_BYTES

    @property
    def method(self) -> str:
        return self.message.__name__

    @property
    def path(self) -> str:
        """The method as HTTP/2 names it."""
        return f"/{self.service}/{self.method}"

    @property
    def extension(self) -> bool:
        """Whether the RPC is ours alone: other implementations do not have it."""
        return self.service in {INSPECTION.full_name, SQL.full_name}

    @property
    def streams(self) -> bool:
        return issubclass(self.message, StreamRpc)


ROWS: Final[dict[type, Wire[Any, Any, Any, Any]]] = {}


def row_of(message: Rpc[Any] | StreamRpc[Any, Any]) -> Wire[Any, Any, Any, Any]:
    return ROWS[type(message)]


def unary(
    service: Any,
    message: type[Sendable[M, R]],
    request: tuple[Callable[[M], Q], Callable[[Q], M]],
    reply: tuple[Callable[[R], P], Callable[[P], R]],
    role: Role,
    **more: Any,
) -> None:
    """A row of an RPC with one reply. `request`, `reply`: how it is written, and read."""
    _add(service, message, request, reply, role, more)


def streaming(
    service: Any,
    message: type[Streamed[M, C]],
    request: tuple[Callable[[M], Q], Callable[[Q], M]],
    chunk: tuple[Callable[[C], P], Callable[[P], C]],
    role: Role,
    **more: Any,
) -> None:
    """A row of an RPC with a stream of chunks. `request`, `chunk`: how it is written, and read."""
    _add(service, message, request, chunk, role, more)


def _add(
    service: Any, message: type, request: Any, reply: Any, role: Role, more: dict[str, Any]
) -> None:
    method = service.methods_by_name[message.__name__]
    if message in ROWS:
        raise InvariantViolated(f"{message.__name__} has two rows on the wire")
    more.setdefault("reply_type", GetMessageClass(method.output_type))
    ROWS[message] = Wire(
        message,
        service.full_name,
        GetMessageClass(method.input_type),
        encode=request[0],
        decode=request[1],
        encode_reply=reply[0],
        decode_reply=reply[1],
        role=role,
        **more,
    )


unary(
    CONTROL_PLANE,
    SubmitQuery,
    (queries.encode_submit, queries.decode_submit),
    (queries.encode_submit_reply, queries.decode_submit_reply),
    Role.CLIENT,
    max_request_bytes=None,
)
unary(
    CONTROL_PLANE,
    GetQueryStatus,
    (queries.encode_get_status, queries.decode_get_status),
    (queries.encode_status_reply, queries.decode_status_reply),
    Role.CLIENT,
)
unary(
    CONTROL_PLANE,
    CancelQuery,
    (queries.encode_cancel, queries.decode_cancel),
    (queries.encode_cancel_reply, queries.decode_cancel_reply),
    Role.CLIENT,
)
streaming(
    CONTROL_PLANE,
    FetchQueryResults,
    (outputs.encode_fetch_results, outputs.decode_fetch_results),
    (outputs.encode_results_chunk, outputs.decode_results_chunk),
    Role.CLIENT,
    time_limit_ms=24 * _HOUR_MS,  # the channel notices a stream that stands still
)
unary(
    CONTROL_PLANE,
    GetTask,
    (tasks.encode_get_task, tasks.decode_get_task),
    (tasks.encode_assignments, tasks.decode_assignments),
    Role.WORKER,
    repeatable=False,  # each answer assigns anew
)
unary(
    CONTROL_PLANE,
    ReportTaskStatus,
    (tasks.encode_report, tasks.decode_report),
    (tasks.encode_report_reply, tasks.decode_report_reply),
    Role.WORKER,
    max_request_bytes=None,
)
unary(
    CONTROL_PLANE,
    RegisterQueryResults,
    (outputs.encode_results, outputs.decode_results),
    (outputs.encode_results_reply, outputs.decode_results_reply),
    Role.WORKER,
    max_request_bytes=None,
)
unary(
    SHUFFLE_SERVICE,
    RegisterMapOutput,
    (outputs.encode_map_output, outputs.decode_map_output),
    (outputs.encode_map_output_reply, outputs.decode_map_output_reply),
    Role.WORKER,
    max_request_bytes=None,
)
streaming(
    SHUFFLE_SERVICE,
    FetchShufflePartition,
    (shuffle.encode_fetch, shuffle.decode_fetch),
    (shuffle.encode_chunk, shuffle.decode_chunk),
    Role.WORKER,
    reply_type=shuffle.ChunkOnWire,
)
unary(
    HEARTBEAT_SERVICE,
    Heartbeat,
    (liveness.encode_heartbeat, liveness.decode_heartbeat),
    (liveness.encode_heartbeat_reply, liveness.decode_heartbeat_reply),
    Role.WORKER,
    max_request_bytes=None,
)
unary(
    SQL,
    PlanSql,
    (sql.encode_plan_sql, sql.decode_plan_sql),
    (sql.encode_sql_plan, sql.decode_sql_plan),
    Role.CLIENT,
    time_limit_ms=120_000,  # others may be planned before it
    max_request_bytes=MAX_SQL_BYTES + 16 * SMALL_REQUEST_BYTES,
)
streaming(
    SQL,
    RunQuery,
    (sql.encode_run_query, sql.decode_run_query),
    (inspection.encode_update, inspection.decode_update),
    Role.CLIENT,
    time_limit_ms=24 * _HOUR_MS,  # as that of WatchQuery
    max_request_bytes=None,
)
unary(
    SQL,
    ListTables,
    (sql.encode_list_tables, sql.decode_list_tables),
    (sql.encode_tables, sql.decode_tables),
    Role.CLIENT,
)
unary(
    INSPECTION,
    ListQueries,
    (inspection.encode_list_queries, inspection.decode_list_queries),
    (inspection.encode_queries, inspection.decode_queries),
    Role.CLIENT,
)
unary(
    INSPECTION,
    ListAttempts,
    (inspection.encode_list_attempts, inspection.decode_list_attempts),
    (inspection.encode_attempts, inspection.decode_attempts),
    Role.CLIENT,
)
unary(
    INSPECTION,
    ListWorkers,
    (inspection.encode_list_workers, inspection.decode_list_workers),
    (inspection.encode_workers, inspection.decode_workers),
    Role.CLIENT,
)
unary(
    INSPECTION,
    DrainWorker,
    (inspection.encode_drain, inspection.decode_drain),
    (inspection.encode_drain_reply, inspection.decode_drain_reply),
    Role.OPERATOR,
)
streaming(
    INSPECTION,
    WatchQuery,
    (inspection.encode_watch, inspection.decode_watch),
    (inspection.encode_update, inspection.decode_update),
    Role.CLIENT,
    time_limit_ms=24 * _HOUR_MS,  # its client notices a watch that has fallen silent
)
