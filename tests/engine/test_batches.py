"""Batches are bounded by bytes, also where their rows hold more text than 32-bit offsets reach."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ffq.engine import CancelToken, Engine, FragmentSpec, batches
from ffq.engine.batches import bounded, usual_schema
from ffq.engine.readers import taken_schema
from ffq.errors import ExecutionError
from ffq.plan.model import Limit, Node, ShuffleWrite, SinglePartitioning
from tests.engine.runner import TableSink, leaf, run_over


def texts(path: Path, *lengths: int) -> pa.LargeStringArray:
    """Texts of NUL characters, one after the other in a file that takes no room on disk."""
    ends = [sum(lengths[:at]) for at in range(len(lengths) + 1)]
    with path.open("wb") as file:
        file.truncate(ends[-1])
    data = pa.memory_map(str(path)).read_buffer()
    offsets = pa.array(ends, pa.int64()).buffers()[1]
    return pa.LargeStringArray.from_buffers(len(lengths), offsets, data)


def test_rows_past_what_32_bits_reach_are_kept(tmp_path: Path) -> None:
    batch = pa.record_batch([texts(tmp_path / "text", 3 << 30, 5, 7)], names=["s"])
    schema = usual_schema(batch.schema, nested=True)
    assert schema.types == [pa.string()]
    parts = list(bounded(batch.slice(1), schema))
    assert pa.Table.from_batches(parts)["s"].to_pylist() == ["\0" * 5, "\0" * 7]
    with pytest.raises(ExecutionError, match="column 's' has a value of 3221225"):
        list(bounded(batch.slice(0, 1), schema))


@pytest.mark.parametrize("sql", ["MAP {}", "[MAP {}]", "{'m': [MAP {}]}"])
def test_maps_whose_keys_have_no_type_come_through(sql: str) -> None:
    with duckdb.connect() as con:
        con.execute("SET arrow_large_buffer_size = true")
        found = con.sql(f"SELECT {sql} AS m, 'x' AS s FROM range(2)").to_arrow_table()
    schema = usual_schema(found.schema, nested=True)
    assert schema.field("s").type == pa.string()
    (batch,) = found.to_batches()
    parts = list(bounded(batch, schema))
    assert pa.Table.from_batches(parts).to_pylist() == found.to_pylist()
    assert taken_schema(schema).types == schema.types


def test_a_batch_is_halved_until_it_is_small_or_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 100)
    batch = pa.record_batch({"s": pa.array(["x" * 30] * 7 + ["y" * 500, None], pa.large_string())})
    parts = list(bounded(batch, usual_schema(batch.schema, nested=True)))
    assert pa.Table.from_batches(parts)["s"].to_pylist() == batch["s"].to_pylist()
    assert all(part.num_rows == 1 or part.nbytes <= 100 for part in parts)
    assert len(parts) < batch.num_rows


@pytest.mark.parametrize(
    "plan", [Limit(9, leaf()), ShuffleWrite(leaf(), SinglePartitioning())], ids=["result", "map"]
)
def test_what_a_fragment_gives_out_is_bounded_by_bytes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, plan: Node
) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 100)
    table = pa.table({"s": ["x" * 30] * 7 + ["y" * 500, None]})
    sink = TableSink()
    engine.run(FragmentSpec(plan, shuffles={0: table.to_reader}), sink.open, CancelToken())
    assert sink.table().to_pydict() == table.to_pydict()
    assert all(batch.num_rows == 1 or batch.nbytes <= 100 for batch in sink.batches)
    assert len(sink.batches) >= 4


NESTED = pa.struct(
    [("l", pa.large_list(pa.large_string())), ("m", pa.map_(pa.string(), pa.int8()))]
)


def test_results_have_the_usual_types_and_exchanges_room_for_any_state(engine: Engine) -> None:
    values = [{"l": ["a", None], "m": [("k", 1)]}, None]
    table = pa.table({"t": ["a", "b"], "b": [b"a", None], "n": pa.array(values, NESTED)})
    result = run_over(engine, Limit(5, leaf()), table)
    usual = "struct<l: list<l: string>, m: map<string, int8>>"
    assert list(map(str, result.schema.types)) == ["string", "binary", usual]
    assert result.to_pylist() == table.to_pylist()
    exchanged = run_over(engine, ShuffleWrite(leaf(), SinglePartitioning()), table)
    large = "struct<l: large_list<l: large_string>, m: map<large_string, int8>>"
    assert list(map(str, exchanged.schema.types)) == ["string", "binary", large]
    assert exchanged.to_pylist() == table.to_pylist()
