"""Sessions: one embedded cluster of real processes, and sessions of other kinds over it."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio

import ffq
from ffq import plan as p
from ffq.client.session.relations import Relation
from ffq.errors import CallerError
from ffq.messages import QueryState

ROWS = 1_000
# Nobody has it: the query waits until somebody ends it.
ENDLESS = p.scan("t", ["k"]).custom("session.nobody")


@ffq.operator("session.negate", output_schema={"v": "BIGINT"})
def negate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.record_batch({"v": pa.array([-each for each in batch["v"].to_pylist()], "int64")})


@ffq.operator("session.scale")
def scale(batches: Iterator[pa.RecordBatch], by: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values = [each * by for each in batch["v"].to_pylist()]
        yield pa.record_batch({"v": pa.array(values, "int64")})


@ffq.operator("session.breaks", output_schema={"v": "BIGINT"})
def breaks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    raise ValueError("on purpose")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tables")
    for number in range(2):
        values = list(range(number, ROWS, 2))
        table = pa.table({"k": [value % 3 for value in values], "v": values})
        pq.write_table(table, made / f"{number}.parquet")
    return made


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[ffq.Session]:
    with ffq.connect(workers=1) as opened:
        opened.register("t", folder)
        yield opened


def test_what_a_session_tells_of_its_tables_and_queries(session: ffq.Session) -> None:
    described = session.sql("DESCRIBE t").collect().to_pylist()
    assert [(row["column_name"], row["column_type"]) for row in described] == [
        ("k", "BIGINT"),
        ("v", "BIGINT"),
    ]
    assert {"name": "t"} in session.sql("SHOW TABLES").collect().to_pylist()
    summary = session.sql("SUMMARIZE t").collect().to_pylist()
    assert [(row["min"], row["max"], row["count"]) for row in summary] == [
        ("0", "2", ROWS),
        ("0", str(ROWS - 1), ROWS),
    ]
    explained = session.sql("EXPLAIN FROM t").collect().to_pylist()
    assert [row["explain_key"] for row in explained] == ["logical_plan", "physical_plan"]


def test_a_pivot_takes_its_columns_from_the_data(session: ffq.Session) -> None:
    pivot = session.sql("PIVOT (SELECT k, v % 2 AS odd FROM t) ON k USING count(*)")
    rows = pivot.sort("odd").collect().to_pylist()
    assert rows == [
        {"odd": 0, "0": 167, "1": 166, "2": 167},
        {"odd": 1, "0": 167, "1": 167, "2": 166},
    ]


@pytest.fixture
def endpoint(session: ffq.Session) -> str:
    return session.endpoint


def test_sql_and_relations_mean_the_same(session: ffq.Session) -> None:
    by_sql = session.sql(
        "SELECT k, sum(v) AS total, count(*) AS n FROM t WHERE v > 10 GROUP BY k ORDER BY k"
    )
    built = (
        session.table("T")
        .filter(ffq.col("v") > 10)
        .group_by("k")
        .agg(total=ffq.col("v").sum(), n=ffq.count())
        .sort("k")
    )
    expected = [
        {"k": k, "total": sum(vs), "n": len(vs)}
        for k in range(3)
        if (vs := [v for v in range(11, ROWS) if v % 3 == k])
    ]
    assert by_sql.collect().to_pylist() == built.collect().to_pylist() == expected
    assert by_sql.collect_schema() == built.collect_schema()
    assert built.columns == ["k", "total", "n"]


def test_a_query_with_parameters_is_a_relation_like_any_other(session: ffq.Session) -> None:
    text = "SELECT v + $more AS w FROM t WHERE v < $most -- few"
    named = session.sql(text, {"more": 7, "most": 3})
    assert sorted(named.collect()["w"].to_pylist()) == [7, 8, 9]
    placed = session.sql("SELECT ?::VARCHAR AS x", ["it's $1"])
    both = named.join(placed, how="cross").filter("w > 8").select("w", "x")
    assert both.collect().to_pylist() == [{"w": 9, "x": "it's $1"}]


def test_batches_come_one_by_one(session: ffq.Session) -> None:
    rows = session.sql("SELECT v FROM t")
    stream = rows.stream()
    assert stream.schema.names == ["v"]
    assert sorted(v for batch in stream for v in batch["v"].to_pylist()) == list(range(ROWS))
    empty = rows.filter("v < 0").stream()
    assert pa.Table.from_batches(empty, empty.schema).num_rows == 0


def test_a_stream_that_is_closed_early_ends(session: ffq.Session) -> None:
    stream = session.sql("SELECT v FROM t").stream()
    next(stream)
    stream.close()
    with pytest.raises(ffq.Unavailable, match="was closed"):
        for _ in stream:
            pass


def test_a_stream_raises_what_its_query_failed_with(session: ffq.Session) -> None:
    with pytest.raises(ffq.QueryFailed, match="Could not convert"):
        list(session.sql("SELECT CAST('x' || v AS INTEGER) AS n FROM t").stream())
    with pytest.raises(CallerError, match="no such table: 'tt': did you mean 't'"):
        session.sql("SELECT * FROM tt").stream().schema  # noqa: B018


def test_whatever_takes_arrow_streams_takes_a_relation(session: ffq.Session) -> None:
    relation = session.table("t").filter("v < 4").select("v")
    assert sorted(pa.table(relation)["v"].to_pylist()) == [0, 1, 2, 3]
    with duckdb.connect() as engine:
        assert engine.execute("SELECT sum(v) FROM relation").fetchall() == [(6,)]


def test_data_of_the_program_becomes_a_table(session: ffq.Session) -> None:
    table = pa.table({"a": [1, None, 3], "day": pa.array([0, 1, None], pa.date32())})
    batches = table.to_batches()
    for what in (table, batches[0], table.to_reader(), {"a": [1, None, 3]}, [{"a": 1}, {"a": 5}]):
        session.register("data", what)
        assert session.sql("SELECT max(a) AS m FROM data").collect()["m"].to_pylist()[0] in {3, 5}
    session.register("DATA", session.sql("SELECT 9 AS a"))  # by its stream, as those of others
    assert session.table("data").collect().to_pylist() == [{"a": 9}]
    assert session.tables() == ("t", "DATA")
    session.unregister("data")
    assert session.tables() == ("t",)
    with pytest.raises(CallerError, match="no table 'data'"):
        session.unregister("data")


def test_a_query_is_one_call_unless_an_operator_may_need_a_worker_first(
    session: ffq.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = session._core()
    asked: list[str] = []
    ask, stream = core._coordinator.ask, core._coordinator.stream

    async def noted_ask(message: Any) -> Any:
        asked.append(type(message).__name__)
        return await ask(message)

    def noted_stream(message: Any) -> Any:
        asked.append(type(message).__name__)
        return stream(message)

    monkeypatch.setattr(core._coordinator, "ask", noted_ask)
    monkeypatch.setattr(core._coordinator, "stream", noted_stream)
    assert session.sql("SELECT count(*) AS n FROM t").collect().to_pylist() == [{"n": ROWS}]
    plan = p.scan("t", ["k"]).aggregate([], [p.count().alias("n")])
    for whole in (plan, plan.custom("session.negate")):
        with suppress(ffq.CallerError, ffq.QueryFailed):  # no plan brings the session's tables
            session._thread.call(core.run, whole)
    assert asked[:2] == ["RunQuery", "RunQuery"]
    assert "RunQuery" not in asked[2:]
    asked.clear()
    session.sql("SELECT v FROM op('session.negate', (SELECT v FROM t))").collect()
    assert "RunQuery" not in asked
    assert asked[0] == "PlanSql"
    assert {"ListWorkers", "SubmitQuery", "WatchQuery"} <= set(asked)


def test_operators_of_this_process_have_a_worker_of_their_own(session: ffq.Session) -> None:
    rows = session.sql("SELECT v FROM t WHERE v < $most -- few", {"most": 3})
    negated = rows.map_batches("session.negate").with_columns(w=ffq.col("v") * 2).sort("v")
    assert negated.collect().to_pylist() == [{"v": -v, "w": -2 * v} for v in (2, 1, 0)]
    scaled = negated.map_batches("session.scale", by=10, returns={"v": "BIGINT"}, whole=True)
    assert sorted(scaled.collect()["v"].to_pylist()) == [-20, -10, 0]
    with pytest.raises(CallerError, match="did you mean 'session.negate'"):
        rows.map_batches("session.negat", returns={"v": "BIGINT"}).collect()
    with pytest.raises(CallerError, match=r"op\('session.negat'\).* mean 'session.negate'"):
        rows.map_batches("session.negat").collect()


def test_data_frames_go_in_and_come_out(
    session: ffq.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": [1, None, 3], "s": ["x", None, "z"]})
    for name in ("pandas", "polars"):
        library = importlib.import_module(name)
        frame = table.to_pandas() if name == "pandas" else library.from_arrow(table)
        session.register("frame", frame)
        relation = session.table("frame").filter("s = 'z'")
        found = getattr(relation, f"to_{name}")()
        assert isinstance(found, library.DataFrame)
        assert found["a"].to_list() == [3]
        assert len(library.DataFrame(relation) if name == "polars" else found) == 1
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ffq.StartupError, match=f"{name} is not installed: pip install"):
            getattr(relation, f"to_{name}")()
        session.unregister("frame")


def test_types_of_columns_are_given_where_files_are_read(
    session: ffq.Session, tmp_path: Path
) -> None:
    (tmp_path / "zip.csv").write_text("zip\n01234\n")
    rows = session.read_csv(tmp_path / "zip.csv", types={"zip": "VARCHAR"}).filter("zip <> ''")
    assert rows.collect().to_pylist() == [{"zip": "01234"}]
    (tmp_path / "zip.json").write_text('{"zip": 1234}\n')
    read = session.read_json(tmp_path / "zip.json", types={"zip": "VARCHAR"})
    assert read.collect().to_pylist() == [{"zip": "1234"}]


def test_a_table_that_cannot_be_is_refused_and_hurts_no_query(
    session: ffq.Session, tmp_path: Path
) -> None:
    with pytest.raises(CallerError, match="'delimeter' .did you mean 'delimiter'"):
        session.register("z", tmp_path / "zip.csv", delimeter=";")
    assert session.tables() == ("t",)
    session.register("gone", tmp_path / "gone.csv")
    assert session.sql("SELECT count(*) AS n FROM t").collect().to_pylist() == [{"n": ROWS}]
    session.unregister("gone")


def test_files_are_relations_of_their_own(session: ffq.Session, folder: Path) -> None:
    one = session.read_parquet(folder / "0.parquet")
    other = session.read_parquet([str(folder / "1.*")])
    assert one.union(other).agg(n=ffq.count()).collect().to_pylist() == [{"n": ROWS}]


def test_rows_are_written_by_the_workers(session: ffq.Session, tmp_path: Path) -> None:
    few = session.table("t").filter("v < 6").with_columns(ffq.lit("it's").alias('a "b"'))
    out = tmp_path / "it's"
    assert few.write_parquet(out, partition_by=["k", 'a "b"'], compression="zstd") == 6
    assert len(list(out.rglob("*.parquet"))) >= 3
    with pytest.raises(ffq.QueryFailed, match="it exists already"):
        few.write_parquet(out)
    assert few.write_parquet(out, partition_by=["k", 'a "b"'], mode="append") == 6
    written = session.read_parquet(out).select("v", 'a "b"').sort("v").collect().to_pylist()
    assert written == [{"v": v, 'a "b"': "it's"} for v in range(6) for _ in range(2)]
    assert few.write_parquet(out, mode="replace") == 6
    assert session.read_parquet(out).collect().num_rows == 6

    one = tmp_path / "one.csv"
    query = session.sql("SELECT v FROM t WHERE v < ? ORDER BY v DESC; -- few", [3])
    assert query.write_csv(one, header=False) == 3
    assert one.read_text() == "2\n1\n0\n"
    assert query.write_json(tmp_path / "one.json") == 3
    assert (tmp_path / "one.json").read_text() == '{"v":2}\n{"v":1}\n{"v":0}\n'


def test_statements_that_write_run_when_they_are_collected(
    session: ffq.Session, tmp_path: Path
) -> None:
    copy = session.sql(
        f"COPY (SELECT v FROM t WHERE v = $v) TO '{tmp_path}/d' (FORMAT parquet)", {"v": 7}
    )
    assert copy.collect_schema() == {"Count": "BIGINT"}
    for wrong in (copy.show, copy.filter("v = 7").collect):
        with pytest.raises(ffq.InvalidPlan, match=r"COPY writes rows .* right would be collect"):
            wrong()
    with pytest.raises(ffq.InvalidPlan, match="COPY writes rows"):
        copy.write_parquet(tmp_path / "e")
    assert not any(tmp_path.iterdir())
    assert copy.collect().to_pylist() == [{"Count": 1}]
    session.register("d", tmp_path / "d")
    insert = session.sql("INSERT INTO d SELECT v FROM t WHERE v < 2")
    assert insert.collect().to_pylist() == [{"Count": 2}]
    assert sorted(session.table("d").collect()["v"].to_pylist()) == [0, 1, 7]
    session.unregister("d")


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "name": (lambda s: s.register("", "x"), "table ''"),
    "name of a kind": (lambda s: s.register(3, "x"), "a table's name is a int"),
    "no rows": (lambda s: s.register("x", 3), "table 'x': .* of type int has no rows"),
    "no columns": (lambda s: s.register("x", pa.table({})), "its columns are none"),
    "same columns": (
        lambda s: s.register("x", pa.table([[1], [2]], names=["a", "A"])),
        "each name once",
    ),
    "empty list": (lambda s: s.register("x", []), r"table 'x': \[\] says no place"),
    "format": (lambda s: s.register("x", "x.p", format="xls"), "unknown format 'xls'"),
    "format of data": (lambda s: s.register("x", {"a": [1]}, format="csv"), "are of files"),
    "mixed": (lambda s: s.register("x", ["a.csv", "b.parquet"]), "csv and parquet"),
    "uneven": (lambda s: s.register("x", {"a": [1], "b": []}), "that Arrow cannot hold"),
    "text": (lambda s: s.sql(3), "sql: a int"),
    "parameters": (lambda s: s.sql("SELECT 1", 3), "parameters: a int"),
    "no value": (lambda s: s.sql("SELECT $a").collect(), r"\$a has no value"),
    "syntax": (lambda s: s.sql("SELEC 1").collect(), "line 1, column 1"),
    "column": (lambda s: s.table("t").select("vv").collect(), "no column 'vv'; did you mean 'v'"),
    "timeouts": (lambda s: s.table("t").collect(timeouts=3), "timeouts: 3"),
    "rows": (lambda s: s.table("t").show(-1), "limit: rows=-1"),
    "mode": (lambda s: s.table("t").write_csv("x", mode="overwrite"), "one of create, append"),
    "option": (lambda s: s.table("t").write_csv("x", force_quote=["a"]), "write_csv: force_quote="),
    "option of copy": (lambda s: s.table("t").write_csv("x", append=True), "'append' is no option"),
    "option of csv": (lambda s: s.table("t").write_parquet("x", header=True), "option 'header'"),
    "partitions": (lambda s: s.table("t").write_csv("x", partition_by=3), "partition_by=3"),
    "no path": (lambda s: s.table("t").write_json(3), "write_json: 3 is no path"),
    "store": (
        lambda s: s.table("t").write_json("memory://b/k.json"),
        "another process would not find it there; right would be a path that all workers share",
    ),
    "function": (lambda s: s.table("t").map_batches(scale), "right would be the text that it is"),
    "operator": (lambda s: s._thread.call(s._core().run, ENDLESS), "no worker of this session has"),
}  # fmt: skip


@pytest.mark.parametrize(("use", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_by_name(
    session: ffq.Session, use: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(CallerError, match=message):
        use(session)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda s: s.table("t").filter("v > 5 AND"), "^syntax error"),
        (lambda s: s.table("t").agg(n=ffq.lit("a").sum()), "^Could not choose a best candidate"),
        (lambda s: s.sql("SELECT v FROM t").map_batches("session.scale", by=1), r"^op\("),
        (lambda s: s.sql("SELECT v,\nw FROM t").filter("v > 5"), "^line 2, column 1: .*w"),
    ],
)
def test_errors_name_no_place_in_a_text_that_nobody_wrote(
    session: ffq.Session, of: Callable[[ffq.Session], Any], message: str
) -> None:
    with pytest.raises(CallerError, match=message):
        of(session).collect()


def _chain(session: ffq.Session, wrong: Callable[[Relation], Relation]) -> Relation:
    before = session.table("t").filter("v > 0").filter("v > 0").filter("v > 0")
    return wrong(before).filter("v > 0").sort("v").limit(3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda r: r.filter("v > "), r"^step 5 of 8, filter\('v > '\): syntax error"),
        (lambda r: r.filter("v > ? OR"), r"^step 5 of 8, filter"),
        (lambda r: r.with_columns(w=ffq.col("u") + 1), "^step 5 of 8, with_columns: no column 'u'"),
        (lambda r: r.map_batches("session.none"), r"^step 5 of 8, map_batches: op\('session.none'"),
        (lambda r: r.join(r.filter("none(v)"), "v"), r"^step 5 of 9, filter\('none\(v\)'\): "),
        (
            lambda r: r.join(r.limit(1), "v", how="left").select("v", "x"),
            "^step 7 of 10, select: no",
        ),
    ],
)
def test_of_a_chain_of_steps_the_error_names_the_one_that_is_wrong(
    session: ffq.Session, wrong: Callable[[Relation], Relation], message: str
) -> None:
    with pytest.raises(CallerError, match=message):
        _chain(session, wrong).collect()
    with pytest.raises(CallerError, match=message):
        _chain(session, wrong).write_parquet("never")


def test_a_failed_query_is_raised_and_not_printed(
    session: ffq.Session, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a program that has none
    rows = session.sql("SELECT 1 AS v").map_batches("session.breaks")
    with pytest.raises(ffq.QueryFailed, match="on purpose"):
        rows.collect()
    assert capfd.readouterr().err == ""


def test_what_is_shown_is_text_and_bounded(
    session: ffq.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = session.sql("SELECT '<script>\x1b[31m' AS \"<b>\", v FROM t ORDER BY v")
    nasty.show(2)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 5
    assert "\x1b" not in shown
    assert "the first 2 rows; there are more" in shown
    page = nasty._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 21
    assert "no such table" in session.table("<i>")._repr_html_()
    assert "<i>" not in session.table("<i>")._repr_html_()
    assert "not run" in repr(nasty)


def test_a_plan_is_explained_by_its_stages(session: ffq.Session) -> None:
    text = session.table("t").group_by("k").agg(ffq.count()).explain()
    assert "Scan t" in text
    assert "shuffled by hash of k" in text


def test_progress_is_told_and_its_errors_cancel(session: ffq.Session) -> None:
    seen: list[ffq.QueryStatus] = []
    session.sql("SELECT count(*) FROM t").collect(progress=seen.append)
    assert seen[-1].state is QueryState.SUCCEEDED

    def fail(_status: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        session.sql("SELECT count(*) FROM t").collect(progress=fail)


def test_threads_share_a_session(session: ffq.Session) -> None:
    found: list[int] = []

    def use(number: int) -> None:
        rows = session.sql("SELECT ? + count(*) AS n FROM t", [number]).collect()
        found.append(rows["n"][0].as_py())

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [ROWS + number for number in range(6)]


def test_a_session_over_a_coordinator_brings_its_tables(endpoint: str, folder: Path) -> None:
    with ffq.connect(endpoint) as other:
        other.register("mine", folder)
        assert other.table("mine").agg(n=ffq.count()).collect().to_pylist() == [{"n": ROWS}]
        with pytest.raises(CallerError, match="no such table: 't'"):
            other.table("t").collect()


def test_data_of_the_program_goes_with_its_queries_to_a_coordinator(
    endpoint: str, folder: Path
) -> None:
    with ffq.connect(endpoint) as other:
        other.register("t", folder)
        other.register('the "names"', {"k": [0, 1, 2], "name": ["none", None, "two"]})
        named = other.table("t").join(other.table('The "NAMES"'), "k", how="left")
        found = named.group_by("name").agg(n=ffq.count()).sort("n", "name", descending=True)
        counted = [(row["name"], row["n"]) for row in found.collect().to_pylist()]
        assert counted == [("none", 334), ("two", 333), (None, 333)]
        assert re.search(r'Inline the "names"  columns k, name  \(3 rows, \d+ B\)', named.explain())
        by_name = 'SELECT max(length(name)) AS n FROM "the ""names""" WHERE k < ?'
        assert other.sql(by_name, [2]).collect().to_pylist() == [{"n": 4}]
        for name in ("pandas", "polars"):
            library = importlib.import_module(name)
            other.register("t", library.DataFrame({"k": [1, 2], "s": ["x", None]}))
            assert other.table("t").filter("s IS NULL").collect().to_pylist() == [
                {"k": 2, "s": None}
            ]
        other.unregister("t")
        assert other.tables() == ('the "names"',)


def test_how_much_data_goes_with_a_query_is_bounded(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffq.client.session.inline._COUNTED_BYTES", 3_000_000)
    noise = [os.urandom(1024) for _ in range(2048)]
    with ffq.connect(endpoint) as other:
        with pytest.raises(
            CallerError,
            match=r"table 'big' has 2,1\d\d,\d{3} bytes as Parquet; .* may have 2,097,152; "
            "right would be a Parquet file that the workers can read, registered by its path",
        ):
            other.register("big", {"noise": noise})
        endless = itertools.repeat(pa.record_batch({"noise": noise}))
        reader = pa.RecordBatchReader.from_batches(pa.schema({"noise": pa.binary()}), endless)
        with pytest.raises(CallerError, match="has more than 3,000,000 bytes as Parquet"):
            other.register("endless", reader)
        assert other.tables() == ()
        for name, count in (("one", 2000), ("two", 100)):
            other.register(name, {"noise": noise[:count]})
        # It counts what a query reads, once however often.
        counted = other.sql("SELECT count(*) AS n FROM one a JOIN one b USING (noise)")
        assert counted.collect().to_pylist() == [{"n": 2000}]
        with pytest.raises(CallerError, match=r"have 2,\d{3},\d{3} bytes .*'one' .*, 'two' "):
            other.sql("SELECT count(*) FROM one, two").collect()
        shown = other.sql("SHOW TABLES").collect().to_pylist()
        assert shown == [{"name": "one"}, {"name": "two"}]


async def use_asynchronously(session: Any, folder: Path, tmp_path: Path) -> None:
    await session.register("u", folder)
    assert await session.tables() == ("u",)
    relation = session.table("u").filter("v < 4").select("v")
    assert sorted((await relation.collect())["v"].to_pylist()) == [0, 1, 2, 3]
    assert await relation.collect_schema() == {"v": "BIGINT"}
    assert "Scan u" in await relation.explain()
    found = []
    async with relation.stream() as batches:
        assert (await batches.schema()).names == ["v"]
        async for batch in batches:
            found += batch["v"].to_pylist()
    assert sorted(found) == [0, 1, 2, 3]
    await session.register("few", {"v": [3, 3, 7000]})
    joined = await session.table("u").join(session.table("few"), "v").collect()
    assert joined["v"].to_pylist() == [3, 3]
    await session.unregister("few")
    with pytest.raises(CallerError, match="no such table"):
        await session.sql("SELECT * FROM nowhere").collect()
    assert await relation.write_csv(tmp_path / "u.csv") == 4
    await session.unregister("u")


def test_asyncio_has_its_twin(endpoint: str, folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with ffq.aio.connect(endpoint) as session:
            await use_asynchronously(session, folder, tmp_path)
            both = [session.sql(f"SELECT {n} AS n").collect() for n in range(2)]
            assert [t["n"][0].as_py() for t in await asyncio.gather(*both)] == [0, 1]

    asyncio.run(main())


async def test_trio_has_its_twin_which_is_a_client_too(
    endpoint: str, folder: Path, tmp_path: Path
) -> None:
    async with ffq.connect(endpoint) as session:
        await use_asynchronously(session, folder, tmp_path)
        assert len(await session.workers()) >= 1


async def last_state(client: ffq.Client) -> QueryState | None:
    found = await client.queries(1)
    return found[0].state if found else None


def test_a_task_of_asyncio_that_is_cancelled_cancels_its_query(endpoint: str, folder: Path) -> None:
    async def main() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(_status: object) -> None:
            loop.call_soon_threadsafe(begun.set)

        async with ffq.aio.connect(endpoint) as session:
            await session.register("t", folder)
            task = asyncio.create_task(session.sql(SLOW).collect(progress=progress))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    with ffq.SyncClient(endpoint) as client:
        while (state := client.queries(1)[0].state) is QueryState.RUNNING:
            pass
    assert state is QueryState.CANCELED


SLOW = (
    "SELECT count(*) AS n FROM t a, t b, t c, t d, t e, t f "
    "WHERE hash(a.v * b.v + c.v * d.v + e.v * f.v) = 8"
)
"""It never ends by itself: no statistics say anything of a hash."""


def test_a_session_that_was_closed_says_so(endpoint: str) -> None:
    session = ffq.connect(endpoint)
    relation = session.sql("SELECT 1")
    assert relation.collect().num_rows == 1  # it opens when it is used
    session.close()
    session.close()
    with pytest.raises(ffq.Unavailable, match="it was closed; make another one"):
        relation.collect()


async def test_a_blocking_call_in_trio_is_refused(session: ffq.Session) -> None:
    with pytest.raises(CallerError, match=r"async with ffq\.connect\(\)"):
        session.sql("SELECT 1").collect()
    rows = await trio.to_thread.run_sync(session.sql("SELECT 1 AS a").collect)
    assert rows.num_rows == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": 1.5}, "workers=1.5"),
        ({"slots": True}, "slots=True"),
        ({"operators": 3}, "operators=3"),
        ({"progress": "yes"}, "progress='yes'"),
        ({"endpoint": 3}, "endpoint=3"),
        ({"endpoint": "nowhere"}, "want host:port"),
        ({"endpoint": "h:1", "workers": 2}, "are of an embedded cluster"),
    ],
)
def test_what_connect_cannot_take_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        ffq.connect(**arguments)
