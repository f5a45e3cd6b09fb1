"""Tables of a session: what register takes, and what it refuses at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.client.session.inline import brought, inline_table
from ffq.client.session.tables import arrow_reader, defined
from ffq.errors import InvalidRequest
from ffq.plan.inline import InlineTable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimeter": ";"}, r"table \(z\).*no option 'delimeter' \(did you mean 'delimiter'"),
        ({"header": 3}, r"table \(z\)\.options\.header.*right would be true or false"),
        ({"types": {"zip": "TEXTUAL"}}, r"table \(z\).*'zip' cannot be 'TEXTUAL'"),
        ({"types": {"zip": str}}, "table 'z': its options .*not JSON serializable"),
    ],
)
def test_options_that_files_have_not_are_refused_where_they_are_given(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        defined("z", "zip.csv", options=options)


def test_a_definition_is_a_value_whatever_its_options_are() -> None:
    types = {"zip": "VARCHAR"}
    one, same = (defined("z", "zip.csv", options={"types": types}) for _ in range(2))
    assert len({one, same}) == 1
    types["zip"] = "BIGINT"
    assert one.entry()["options"] == {"types": {"zip": "VARCHAR"}}


def test_rows_that_are_mappings_have_the_columns_of_all() -> None:
    table = arrow_reader("t", [{"a": 1}, {"b": 3, "a": 2}, {}]).read_all()
    assert table.to_pydict() == {"a": [1, 2, None], "b": [None, 3, None]}


def test_an_index_with_a_name_is_not_lost_silently() -> None:
    frame = pd.DataFrame({"id": [7], "v": [1]})
    with pytest.raises(InvalidRequest, match=r"table 't': a DataFrame.*'id'.*reset_index\(\)"):
        arrow_reader("t", frame.set_index("id"))
    assert arrow_reader("t", frame[frame["v"] > 0]).read_all().column_names == ["id", "v"]


def test_many_small_batches_are_few_row_groups() -> None:
    batches = [pa.record_batch({"n": [number]}) for number in range(500)]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    held = pq.ParquetFile(pa.BufferReader(inline_table("t", reader).parquet))
    assert (held.num_row_groups, held.read()["n"].to_pylist()) == (1, list(range(500)))


@pytest.mark.parametrize(
    ("name", "text", "comes"),
    [
        ("small", "SELECT * FROM SMALL", True),
        ('a "b"', 'SELECT * FROM "A ""b"""', True),
        ('a "b"', "SELECT 'a \"b\"'", True),
        ('""', 'SELECT * FROM """""" t', True),
        ("small", "SELECT 1 AS smal", False),
    ],
)
def test_the_rows_come_with_a_query_that_may_name_their_table(
    name: str, text: str, comes: bool
) -> None:
    table = InlineTable(name, b"rows")
    assert brought([table], text) == (InlineTable(name, b"rows" if comes else b""),)


def test_where_files_are_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert defined("t", "some.parquet").paths == (str(tmp_path / "some.parquet"),)
