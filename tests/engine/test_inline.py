"""Inline tables in the engine: read as files are, and refused by name where they cannot be."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog
from ffq.engine import Engine, FragmentSpec
from ffq.engine.inline import MAX_UNPACKED_BYTES, check_inline, open_inline
from ffq.errors import DataError, PlanningError, UnsupportedPlan
from ffq.plan.bound import SqlType
from ffq.plan.inline import InlineTable
from ffq.plan.model import Inline
from ffq.sql.prepare import Preparer, Query
from tests.engine.runner import LocalRunner, run_fragment

BIGINT, VARCHAR = SqlType("BIGINT"), SqlType("VARCHAR")
COLUMNS = (("k", BIGINT), ("s", VARCHAR))


def inline(table: pa.Table, **options: Any) -> InlineTable:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", **options)
    return InlineTable("t", sink.getvalue())


SOUND = inline(pa.table({"k": list(range(300)), "s": [f"s{at % 7}" for at in range(300)]}))


def read(
    engine: Engine, table: InlineTable, columns: tuple[tuple[str, SqlType], ...] = COLUMNS
) -> pa.Table:
    return run_fragment(engine, FragmentSpec(Inline("t", columns), inline=(table,)))


def with_nulls(values: list[Any], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array([values[0], None, *values[1:]], kind)


OF_ALL_TYPES = {
    "null": pa.nulls(3),
    "bool": with_nulls([True, False]),
    "small": with_nulls([1, -2], pa.int8()),
    "unsigned": with_nulls([1, 2**64 - 1], pa.uint64()),
    "half": with_nulls([1.5, 2], pa.float16()),
    "float": with_nulls([float("nan"), -0.0]),
    "decimal": with_nulls([Decimal("1.25"), Decimal("-3.00")], pa.decimal128(38, 2)),
    "wide": with_nulls([Decimal("1.25"), Decimal("3.00")], pa.decimal256(38, 2)),
    "text": with_nulls(["é", "\0"]),
    "large": with_nulls(["a", "b"], pa.large_string()),
    "binary": with_nulls([b"\0", b""]),
    "fixed": with_nulls([b"ab", b"cd"], pa.binary(2)),
    "date": with_nulls([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "date64": with_nulls([0, 86_400_000], pa.date64()),
    "seconds": with_nulls([1, 10**9], pa.timestamp("s")),
    "milliseconds": with_nulls([1, 10**12], pa.timestamp("ms")),
    "nanoseconds": with_nulls([1, 10**18 + 1], pa.timestamp("ns")),
    "zone": with_nulls([1, 2], pa.timestamp("us", "Europe/Berlin")),
    "time": with_nulls([1, 2], pa.time32("ms")),
    "exact time": with_nulls([1000, 2001], pa.time64("ns")),
    "list": with_nulls([[1, None], []]),
    "array": with_nulls([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
    "struct": with_nulls([{"a": 1, "b c": "x"}, {"a": None, "b c": "y"}]),
    "map": with_nulls([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
    "dictionary": with_nulls(["x", "y"]).dictionary_encode(),
    "nested": with_nulls([[{"a": [Decimal("1.1")]}], []]),
}


def test_each_type_is_what_it_is_in_a_file(engine: Engine, tmp_path: Path) -> None:
    table = pa.table({"i": [1, 2, 3], **OF_ALL_TYPES})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    file = json.dumps({"name": "t", "paths": [str(path)]})
    found = []
    preparer = Preparer(Catalog.of(()))
    for given in (Query("FROM t", tables=(file,)), Query("FROM t", inline=(inline(table),))):
        prepared = preparer.prepare(given)
        result = LocalRunner(engine, tmp_path, {"t": [path]}, 1).run(prepared.plan)
        found.append((prepared.columns, result.schema, repr(result.sort_by("i").to_pydict())))
    preparer.close()
    assert found[0] == found[1]


def test_columns_are_given_out_as_they_are_asked_for(engine: Engine) -> None:
    assert read(engine, SOUND, (("s", VARCHAR),))["s"].to_pylist()[:2] == ["s0", "s1"]
    assert read(engine, SOUND, (("s", VARCHAR), ("k", BIGINT))).column_names == ["s", "k"]
    assert read(engine, SOUND).num_rows == 300
    assert read(engine, inline(pa.table({"k": pa.array([], "int64")})), COLUMNS[:1]).num_rows == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((("k", VARCHAR),), "'t', .*planned with column 'k' of VARCHAR; it has BIGINT"),
        ((("K", BIGINT),), "'t', .*planned with column 'K' of BIGINT; it has no such column"),
        ((("k", SqlType("NUMBER")),), "no type NUMBER"),
    ],
)
def test_other_columns_than_it_was_planned_with_are_named(
    engine: Engine, columns: tuple[tuple[str, SqlType], ...], message: str
) -> None:
    with pytest.raises(PlanningError, match=message):
        read(engine, SOUND, columns)


def test_a_table_that_was_not_given_is_named(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="no rows of table 't'"):
        run_fragment(engine, FragmentSpec(Inline("t", COLUMNS)))


def unsound() -> Iterator[tuple[str, bytes]]:
    whole = SOUND.parquet
    yield "nothing", b""
    yield "no Parquet", b"PAR1 is how it begins, and nothing more"
    yield "truncated", whole[:-20]
    yield "a footer of nothing", whole[:4] + bytes(64) + (48).to_bytes(4, "little") + b"PAR1"
    yield "a footer of 4 GB", whole[:-8] + b"\xff" * 4 + b"PAR1"
    fields = inline(pa.table({"s": [{"kkkk": 1}]}), store_schema=False).parquet
    yield "a name that is no text", fields.replace(b"kkkk", b"\xff\xff\xff\xff")


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in unsound()])
def test_bytes_that_are_no_table_are_an_error_that_names_it(engine: Engine, data: bytes) -> None:
    table = InlineTable("t", data)
    for look in (check_inline, lambda each: read(engine, each)):
        with pytest.raises(PlanningError, match="rows of table 't', .* are no sound Parquet: "):
            look(table)


def test_rows_that_are_not_what_the_footer_says_are_an_error_that_names_the_table(
    engine: Engine,
) -> None:
    whole = bytearray(SOUND.parquet)
    for at in range(30, 200):
        whole[at] ^= 0x55
    damaged = InlineTable("t", bytes(whole))
    check_inline(damaged)
    with pytest.raises(DataError, match="rows of table 't', .* are no sound Parquet: ") as caught:
        read(engine, damaged)
    assert "/proc" not in caught.value.message


def test_little_that_becomes_much_is_refused_before_it_is_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = pa.table({"k": np.zeros(MAX_UNPACKED_BYTES // 8, "int64")})
    packed = inline(zeros, use_dictionary=False)
    assert len(packed.parquet) < 100_000
    with pytest.raises(PlanningError, match="'t', .* bytes before compression, and may have 67,1"):
        read(engine, packed, COLUMNS[:1])
    monkeypatch.setattr("ffq.engine.inline.MAX_ROWS", 299)
    with pytest.raises(PlanningError, match="'t', .* has 300 rows, and may have 299"):
        read(engine, SOUND)


def test_what_the_engine_would_change_is_refused_as_in_a_file(engine: Engine) -> None:
    pairs = pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))
    lasting = inline(pa.table({"k": [1], "d": pa.array([1], pa.duration("s")), "m": pairs}))
    with pytest.raises(UnsupportedPlan, match="table 't', column 'd': .* loses its unit"):
        read(engine, lasting, (("d", BIGINT),))
    kind = SqlType("MAP", (VARCHAR, BIGINT))
    with pytest.raises(DataError, match="table 't', column 'm': a map has a key twice"):
        read(engine, lasting, (("m", kind),))
    assert read(engine, lasting, (("k", BIGINT),)).num_rows == 1


def test_nothing_of_it_is_left_open(engine: Engine) -> None:
    with open_inline(SOUND) as file:
        path = Path(file.split.path)
        kept = os.readlink(path)
        assert path.read_bytes() == SOUND.parquet
    read(engine, SOUND)
    found = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
    assert kept not in found
