"""The text of a query: what it names, what it may not call, and where an error is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.errors import InvalidQuery
from ffq.sql.kinds import StatementKind, statement_kind
from ffq.sql.parsing import QueryParser
from ffq.sql.text import Edit, Edited, excerpt, query_error, tokens


@pytest.fixture(scope="module")
def parser() -> Iterator[QueryParser]:
    made = QueryParser()
    yield made
    made.close()


# --- tokens and edits ------------------------------------------------------------------------


def test_comments_texts_and_names_are_one_token_each() -> None:
    text = b"a -- 'x\n'it''s' /* \"b\" */ \"c\"\"d\" $q$ ' $q$ ("
    found = [(token.kind, token.value) for token in tokens(text, 0, len(text))]
    assert found == [
        ("word", "a"),
        ("text", "it's"),
        ("name", 'c"d'),
        ("dollar", "$q$ ' $q$"),
        ("sign", "("),
    ]


@given(st.data())
def test_a_place_in_the_edited_text_leads_back(data: st.DataObject) -> None:
    text = bytes(range(40))
    cuts = sorted(data.draw(st.lists(st.integers(0, 40), max_size=6, unique=True)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    edits = [Edit(a, b, data.draw(st.binary(max_size=8))) for a, b in pairs]
    edited = Edited.of(text, edits)
    spans = [(edit.start, edit.end) for edit in edits]
    for at, byte in enumerate(text):
        if not any(a <= at < b for a, b in spans):
            moved = at + sum(len(e.by) - (e.end - e.start) for e in edits if e.end <= at)
            assert edited.text[moved] == byte
            assert edited.original(moved) == at


def test_an_error_shows_its_line_and_a_caret() -> None:
    sql = "SELECT 'é',\n  nope FROM t"
    error = query_error("what", sql.encode(), sql.encode().index(b"nope"))
    assert (error.line, error.column) == (2, 3)
    assert error.message == "line 2, column 3: what"
    assert excerpt(sql, error).splitlines() == ["line 2:   nope FROM t", "          ^"]


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    sql = "x" * 5000 + "!" + "y" * 5000
    shown, caret = excerpt(sql, query_error("what", sql.encode(), 5000)).splitlines()
    assert len(shown) < 200
    assert shown[caret.index("^")] == "!"


# --- kinds of statements ---------------------------------------------------------------------

REFUSED = {
    "ATTACH 'x.db'": "ATTACH",
    "/* hm */ SET threads = 1": "SET",
    "PRAGMA database_list": "PRAGMA",
    "CALL pragma_version()": "CALL",
    "INSTALL httpfs": "INSTALL",
    "LOAD httpfs": "LOAD",
    "UPDATE t SET k = 1": "UPDATE",
    "DELETE FROM t": "DELETE",
    "DROP TABLE t": "DROP",
    "ALTER TABLE t ADD COLUMN x INT": "ALTER",
    "EXPORT DATABASE 'x'": "EXPORT",
    "BEGIN": "BEGIN",
    "VACUUM": "VACUUM",
    "USE x": "USE",
    "PREPARE q AS SELECT 1": "PREPARE",
    "EXECUTE q": "EXECUTE",
    "CHECKPOINT": "CHECKPOINT",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_no_query_is_refused_by_name(sql: str) -> None:
    with pytest.raises(InvalidQuery, match=rf"column \d+: {REFUSED[sql]} is no query"):
        statement_kind(sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "the text holds no query"),
        (" -- only this", "the text holds no query"),
        ("SELECT 1; ATTACH 'x'", "line 1, column 11: one query at a time: .* 2 statements"),
        ("SELECT 1;\n\nSELECT 2;", "line 3, column 1: one query at a time"),
        ("PIVOT t ON k USING sum(v)", "right would be a list of them"),
    ],
)
def test_a_text_holds_one_query(sql: str, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        statement_kind(sql)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1;", StatementKind.QUERY),
        ("FROM t", StatementKind.QUERY),
        ("WITH a AS (SELECT 1) FROM a", StatementKind.QUERY),
        ("VALUES (1)", StatementKind.QUERY),
        ("PIVOT t ON k IN (1, 2) USING sum(v)", StatementKind.QUERY),
        ("COPY (SELECT 1) TO 'x'", StatementKind.COPY),
        ("INSERT INTO t VALUES (1)", StatementKind.INSERT),
        ("CREATE TABLE t AS SELECT 1", StatementKind.CREATE),
        ("explain SELECT 1", StatementKind.EXPLAIN),
        ("SELEC 1", None),
        # The engine's own words about it are cut within a character.
        ("FROM x(['t.parquet'], hive_partitioning = true) AS w(a, ) SELECT a::INT ||b'é', 1", None),
    ],
)
def test_kinds(sql: str, kind: StatementKind | None) -> None:
    assert statement_kind(sql) is kind


# --- what it names ---------------------------------------------------------------------------


def test_tables_files_and_parameters_are_found_where_they_stand(parser: QueryParser) -> None:
    sql = (
        "SELECT 'a.parquet', $n1 FROM b : 'a.parquet', /* 'a.parquet' */ \"a.parquet\" t, "
        "read_csv('c.csv', delim := ';', header = true, nullstr = ['x', 'y']) "
        "WHERE é.k IN (SELECT k FROM T2 WHERE s = $name)"
    )
    found = parser.parse(sql)
    raw = sql.encode()
    assert [(one.name, one.aliased) for one in found.tables] == [
        ("a.parquet", True),
        ("a.parquet", True),
        ("T2", False),
    ]
    assert [one.token.raw for one in found.tables if one.token] == [
        b"'a.parquet'",
        b'"a.parquet"',
        b"T2",
    ]
    assert [one.token.start for one in found.tables if one.token] == [
        raw.index(b"'a.parquet',", 20),
        raw.index(b'"a.parquet"'),
        raw.index(b"T2"),
    ]
    (call,) = found.files
    assert raw[call.start : call.end].startswith(b"read_csv(")
    assert raw[call.start : call.end].endswith(b"'y'])")
    assert (call.paths, call.format) == (("c.csv",), "csv")
    assert dict(call.options) == {"delimiter": ";", "header": True, "nullstr": ["x", "y"]}
    assert [(one.name, raw[one.start : one.end]) for one in found.parameters] == [
        ("n1", b"$n1"),
        ("name", b"$name"),
    ]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'line 1, column 1: syntax error at or near "SELEC"'),
        ("SELECT 1\nFROM t\nWHERE ,", "line 3, column 7: syntax error"),
        ("SELECT current_setting('TimeZone')", "column 8: the function current_setting tells"),
        ("SELECT getvariable('x')", "getvariable"),
        ("SELECT nextval('x')", "nextval"),
        ("SELECT pg_sleep(1)", "pg_sleep"),
        ("FROM glob('*')", "column 6: the table function glob is not run; those that are: "),
        ("FROM duckdb_tables()", "duckdb_tables"),
        ("FROM duckdb_secrets()", "duckdb_secrets"),
        ("FROM query('SELECT 1')", "the table function query is not run"),
        ("FROM query_table('t')", "query_table"),
        ("FROM read_text('/etc/passwd')", "read_text"),
        ("FROM read_blob('/etc/passwd')", "read_blob"),
        ("FROM main.read_csv('x')", "read_csv is not run"),
        ("FROM information_schema.tables", "no such table: information_schema.tables"),
        ("FROM a.b.c", "no such table: a.b.c"),
        ("FROM read_csv(x)", "read_csv: its arguments are constants"),
        ("FROM read_csv('a' || 'b')", "read_csv: its arguments are constants"),
        ("FROM read_parquet(3)", "right would be a path in quotes"),
        ("FROM read_parquet()", "right would be a path in quotes"),
    ],
)
def test_what_a_query_may_not_call_is_refused_where_it_stands(
    parser: QueryParser, sql: str, message: str
) -> None:
    with pytest.raises(InvalidQuery, match=message):
        parser.parse(sql)
