"""ffq: an actor framework on Trio that embeds the FFQ distributed query protocol.

    import ffq
    from ffq import plan as p

    async with ffq.LocalCluster(workers=2, tables={"t": "data/*.parquet"}) as cluster:
        table = await cluster.run(p.scan("t", ["k"]).aggregate(["k"], [p.count().alias("n")]))

Names are imported when they are first used: `import ffq` alone loads neither gRPC nor DuckDB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ffq.errors import (
    AccessDenied,
    CallerError,
    DataError,
    DiskError,
    ExecutionError,
    FfqError,
    InvalidPlan,
    InvalidRequest,
    InvariantViolated,
    NotReady,
    OperatorError,
    OutOfMemory,
    PlanConflict,
    PlanningError,
    QueryCanceled,
    QueryFailed,
    QuotaExceeded,
    ShuffleInputError,
    StartupError,
    StorageError,
    Unavailable,
    UnknownId,
    UnsupportedPlan,
)
from ffq.lazily import importing

if TYPE_CHECKING:
    from ffq import aio
    from ffq.client import Client, LocalCluster, QueryHandle, Session, SyncClient, connect
    from ffq.engine import operator
    from ffq.messages import QueryState, QueryStatus, Timeouts
    from ffq.relation import (
        Expression,
        coalesce,
        col,
        concat,
        count,
        function,
        lit,
        rank,
        row_number,
        sql_expression,
        struct,
        when,
    )

__getattr__ = importing(
    __name__,
    {
        "aio": "ffq.aio",
        "Client": "ffq.client",
        "LocalCluster": "ffq.client",
        "QueryHandle": "ffq.client",
        "Session": "ffq.client",
        "SyncClient": "ffq.client",
        "connect": "ffq.client",
        "operator": "ffq.engine",
        "QueryState": "ffq.messages",
        "QueryStatus": "ffq.messages",
        "Timeouts": "ffq.messages",
        "Expression": "ffq.relation",
        "coalesce": "ffq.relation",
        "col": "ffq.relation",
        "concat": "ffq.relation",
        "count": "ffq.relation",
        "function": "ffq.relation",
        "lit": "ffq.relation",
        "rank": "ffq.relation",
        "row_number": "ffq.relation",
        "sql_expression": "ffq.relation",
        "struct": "ffq.relation",
        "when": "ffq.relation",
    },
)

__all__ = [
    # sessions, clients and clusters
    "connect",
    "Session",
    "aio",
    "Client",
    "QueryHandle",
    "SyncClient",
    "LocalCluster",
    "QueryState",
    "QueryStatus",
    "Timeouts",
    # expressions over the columns of a session's relations
    "Expression",
    "col",
    "lit",
    "when",
    "count",
    "coalesce",
    "concat",
    "struct",
    "row_number",
    "rank",
    "function",
    "sql_expression",
    # custom operators
    "operator",
    # errors
    "FfqError",
    "CallerError",
    "InvalidRequest",
    "InvalidPlan",
    "PlanningError",
    "UnsupportedPlan",
    "UnknownId",
    "PlanConflict",
    "AccessDenied",
    "NotReady",
    "QuotaExceeded",
    "ExecutionError",
    "DataError",
    "OperatorError",
    "OutOfMemory",
    "ShuffleInputError",
    "StorageError",
    "DiskError",
    "QueryFailed",
    "QueryCanceled",
    "Unavailable",
    "StartupError",
    "InvariantViolated",
]


def __dir__() -> list[str]:
    return sorted(__all__)
