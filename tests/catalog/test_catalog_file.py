"""The catalog file: both syntaxes, where locations point, and what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ffq.catalog import Catalog, Table
from ffq.errors import InvalidRequest, PlanningError
from ffq.plan.terms import DataType, Field, Schema


def load(folder: Path, content: object, name: str = "tables.json") -> Catalog:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return Catalog.load(file)


def test_an_object_with_tables_and_the_bare_list_read_alike(tmp_path: Path) -> None:
    entries = [{"name": "t", "uri": "/data/t.parquet", "paths": [], "format": "parquet"}]
    expected = Table("t", ("/data/t.parquet",), format="parquet")
    assert load(tmp_path, {"tables": entries}).table("t") == expected
    assert load(tmp_path, entries).table("t") == expected


def test_toml_reads_like_json(tmp_path: Path) -> None:
    text = '[[tables]]\nname = "t"\nuri = "t/*.parquet"\n[tables.options]\nunion_by_name = true\n'
    table = load(tmp_path, text, "tables.toml").table("t")
    assert table.locations == (str(tmp_path / "t/*.parquet"),)
    assert dict(table.options) == {"union_by_name": "true"}


def test_non_empty_paths_win_over_the_uri(tmp_path: Path) -> None:
    catalog = load(tmp_path, [{"name": "t", "uri": "/a", "paths": ["/b", "/c"]}])
    assert catalog.table("t").locations == ("/b", "/c")


def test_an_empty_uri_beside_paths_is_not_looked_at(tmp_path: Path) -> None:
    catalog = load(tmp_path, [{"name": "t", "uri": "", "paths": ["/b"]}])
    assert catalog.table("t").locations == ("/b",)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sub/t.parquet", "{folder}/sub/t.parquet"),
        ("/abs/t.parquet", "/abs/t.parquet"),
        ("file:///abs/a%20b.parquet", "/abs/a b.parquet"),
        ("file://localhost/abs/t.parquet", "/abs/t.parquet"),
    ],
)
def test_where_a_uri_points(tmp_path: Path, uri: str, expected: str) -> None:
    table = load(tmp_path, [{"name": "t", "uri": uri}]).table("t")
    assert table.locations == (expected.format(folder=tmp_path),)


def test_a_declared_schema_is_read_as_in_a_plan(tmp_path: Path) -> None:
    field = {"name": "p", "data_type": {"Decimal128": [15, 2]}, "nullable": False}
    entry = {"name": "t", "uri": "x", "schema": {"fields": [field]}}
    schema = Schema((Field("p", DataType("Decimal128", (15, 2)), nullable=False),))
    assert load(tmp_path, [entry]).table("t").schema == schema


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([{"uri": "x"}], "tables[0]: missing 'name'"),
        ([{"name": "", "uri": "x"}], "tables[0].name: expected a name"),
        ([{"name": 5, "uri": "x"}], "tables[0].name: expected a string, got 5"),
        ([{"name": "t"}], "tables[0] (t): has neither 'uri' nor 'paths'"),
        ([{"name": "t", "uri": 5}], "tables[0] (t).uri: expected a string, got 5"),
        ([{"name": "t", "paths": "x"}], "tables[0] (t).paths: expected an array, got 'x'"),
        (
            [{"name": "t", "uri": "x", "format": "orc"}],
            "(t).format: unknown format 'orc'; known: parquet, ",
        ),
        ([{"name": "t", "uri": "s3://u:p@b/x"}], "(t).uri: a s3:// URI holds credentials"),
        ([{"name": "t", "uri": "file://host/x"}], "(t).uri: 'file://host/x' is not file:///path"),
        ([{"name": "t", "uri": "x", "schema": {}}], "(t).schema: missing 'fields'"),
        ([{"name": "t", "uri": "x", "options": []}], "(t).options: expected an object"),
        ([{"name": "t", "uri": "x"}] * 2, "table 't' stands twice"),
        ({"table": []}, "missing 'tables'"),
        ({"tables": {}}, "tables: expected a list of tables, got an object"),
        (["t"], "tables[0]: expected an object with 'name', got 't'"),
        ('[{"name": "t", "uri": "x", "uri": "y"}]', "key 'uri' stands twice in one object"),
        ('{"tables": [], "tables": []}', "key 'tables' stands twice in one object"),
        ('[{"name": "t", "uri": "x", "options": {"a": 1, "a": 1}}]', "key 'a' stands twice in"),
        ("{", "is not JSON: "),
        ("[" * 100_000, "is not JSON that can be read: it nests too deep"),
    ],
)
def test_a_bad_catalog_is_refused_with_file_entry_and_field(
    tmp_path: Path, entries: object, complaint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, entries)
    assert f"catalog {tmp_path / 'tables.json'}: " in caught.value.message
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message


def test_bad_toml_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is not TOML"):
        load(tmp_path, "[[tables", "tables.toml")
    with pytest.raises(InvalidRequest, match=r"missing\.json: cannot be read: No such file"):
        Catalog.load(tmp_path / "missing.json")
    with pytest.raises(InvalidRequest, match="cannot be read: Is a directory"):
        Catalog.load(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'[{"name": "\xe9"}]')
    with pytest.raises(InvalidRequest, match="is not UTF-8 text"):
        Catalog.load(tmp_path / "latin.json")


def test_an_unknown_table_is_a_planning_error_that_names_the_known(tmp_path: Path) -> None:
    catalog = load(tmp_path, [{"name": "orders", "uri": "x"}, {"name": "customer", "uri": "y"}])
    assert "orders" in catalog
    assert "lineitem" not in catalog
    with pytest.raises(PlanningError, match=r"unknown table .lineitem.; .*: customer, orders"):
        catalog.files("lineitem")
