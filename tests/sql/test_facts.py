"""What planning knows of tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table
from ffq.errors import StorageError, UnsupportedPlan
from ffq.sql.facts import Facts


@pytest.fixture
def facts() -> Iterator[Facts]:
    facts = Facts()
    yield facts
    facts.close()


def written(folder: Path, name: str, rows: int) -> Table:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"k": list(range(rows)), "s": ["x"] * rows}), path)
    return Table(name, (str(path),))


def test_columns_and_size_are_those_of_the_files_now(facts: Facts, tmp_path: Path) -> None:
    table = written(tmp_path, "t", 3)
    first = facts.of(Catalog.of([table]), "t")
    assert first.columns == (("k", "BIGINT"), ("s", "VARCHAR"))
    assert (first.rows, first.size.rows) == (3, 3)
    pq.write_table(pa.table({"other": [1.5] * 7}), tmp_path / "t.parquet")
    second = facts.of(Catalog.of([table]), "t")
    assert (second.columns, second.rows) == ((("other", "DOUBLE"),), 7)


@pytest.mark.parametrize(
    ("names", "refused"),
    [(["a", "b", "A"], "'a', 'A', which SQL"), (["a", "a"], "'a', 'a', which"), (["é", "É"], None)],
)
def test_columns_that_sql_cannot_tell_apart_are_refused_by_name(
    facts: Facts, tmp_path: Path, names: list[str], refused: str | None
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table([[1]] * len(names), names=names), path)
    catalog = Catalog.of([Table("t", (str(path),))])
    if refused is None:
        assert [name for name, _ in facts.of(catalog, "t").columns] == names
        return
    with pytest.raises(UnsupportedPlan, match=f"'t' has the columns {refused}"):
        facts.of(catalog, "t")


def test_samples_keep_the_tables_in_proportion_and_are_bounded(
    facts: Facts, tmp_path: Path
) -> None:
    catalog = Catalog.of([written(tmp_path, name, rows) for name, rows in SIZES.items()])
    tables = {name: facts.of(catalog, name) for name in SIZES}
    samples = facts.samples(tables)
    assert {name: rows.num_rows for name, rows in samples.items()} == {
        "large": 20_000,
        "middle": 2_500,
        "small": 100,
        "tiny": 5,
    }
    assert samples["large"].column_names == ["k", "s"]
    assert facts.samples(tables)["large"] is samples["large"], "once for as long as it is the same"


SIZES = {"large": 800_000, "middle": 100_000, "small": 3_000, "tiny": 5}


def test_where_there_is_nothing_to_join_nothing_is_looked_at(facts: Facts, tmp_path: Path) -> None:
    catalog = Catalog.of([written(tmp_path, "t", 3)])
    assert facts.samples({"t": facts.of(catalog, "t")}) == {}


def test_a_table_that_cannot_be_read_has_no_sample(facts: Facts, tmp_path: Path) -> None:
    catalog = Catalog.of([written(tmp_path, name, 3_000) for name in ("t", "u")])
    tables = {name: facts.of(catalog, name) for name in ("t", "u")}
    (tmp_path / "t.parquet").unlink()
    assert list(facts.samples(tables)) == ["u"]
    with pytest.raises(StorageError, match="table 't'"):
        facts.of(catalog, "t")


def test_text_files_have_rows_of_a_usual_size(facts: Facts, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 800)
    found = facts.of(Catalog.of([Table("t", (str(tmp_path / "t.csv"),))]), "t")
    assert found.size.rows is None
    assert 0 < found.rows <= 3_204 // 16
