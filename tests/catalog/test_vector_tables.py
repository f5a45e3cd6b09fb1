"""Which columns vector search goes by: of the table's options, and of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table
from ffq.errors import PlanningError
from ffq.plan.vector_tables import ColumnKind, Metric, VectorTable

VECTORS = pa.array([[1.0, 2.0]], pa.list_(pa.float32()))
IDS = pa.array([1], pa.int64())


def table_of(
    folder: Path, columns: Mapping[str, pa.Array], options: Mapping[str, object] | None = None
) -> VectorTable:
    pq.write_table(pa.table(dict(columns)), folder / "t.parquet")
    table = Table("docs", (str(folder),), options=options or {})
    return Catalog.of([table]).vector_table("docs")


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (pa.list_(pa.float64()), None),
        (pa.large_list(pa.float32()), None),
        (pa.list_(pa.field("x", pa.float16(), nullable=False)), None),
        (pa.list_(pa.float32(), 2), 2),
    ],
    ids=str,
)
def test_the_only_list_of_floats_is_the_vector(
    tmp_path: Path, kind: pa.DataType, length: int | None
) -> None:
    names = pa.array([["a"]])
    options: dict[str, object] = {"id_column": None, "vector_column": None, "metric": None}
    found = table_of(tmp_path, {"id": IDS, "names": names, "v": VECTORS.cast(kind)}, options)
    assert (found.id.name, found.vector.name, found.vector.length) == ("id", "v", length)
    assert [each.name for each in found.others] == ["names"]
    assert found.metric is Metric.COSINE


def test_options_name_columns_and_metric(tmp_path: Path) -> None:
    options = {"id_column": "key", "vector_column": "w", "metric": "L2", "region": "eu"}
    columns = {"key": IDS.cast(pa.uint8()), "w": VECTORS, "v": VECTORS, "id": pa.array(["x"])}
    found = table_of(tmp_path, columns, options)
    assert (found.id.name, found.vector.name, found.metric) == ("key", "w", Metric.L2)
    assert [(each.name, each.kind) for each in found.others] == [
        ("v", ColumnKind.FLOATS),
        ("id", ColumnKind.TEXT),
    ]


def test_folders_add_columns_and_files_that_differ_agree_in_nothing(tmp_path: Path) -> None:
    for at, value in ((2024, pa.array(["x"])), (2025, pa.array([1]))):
        folder = tmp_path / f"year={at}"
        folder.mkdir()
        pq.write_table(pa.table({"id": IDS, "v": VECTORS, "note": value}), folder / "t.parquet")
    found = Catalog.of([Table("docs", (str(tmp_path),))]).vector_table("docs")
    note, year = found.others
    assert (note.name, note.kind, note.type) == ("note", ColumnKind.OTHER, "string or int64")
    assert (year.name, year.kind) == ("year", ColumnKind.INTEGER)


def test_what_arrow_does_not_tell_of_a_file_is_no_column(tmp_path: Path) -> None:
    times = pa.array([[0]], pa.list_(pa.timestamp("ns")))
    table = pa.table({"id": IDS, "v": VECTORS, "times": times, "at": times.flatten()})
    pq.write_table(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    found = Catalog.of([Table("docs", (str(tmp_path),))]).vector_table("docs")
    assert [(each.name, each.kind) for each in found.others] == [
        ("times", ColumnKind.OTHER),
        ("at", ColumnKind.DATE),
    ]


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        (
            {"id": IDS},
            {},
            "needs one column of lists of floats, and there is none among 'id' of int64; right "
            "would be its name as the table's option 'vector_column'",
        ),
        ({"id": IDS, "v": VECTORS, "w": VECTORS}, {}, "there are several: 'v', 'w'; right would"),
        (
            {"key": IDS, "v": VECTORS},
            {},
            "option 'id_column', here 'id', which the table has not; right would be a column of "
            "integers: one of 'key'",
        ),
        (
            {"id": pa.array(["x"]), "v": VECTORS},
            {},
            "'id', of type string; right would be a column of integers: one, which the table has",
        ),
        (
            {"id": IDS, "v": VECTORS},
            {"vector_column": "id"},
            "option 'vector_column', here 'id', of type int64; right would be a column of lists "
            "of floats: one of 'v'",
        ),
        ({"id": IDS, "v": VECTORS}, {"vector_column": 7}, "here 7, which the table has not"),
        ({"id": IDS, "v": VECTORS}, {"id_column": ["id"]}, "here an array of 1, which the table"),
        (
            {"id": IDS, "v": VECTORS},
            {"metric": "hamming"},
            "option 'metric' is 'hamming'; known: cosine, l2",
        ),
        ({"id": IDS, "v": VECTORS}, {"metric": 1}, "option 'metric' is 1; known"),
    ],
)
def test_what_is_refused_names_the_table_the_option_and_what_there_is(
    tmp_path: Path, columns: Mapping[str, pa.Array], options: Mapping[str, object], says: str
) -> None:
    with pytest.raises(PlanningError) as caught:
        table_of(tmp_path, columns, options)
    assert "table 'docs'" in caught.value.message
    assert says in caught.value.message


def test_a_table_that_the_catalog_has_not() -> None:
    with pytest.raises(PlanningError, match="unknown table 'docs'; the catalog has: none"):
        Catalog.of([]).vector_table("docs")
