"""CSV and JSON lines: what columns there are is decided once; values are kept, or refused."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pytest

from ffq.catalog import Catalog, Table, describe_table
from ffq.engine import Engine, FragmentSpec
from ffq.errors import DataError, FfqError, FileChanged, InvalidRequest, PlanningError, StorageError
from ffq.plan.model import ParquetScan
from ffq.plan.terms import DataType, Field, Schema
from tests.engine.runner import run_fragment

ONE_ROW = {"sample_rows": "1"}
SAMPLED = 4_000
"""Rows of a CSV file of which DuckDB looks at no more, where it is to look at one."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def write(folder: Path, name: str, *lines: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def table(*locations: str, **more: Any) -> Table:
    return Table("t", locations, **more)


def read(
    engine: Engine, of: Table, projection: tuple[str, ...] | None = None
) -> list[dict[str, object]]:
    """Each share by itself, as tasks read them, and held against what `describe_table` says."""
    catalog = Catalog.of([of])
    found = catalog.scan_shares("t", 1, 100)
    rows: list[dict[str, object]] = []
    kinds = set()
    for share in found.shares:
        formats = {} if found.format is None else {0: found.format}
        node = ParquetScan("t", None, projection, ())
        got = run_fragment(engine, FragmentSpec(node, {0: share}, formats=formats))
        kinds.add(tuple(zip(got.schema.names, map(str, got.schema.types), strict=True)))
        rows += got.to_pylist()
    assert len(kinds) == 1  # whatever files a task reads
    if projection is None:
        (kinds_,) = kinds
        assert [name for name, _ in kinds_] == [name for name, _ in catalog.describe("t").columns]
    return rows


def columns(of: Table) -> Mapping[str, str]:
    return dict(describe_table(of).columns)


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "lines", "number"),
    [
        ({"delimiter": ","}, ("id,v", "1,a", "2,b,c", "3,d"), 3),
        ({"delimiter": ";"}, ("id;v", "1;a", "2", "3;d"), 3),
        ({"skip": "1"}, ("exported, today, by us", "id,v", "1,a", "2,b,c"), 4),
        ({"comment": "#"}, ("id,v", "# 1,2,3", "1,a", "2,b,c"), 4),
    ],
)
def test_a_line_with_more_or_fewer_columns_is_named_whatever_else_is_said(
    tmp_path: Path, options: dict[str, str], lines: tuple[str, ...], number: int
) -> None:
    path = write(tmp_path, "t.csv", *lines)
    with pytest.raises(StorageError, match=rf"table 't'.*t\.csv, line {number}: it has"):
        describe_table(Table("t", (path,), options=options))


def test_csv_of_several_files_has_one_schema(engine: Engine, tmp_path: Path) -> None:
    """Each file alone would give other types, and a header that is only text tells itself not."""
    write(tmp_path, "a.csv", "n,day,word", "1,2024-01-31,x", '2,,"q,""r"')
    write(tmp_path, "b.csv.gz", "day,n,word", "2024-02-01,2.5,3")
    write(tmp_path, "c.csv", "n,day,word")
    write(tmp_path, "d.csv")
    assert columns(table(str(tmp_path))) == {"n": "DOUBLE", "day": "DATE", "word": "VARCHAR"}
    assert read(engine, table(str(tmp_path))) == [
        {"n": 1.0, "day": dt.date(2024, 1, 31), "word": "x"},
        {"n": 2.0, "day": None, "word": 'q,"r'},
        {"n": 2.5, "day": dt.date(2024, 2, 1), "word": "3"},
    ]


def test_zstd_and_tabs(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv.zst"
    duckdb.execute(f"COPY (SELECT 1 AS a, 'x,y' AS b) TO '{path}' (DELIMITER '\t', FORMAT csv)")
    packed = tmp_path / "u" / "t.tsv.zst"
    packed.parent.mkdir()
    duckdb.execute(
        f"COPY (SELECT 1 AS a, 'x,y' AS b) TO '{packed}' "
        f"(DELIMITER '\t', FORMAT csv, COMPRESSION zstd)"
    )
    assert read(engine, table(str(packed))) == [{"a": 1, "b": "x,y"}]


@pytest.mark.parametrize(
    ("first", "other", "complaint"),
    [
        ("5", "2.5", "2.5 in {path} is no BIGINT"),
        ("5", "1e-1", "1e-1 in {path} is no BIGINT"),
        ("5", "word", "word in {path} is no BIGINT"),
        ("5", "9223372036854775808", "9223372036854775808 in {path} is no BIGINT"),
        ("true", "1", "1 in {path} is no BOOLEAN"),
        ("2024-01-31", "2024-01-31 10:00:00", "2024-01-31 10:00:00 in {path} is no DATE"),
        ("2024-01-31", "2024-02-30", "2024-02-30 in {path} is no DATE"),
        ("2024-01-31 10:00:00", "2024-01-31 10:00:00+02", "10:00:00+02 in {path} is no TIMESTAMP"),
        ("2024-01-31 10:00:00", "2024-01-31 10:00:00.1234567", "is no TIMESTAMP"),
        ("1.5", "word", 'line 4002: Error when converting column "x"'),
    ],
)
def test_a_value_that_the_sample_did_not_show_is_kept_or_refused(
    engine: Engine, tmp_path: Path, first: str, other: str, complaint: str
) -> None:
    """DuckDB would make 3 of 2.5, and drop the time of a date, without a word."""
    path = write(tmp_path, "t.csv", "x,y", *[f"{first},1"] * SAMPLED, f"{other},1")
    with pytest.raises(DataError) as caught:
        read(engine, table(path, options=ONE_ROW))
    assert complaint.format(path=path) in caught.value.message
    assert "\n" not in caught.value.message
    assert len(read(engine, table(path, options=ONE_ROW), ("y",))) == SAMPLED + 1
    text = read(engine, table(path, types={"x": "VARCHAR"}))
    assert {row["x"] for row in text} == {first, other}


def test_options_say_how_a_file_is_written(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, "t.txt", "a note", "1|n/a|31/01/2024|1,5", "2|'x|y'|01/02/2024|2,25")
    options = {
        "delimiter": "|",
        "header": "false",
        "skip": "1",
        "quote": "'",
        "nullstr": "n/a",
        "dateformat": "%d/%m/%Y",
        "decimal_separator": ",",
    }
    fields = [("a", DataType("Int64")), ("b", DataType("Utf8")), ("c", DataType("Date32"))]
    schema = Schema(
        tuple(Field(name, kind) for name, kind in [*fields, ("d", DataType("Float64"))])
    )
    assert read(engine, table(path, format="csv", options=options, schema=schema)) == [
        {"a": 1, "b": None, "c": dt.date(2024, 1, 31), "d": 1.5},
        {"a": 2, "b": "x|y", "c": dt.date(2024, 2, 1), "d": 2.25},
    ]


def test_decimals_keep_their_digits(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "x,y", "12345678901234567890.12,1", "-0.5,1")
    of = table(path, types={"x": "DECIMAL(22,2)"})
    found = [row["x"] for row in read(engine, of)]
    assert found == [Decimal("12345678901234567890.12"), Decimal("-0.50")]
    write(tmp_path, "t.csv", "x,y", "1.234,1")
    with pytest.raises(DataError, match=r"1\.234 in .*t\.csv is no DECIMAL\(22,2\)"):
        read(engine, of)


def test_files_of_other_columns_are_named_or_united(engine: Engine, tmp_path: Path) -> None:
    one = write(tmp_path, "1.csv", "a,b", "1,2")
    other = write(tmp_path, "2.csv", "a,c", "3,4")
    with pytest.raises(StorageError) as caught:
        columns(table(one, other))
    assert f"table 't': {one} has the column 'b', {other} has not" in caught.value.message
    assert read(engine, table(one, other, options={"union_by_name": "true"})) == [
        {"a": 1, "b": 2, "c": None},
        {"a": 3, "b": None, "c": 4},
    ]


def test_a_file_beyond_the_sampled_ones_is_held_to_the_same_columns(
    engine: Engine, tmp_path: Path
) -> None:
    for at in range(40):
        write(tmp_path, f"{at:02}.csv", "a,b", "1,2")
    write(tmp_path, "90.csv", "b,a", "20,10")
    assert read(engine, table(str(tmp_path)))[-1] == {"a": 10, "b": 20}
    write(tmp_path, "91.csv", "a,z", "1,2")
    with pytest.raises(PlanningError, match=r"91\.csv has the column 'z', unlike the table"):
        read(engine, table(str(tmp_path)))


def test_folders_add_columns_to_text_files_too(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, "year=2023/t.csv", "a,b", "1,2")
    write(tmp_path, "year=2024/t.csv", "a,b", "3,4")
    assert read(engine, table(str(tmp_path))) == [
        {"a": 1, "b": 2, "year": 2023},
        {"a": 3, "b": 4, "year": 2024},
    ]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("t.csv", b"", "its files are empty, and no schema"),
        ("t.csv", b"a,b\n1,2\n3\n4,5\n", "t.csv, line 3: it has 1 column by the delimiter"),
        ("t.csv", b'a;b\n1;"2\n2"\n3;4;5\n', "t.csv, line 4: it has 3 columns by the"),
        ("t.csv", b'a,b\n1,2\n3,"x\n4,5\n', "t.csv, line 3: its quote is never closed"),
        ("t.csv", b"a,b\n\xff\xfe,2\n", "t.csv, line 2: Invalid unicode"),
        ("t.jsonl", b"", "its files are empty, and no schema"),
        ("t.jsonl", b'{"a": 1}\nnope\n', "t.jsonl, line 2: it is no JSON: Expecting value"),
        ("t.jsonl", b'{"a": 1}\n\n{"a": 2\n', "t.jsonl, line 3: it is no JSON"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "t.jsonl, line 2: it is JSON, and no object"),
        ("t.json", b'[\n{"a": 1},\nnope]\n', "t.json"),
        ("t.jsonl", b'{"a": 1}\n{"A": 2}\n', "the keys 'A', 'a' differ in case alone"),
        ("t.csv.gz", b"no gzip", "t.csv.gz"),
    ],
)
def test_files_that_are_none_are_named(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        columns(table(str(path)))
    assert "table 't': " in caught.value.message
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message


def test_a_ragged_line_behind_the_sample_is_named(engine: Engine, tmp_path: Path) -> None:
    lines = ["1,2"] * 30_000
    path = write(tmp_path, "t.csv", "a,b", *lines, "1,2,3")
    with pytest.raises(DataError, match=rf"{path}, line 30002: Expected Number of Columns: 2"):
        read(engine, table(path))


def test_a_wrong_delimiter_shows_in_the_names(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "a,b", "1,2")
    with pytest.raises(PlanningError, match="no column 'a'.* has a,b"):
        read(engine, table(path, options={"delimiter": ";"}), ("a",))


def test_a_text_file_written_anew_is_an_error(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "a,b", "1,2")
    found = Catalog.of([table(path)]).scan_shares("t", 1, 1)
    write(tmp_path, "t.csv", "a,b", "1,2", "3,4")
    assert found.format is not None
    spec = FragmentSpec(
        ParquetScan("t", None, None, ()), {0: found.shares[0]}, formats={0: found.format}
    )
    with pytest.raises(FileChanged, match=r"t\.csv' is another one"):
        run_fragment(engine, spec)


# --- JSON lines ------------------------------------------------------------------------------


def json_lines(folder: Path, *rows: object) -> str:
    return write(folder, "t.jsonl", *(json.dumps(row) for row in rows))


def test_json_lines_with_what_is_in_them(engine: Engine, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {
            "n": 2**62,
            "s": {"x": 1, "y": [{"z": "2024-01-31"}], "b": True},
            'k/~"': "ä",
            "at": "2024-01-31 10:00:00",
        },
        {"n": None, "s": {"x": None, "y": None}},
        {"s": None, "n": -1},
    ]
    path = json_lines(tmp_path, *rows)
    nothing = {'k/~"': None, "at": None}
    assert read(engine, table(path)) == [
        {
            "n": 2**62,
            "s": {"x": 1, "y": [{"z": dt.date(2024, 1, 31)}], "b": True},
            'k/~"': "ä",
            "at": dt.datetime(2024, 1, 31, 10),
        },
        {"n": None, "s": {"x": None, "y": None, "b": None}, **nothing},
        {"n": -1, "s": None, **nothing},
    ]


@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        (1, 2.5, "2.5 in {path} is no BIGINT"),
        (1, True, "true in {path} is no BIGINT"),
        (1, "word", '"word" in {path} is no BIGINT'),
        (True, 5, "5 in {path} is no BOOLEAN"),
        (1.5, "2.5", '"2.5" in {path} is no DOUBLE'),
        ({"x": 1}, {"x": 2.5}, "2.5 in {path} is no BIGINT"),
        ({"x": 1}, [1], "[1] in {path} is no STRUCT(x BIGINT)"),
        ([[1]], [[1, 2.5]], "2.5 in {path} is no BIGINT"),
        (["2024-01-31"], ["2024-01-31 10:00:00"], "2024-01-31 10:00:00 in {path} is no DATE"),
    ],
)
def test_a_json_value_that_the_sample_did_not_show_is_refused(
    engine: Engine, tmp_path: Path, first: object, other: object, said: str
) -> None:
    """DuckDB would make 2 of 2.5, and 1 of true, without a word."""
    path = json_lines(tmp_path, {"v": first, "w": 1}, {"v": other, "w": 1})
    with pytest.raises(DataError) as caught:
        read(engine, table(path, options=ONE_ROW))
    assert said.format(path=path) in caught.value.message
    assert "table 't', column 'v': " in caught.value.message


def test_a_line_behind_the_sample_that_is_no_json_is_named(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", *['{"a": 1}'] * 40_000, '{"a": ', *['{"a": 1}'] * 3)
    with pytest.raises(DataError, match=rf"{path}, line 40001: it is no JSON"):
        read(engine, table(path))


# --- the catalog file ------------------------------------------------------------------------


def load(folder: Path, entry: Mapping[str, object]) -> Catalog:
    (folder / "tables.json").write_text(json.dumps([{"name": "t", "uri": "t.csv", **entry}]))
    return Catalog.load(folder / "tables.json")


def test_a_catalog_file_says_formats_options_and_types(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, "t.csv", "a;b", "1;x")
    catalog = load(
        tmp_path,
        {"format": "CSV", "options": {"delim": ";", "header": True, "types": {"a": "int"}}},
    )
    assert read(engine, catalog.table("t")) == [{"a": 1, "b": "x"}]
    assert dict(catalog.describe("t").columns) == {"a": "INTEGER", "b": "VARCHAR"}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"options": {"delimeter": ";"}}, "has no option 'delimeter' (did you mean 'delimiter'?)"),
        ({"options": {"header": "yes"}}, "option 'header' is 'yes'; right would be true or false"),
        ({"options": {"quote": "''"}}, "option 'quote' is \"''\"; right would be one character"),
        ({"options": {"types": {"a": "INTT"}}}, "column 'a' cannot be 'INTT'"),
        ({"options": {"types": {"a": "BLOB"}}}, "column 'a' cannot be 'BLOB'"),
        ({"format": "json", "options": {"delimiter": ";"}}, "a json table has no option"),
        ({"format": "parquet", "options": {"header": True}}, "a parquet table has no option"),
    ],
)
def test_options_are_checked_by_name(
    tmp_path: Path, entry: Mapping[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, entry)
    assert "tables[0] (t).options." in caught.value.message
    assert complaint in caught.value.message


def test_names_and_types_of_all_columns(engine: Engine, tmp_path: Path) -> None:
    bare = write(tmp_path, "bare.csv", "1,2", "3,4")
    options = {"header": "false"}
    assert read(engine, table(bare, options=options, names=("x",))) == [
        {"x": 1, "column1": 2},
        {"x": 3, "column1": 4},
    ]
    given = {"x": "VARCHAR", "y": "DOUBLE"}
    assert read(engine, table(bare, options=options, columns=given)) == [
        {"x": "1", "y": 2.0},
        {"x": "3", "y": 4.0},
    ]
    path = write(tmp_path, "t.csv", "a,b", "1,2")
    assert read(engine, table(path, options={"all_varchar": "true"})) == [{"a": "1", "b": "2"}]
    with pytest.raises(StorageError, match=r"option names is for files without .*t\.csv has one"):
        columns(table(path, names=("x", "y")))
    with pytest.raises(StorageError, match="option names has 3 names; .* has 2 columns"):
        columns(table(bare, options=options, names=("x", "y", "z")))


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ('[{"a": 1, "b": {"c": 2}}, {"a": 3}]', "array"),
        ('  [\n  {"a": 1,\n "b": {"c": 2}},\n {"a": 3}\n]\n', "array"),
        ('{\n "a": 1,\n "b": {"c": 2}\n}\n{"a":\n3}\n', "unstructured"),
    ],
)
def test_json_objects_may_stand_in_an_array_or_on_several_lines(
    engine: Engine, tmp_path: Path, text: str, layout: str
) -> None:
    (tmp_path / "t.json").write_text(text)
    of = table(str(tmp_path / "t.json"))
    want = [{"a": 1, "b": {"c": 2}}, {"a": 3, "b": None}]
    assert read(engine, of) == want
    assert read(engine, attrs.evolve(of, options={"layout": layout})) == want
    assert read(engine, attrs.evolve(of, columns={"a": "DOUBLE"})) == [{"a": 1.0}, {"a": 3.0}]
    if layout == "unstructured":
        return  # which lines are, too
    (tmp_path / "u.json").write_text('{"a": 5}\n')
    with pytest.raises(
        StorageError, match=f"u.json is newline_delimited, and .*t.json is {layout}"
    ):
        columns(table(str(tmp_path)))


def test_a_file_without_a_value_of_a_column_says_nothing_of_it(
    engine: Engine, tmp_path: Path
) -> None:
    paths = [
        write(tmp_path, "a.csv", "k,n,s", "1,,", "2,,"),
        write(tmp_path, "b.csv", "k,n,s", "3,4,"),
        write(tmp_path, "c.csv", "k,n,s", "5,,"),
    ]
    assert columns(table(*paths)) == {"k": "BIGINT", "n": "BIGINT", "s": "VARCHAR"}
    assert [row["n"] for row in read(engine, table(*paths))] == [None, None, 4, None]


def test_json_integers_beyond_64_bits_keep_their_digits(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", '{"a": 12345678901234567890, "l": [1]}', '{"a": -1}')
    assert read(engine, table(path)) == [
        {"a": Decimal(12345678901234567890), "l": [1]},
        {"a": Decimal(-1), "l": None},
    ]


def test_a_column_has_the_path_of_each_file(engine: Engine, tmp_path: Path) -> None:
    paths = [write(tmp_path, f"p={at}/t.csv", "a", str(at)) for at in range(2)]
    of = table(str(tmp_path), options={"filename": "true"})
    assert read(engine, of) == [{"a": at, "filename": paths[at], "p": at} for at in range(2)]
    bare = attrs.evolve(of, options={"filename": "true", "hive_partitioning": "false"})
    assert read(engine, bare) == [{"a": at, "filename": paths[at]} for at in range(2)]
    assert read(engine, attrs.evolve(of, options={"hive_partitioning": "false"}))[0] == {"a": 0}


def test_a_folder_of_two_formats_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "a", "1")
    write(tmp_path, "b.jsonl", '{"a": 1}')
    with pytest.raises(StorageError, match=r"a\.csv is csv, .*b\.jsonl json; right would be"):
        columns(table(str(tmp_path)))
    assert columns(table(str(tmp_path), format="json")) == {"a": "BIGINT"}


def test_types_of_columns_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "a,b", "1,2")
    with pytest.raises(FfqError, match="option 'types' names the column 'c'; the files have a, b"):
        columns(table(path, types={"c": "BIGINT"}))
