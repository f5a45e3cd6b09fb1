"""SQL: from a text to a plan."""

from __future__ import annotations

from ffq.errors import InvalidRequest
from ffq.ids import parse_query_id
from ffq.messages import ListTables, PlanSql, RunQuery, SqlColumn, SqlPlan, TableSize, Timeouts
from ffq.plan.inline import InlineTable
from ffq.proto import ffq_ext_pb2 as ext


def encode_plan_sql(request: PlanSql) -> ext.PlanSqlRequest:
    return ext.PlanSqlRequest(
        sql=request.sql,
        parameters_json=request.parameters_json,
        table_json=request.tables,
        folder=request.folder,
        partitions=request.partitions,
        inline=[ext.InlineTable(name=one.name, parquet=one.parquet) for one in request.inline],
    )


def decode_plan_sql(message: ext.PlanSqlRequest) -> PlanSql:
    return PlanSql(
        sql=message.sql,
        parameters_json=message.parameters_json,
        tables=tuple(message.table_json),
        folder=message.folder,
        partitions=message.partitions,
        inline=tuple(InlineTable(one.name, one.parquet) for one in message.inline),
    )


def encode_sql_plan(reply: SqlPlan) -> ext.PlanSqlResponse:
    return ext.PlanSqlResponse(
        physical_plan_json=reply.plan_bytes,
        columns=[ext.SqlColumn(name=one.name, type=one.type) for one in reply.columns],
        tables=reply.tables,
        sizes=[ext.TableSize(name=one.name, rows=one.rows, bytes=one.bytes) for one in reply.sizes],
        choices=reply.choices,
    )


def decode_sql_plan(message: ext.PlanSqlResponse) -> SqlPlan:
    return SqlPlan(
        plan_bytes=message.physical_plan_json,
        columns=tuple(SqlColumn(one.name, one.type) for one in message.columns),
        tables=tuple(message.tables),
        sizes=tuple(
            TableSize(one.name, one.rows if one.HasField("rows") else None, one.bytes)
            for one in message.sizes
        ),
        choices=tuple(message.choices),
    )


def encode_run_query(request: RunQuery) -> ext.RunQueryRequest:
    message = ext.RunQueryRequest(
        query_id=request.query_id,
        query_timeout_ms=request.timeouts.query_ms,
        task_timeout_ms=request.timeouts.task_ms,
    )
    if isinstance(request.work, PlanSql):
        message.sql.CopyFrom(encode_plan_sql(request.work))
    else:
        message.physical_plan_json = request.work
    return message


def decode_run_query(message: ext.RunQueryRequest) -> RunQuery:
    """Raises InvalidRequest: it has neither a plan nor a text."""
    work: PlanSql | bytes
    match message.WhichOneof("work"):
        case "sql":
            work = decode_plan_sql(message.sql)
        case "physical_plan_json":
            work = message.physical_plan_json
        case _:
            raise InvalidRequest("a RunQuery of nothing; right would be a plan, or SQL")
    timeouts = Timeouts(message.query_timeout_ms, message.task_timeout_ms)
    return RunQuery(parse_query_id(message.query_id), work, timeouts)


def encode_list_tables(_: ListTables) -> ext.ListTablesRequest:
    return ext.ListTablesRequest()


def decode_list_tables(_: ext.ListTablesRequest) -> ListTables:
    return ListTables()


def encode_tables(tables: tuple[str, ...]) -> ext.ListTablesResponse:
    return ext.ListTablesResponse(tables=tables)


def decode_tables(message: ext.ListTablesResponse) -> tuple[str, ...]:
    return tuple(message.tables)
