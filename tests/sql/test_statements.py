"""COPY and INSERT taken apart: the query, and where its rows go."""

from __future__ import annotations

import pytest

from ffq.errors import InvalidQuery, StorageError, UnsupportedPlan
from ffq.plan.terms import FileFormat, WriteMode, WriteTarget
from ffq.sql.kinds import statement_kind
from ffq.sql.statements import CopyTo, InsertInto, Statement, read_statement

CREATE, APPEND, REPLACE = WriteMode.CREATE, WriteMode.APPEND, WriteMode.REPLACE
PARQUET, CSV = FileFormat.PARQUET, FileFormat.CSV


def read(sql: str, folder: str | None = None) -> Statement:
    return read_statement(sql, statement_kind(sql), folder=folder)


def copy(path: str, mode: WriteMode, single: bool, kind: FileFormat, *more: object) -> CopyTo:
    partition_by, options = (*more, (), ())[:2] if more else ((), ())
    return CopyTo(WriteTarget(path, mode, single), kind, partition_by, options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sql", "query", "write"),
    [
        ("SELECT 1", "SELECT 1", None),
        ("FROM t -- COPY", "FROM t -- COPY", None),
        ("COPY (SELECT 1) TO '/o.parquet'", "SELECT 1", copy("/o.parquet", CREATE, True, PARQUET)),
        (
            "copy (select ')' as x -- )\nfrom t) to '/it''s' (format parquet, overwrite);",
            "select ')' as x -- )\nfrom t",
            copy("/it's", REPLACE, False, PARQUET),
        ),
        (
            "COPY (FROM t) TO '/o' WITH (FORMAT 'csv', HEADER, DELIMITER '|', APPEND true)",
            "FROM t",
            copy("/o", APPEND, False, CSV, (), (("delimiter", "|"), ("header", "true"))),
        ),
        (
            "COPY t TO 'o.parquet' (PARTITION_BY (a, \"b c\"), COMPRESSION zstd)",
            "SELECT * FROM t",
            copy(
                "/here/o.parquet", CREATE, False, PARQUET, ("a", "b c"), (("compression", "zstd"),)
            ),
        ),
        (
            "COPY t TO 's3://b/o/' (FORMAT csv)",
            "SELECT * FROM t",
            copy("s3://b/o", CREATE, False, CSV),
        ),
        (
            "COPY t TO 'file:///a%20b/o.csv'",
            "SELECT * FROM t",
            copy("/a b/o.csv", CREATE, True, CSV),
        ),
        ("COPY t (a, b) TO '/o.csv'", 'SELECT "a", "b" FROM t', copy("/o.csv", CREATE, True, CSV)),
        (
            "COPY t TO '/x.parquet' (PER_THREAD_OUTPUT)",
            "SELECT * FROM t",
            copy("/x.parquet", CREATE, False, PARQUET),
        ),
        ("INSERT INTO t SELECT 1;", "SELECT 1", InsertInto("t", None, False)),
        (
            "insert into \"T x\" (a, b) values (1, 'ü')",
            "values (1, 'ü')",
            InsertInto("T x", ("a", "b"), False),
        ),
        ("INSERT INTO t BY NAME (FROM u)", "(FROM u)", InsertInto("t", None, True)),
        ("INSERT INTO t (SELECT 1)", "(SELECT 1)", InsertInto("t", None, False)),
        ("/* é */ INSERT INTO t FROM u", "FROM u", InsertInto("t", None, False)),
    ],
)
def test_what_is_planned_and_where_it_goes(
    sql: str, query: str, write: CopyTo | InsertInto | None
) -> None:
    found = read(sql, "/here")
    assert Statement(found.query.strip(), found.write) == Statement(query, write)


def test_a_query_keeps_its_place_in_the_text() -> None:
    sql = "INSERT INTO t\n  SELECT nope"
    assert read(sql).query.index("SELECT") == sql.index("SELECT")


@pytest.mark.parametrize(
    ("sql", "kind", "says"),
    [
        ("COPY (SELECT 1) TO 'o.parquet'", InvalidQuery, "right would be an absolute path"),
        ("COPY (SELECT 1) TO '/o'", InvalidQuery, "the format is missing"),
        ("COPY (SELECT 1) TO '/o' (FORMAT xlsx)", UnsupportedPlan, "format 'xlsx' is not written"),
        ("COPY (SELECT 1) TO 'memory://b/o.csv'", UnsupportedPlan, "process would not find it"),
        ("COPY (SELECT 1) TO 'https://b/o.csv'", UnsupportedPlan, "or one of gcs://, gs://, s3"),
        ("COPY (SELECT 1) TO 's3://b/*.csv'", UnsupportedPlan, "a name without"),
        ("COPY (SELECT 1) TO 's3://k:s@b/o.csv'", StorageError, "a s3:// URI holds credentials"),
        ("COPY (SELECT 1) TO 'S3://b/o.csv'", StorageError, "is no URI of a store"),
        ("COPY (SELECT 1) TO 'file://host/o.csv'", InvalidQuery, "would be file:///path"),
        ("COPY t FROM '/o.csv'", UnsupportedPlan, "COPY ... FROM"),
        ("COPY (SELECT 1) TO '/o.csv' (NOPE 1)", UnsupportedPlan, "option 'nope'; known: "),
        ("COPY (SELECT 1) TO '/o.csv' (OVERWRITE maybe)", InvalidQuery, "OVERWRITE is 'maybe'"),
        ("COPY (SELECT 1) TO '/o' (FORMAT csv, APPEND, OVERWRITE)", InvalidQuery, "one of them"),
        ("COPY (SELECT 1) TO '/o.csv' (APPEND)", UnsupportedPlan, "APPEND adds files to a folder"),
        ("COPY (SELECT 1) TO o", InvalidQuery, "line 1, column 20: .*a path in quotes"),
        ("COPY (SELECT 1) TO '/o.csv'; SELECT 2", InvalidQuery, "the text has 2 statements"),
        ("CREATE TABLE t AS SELECT 1", UnsupportedPlan, "CREATE: tables are files"),
        ("INSERT OR REPLACE INTO t SELECT 1", UnsupportedPlan, "INSERT OR"),
        ("INSERT INTO s.t SELECT 1", InvalidQuery, "line 1, column 14: .* bare name of a table"),
        ("WITH a AS (SELECT 1) INSERT INTO t FROM a", InvalidQuery, "INSERT INTO t WITH"),
        ("INSERT INTO t DEFAULT VALUES", UnsupportedPlan, "DEFAULT VALUES"),
    ],
)
def test_what_is_refused(sql: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        read(sql)


def test_a_coordinator_may_write_to_no_path_that_a_query_names() -> None:
    sql = "COPY (SELECT 1) TO '/o.csv'"
    with pytest.raises(InvalidQuery, match="writes no files that a query names"):
        read_statement(sql, statement_kind(sql), folder="/", paths=False)
