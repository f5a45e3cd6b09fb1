"""What results look like: csv, json, tables, files."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ffq.cli.output import parquet
from ffq.cli.output.csv import write_csv
from ffq.cli.output.formats import ResultFormat, choose_format
from ffq.cli.output.jsonrows import write_json
from ffq.cli.output.queries import workers_grid
from ffq.cli.output.writer import write_result
from ffq.display.cells import text_column
from ffq.display.grid import Grid, plain_lines, print_grid
from ffq.display.results import result_grid
from ffq.errors import InvalidRequest, StorageError
from ffq.ids import WorkerId
from ffq.messages import WorkerStatus


def written(table: pa.Table) -> str:
    out = io.StringIO()
    write_csv(table.to_reader(), out)
    return out.getvalue()


SALES = pa.table(
    {
        "flag": pa.array(["A", None, ""], pa.string_view()),
        "sum": pa.array([Decimal("37734107.00"), Decimal("-0.01"), None], pa.decimal128(38, 2)),
        "day": pa.array([datetime.date(1998, 9, 2), None, datetime.date(1970, 1, 1)]),
        "avg": pa.array([25.5, 1e-7, None]),
    }
)


def test_csv_has_iso_dates_exact_decimals_and_nothing_for_null() -> None:
    assert written(SALES) == (
        'flag,sum,day,avg\nA,37734107.00,1998-09-02,25.5\n,-0.01,,1e-7\n"",,1970-01-01,\n'
    )


def test_csv_quotes_what_needs_it_and_a_reader_gets_it_back() -> None:
    awkward = ["a,b", 'say "hi"', "two\nlines", " padded ", "plain", "cr\rlf"]
    text = written(pa.table({"a,b": awkward}))
    assert [row[0] for row in csv.reader(io.StringIO(text, newline=""))] == ["a,b", *awkward]
    assert "\nplain\n" in text


def test_csv_of_no_rows_is_its_header() -> None:
    assert written(SALES.slice(0, 0)) == "flag,sum,day,avg\n"


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ([Decimal("0.0000001")], pa.decimal128(20, 7), "0.0000001"),
        ([Decimal("1E+3")], pa.decimal128(20, 0), "1000"),
        ([2**63 - 1], pa.int64(), "9223372036854775807"),
        ([True], pa.bool_(), "true"),
        ([b"\x00\xff"], pa.binary(), "00ff"),
        ([[1, None]], pa.list_(pa.int64()), "[1, null]"),
        ([datetime.time(1, 2, 3)], pa.time32("s"), "01:02:03"),
        ([datetime.datetime(2024, 1, 2, 3, 4)], pa.timestamp("s"), "2024-01-02T03:04:00"),
        (
            [datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.UTC)],
            pa.timestamp("s", tz="Europe/Berlin"),
            "2024-01-02T03:04:00Z",
        ),
        ([90], pa.duration("s"), "90"),
    ],
)
def test_values_as_text(values: list[object], kind: pa.DataType, text: str) -> None:
    assert text_column(pa.array([*values, None], kind)) == [text, None]


def test_a_dictionary_column_shows_its_values() -> None:
    assert text_column(pa.array(["x", None, "x"]).dictionary_encode()) == ["x", None, "x"]


def test_json_is_an_array_of_rows_with_decimals_exact() -> None:
    out = io.StringIO()
    write_json(SALES.to_reader(), out)
    rows = json.loads(out.getvalue())
    assert rows[0] == {"flag": "A", "sum": "37734107.00", "day": "1998-09-02", "avg": 25.5}
    assert rows[2] == {"flag": "", "sum": None, "day": "1970-01-01", "avg": None}


def test_json_of_no_rows_and_of_what_json_has_no_number_for() -> None:
    out = io.StringIO()
    write_json(SALES.slice(0, 0).to_reader(), out)
    assert json.loads(out.getvalue()) == []
    out = io.StringIO()
    write_json(pa.table({"x": [float("nan"), float("inf"), 1.0]}).to_reader(), out)
    assert json.loads(out.getvalue()) == [{"x": "nan"}, {"x": "inf"}, {"x": 1.0}]


class Passing:
    """Batches that are told from each other while somebody has them."""

    schema = pa.schema([("v", pa.int64())])

    def __init__(self) -> None:
        self.most = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        held: list[weakref.ref[pa.RecordBatch]] = []
        for number in range(10):
            batch = pa.record_batch([[number]], schema=self.schema)
            held.append(weakref.ref(batch))
            yield batch
            del batch
            self.most = max(self.most, sum(each() is not None for each in held))


@pytest.mark.parametrize("kind", ["csv", "json", "arrow", "parquet"])
def test_a_result_is_written_as_it_comes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 1)
    batches, out = Passing(), tmp_path / "out"
    write_result(batches, ResultFormat(kind), out)
    assert batches.most <= 2
    read: dict[str, Callable[[], pa.Table]] = {
        "csv": lambda: pacsv.read_csv(out),
        "json": lambda: pa.Table.from_pylist(json.loads(out.read_text())),
        "arrow": lambda: pa.ipc.open_stream(out).read_all(),
        "parquet": lambda: pq.read_table(out),
    }
    assert read[kind]()["v"].to_pylist() == list(range(10))


def test_the_workers_show_which_of_their_slots_are_stuck() -> None:
    worker = WorkerStatus(
        worker_id=WorkerId("w1"),
        capabilities=("op",),
        running_attempts=1,
        slots=4,
        stuck_tasks=2,
        consecutive_failures=3,
        excluded=False,
        draining=False,
        endpoint="host:1",
        family="duckdb",
    )
    rows = [line.split() for line in plain_lines(workers_grid([worker]))]
    shown = dict(zip(rows[1], rows[3], strict=True))
    assert (shown["running"], shown["slots"], shown["stuck"], shown["failures"]) == (
        *("1", "4", "2"),
        "3",
    )
    silent = attrs.evolve(worker, slots=0)
    assert [*plain_lines(workers_grid([silent]))][3].split()[3] == "?"


def test_a_plain_table_is_aligned_with_numbers_to_the_right() -> None:
    grid = result_grid(pa.table({"name": ["a", "long"], "n": [1, 1000]}), title="Things")
    assert list(plain_lines(grid)) == [
        "Things",
        "name     n",
        "----  ----",
        "a        1",
        "long  1000",
    ]


def test_a_cell_never_breaks_its_line() -> None:
    lines = list(plain_lines(Grid(columns=["why"], rows=[["one\ntwo"], [None]])))
    assert lines == ["why", "-------", "one two", ""]


def test_what_a_terminal_would_act_on_is_shown_as_an_escape() -> None:
    table = pa.table({"a\n\x1b[7m": ["x\ty\r\n", "\u202ereversed", "\x9b31m", "فا\u200cرسی"]})
    shown = list(plain_lines(result_grid(table)))
    assert [shown[0], *shown[2:]] == [
        "a\\n\\x1b[7m",
        "x\\ty\\r\\n",
        "\\u202ereversed",
        "\\x9b31m",
        "فا\u200cرسی",
    ]
    status = Grid(columns=["message"], rows=[["bad \x1b[2Jvalue"]], title="\x07title")
    title, _, _, message = plain_lines(status)
    assert (title, message) == ("\\x07title", "bad \\x1b[2Jvalue")


def test_wide_characters_take_two_places() -> None:
    grid = result_grid(pa.table({"日本": ["日本語", "a"], "n": [1, 2]}))
    assert list(plain_lines(grid)) == ["日本    n", "------  -", "日本語  1", "a       2"]


@pytest.mark.parametrize("terminal", [True, False])
def test_an_ascii_terminal_gets_escapes_and_aligned_columns(terminal: bool) -> None:
    data = io.BytesIO()
    out = io.TextIOWrapper(data, encoding="ascii")
    grid = result_grid(pa.table({"é": ["日本", "plain", None], "[bold]n": [1, 2, 3]}), title="Ü")
    print_grid(Console(file=out, force_terminal=terminal, width=60, color_system=None), grid)
    out.flush()
    shown = data.getvalue().decode("ascii")
    for word in ("\\xe9", "\\u65e5\\u672c", "plain", "[bold]n", "\\xdc"):
        assert word in shown
    assert (
        len({len(line) for line in shown.splitlines() if "plain" in line or "u65e5" in line}) == 1
    )


def test_a_word_wider_than_the_terminal_is_whole() -> None:
    out = io.StringIO()
    grid = result_grid(pa.table({"w": ["y" * 300]}))
    print_grid(Console(file=out, force_terminal=True, width=60, color_system=None), grid)
    assert out.getvalue().count("y") == 300


def test_a_terminal_too_narrow_gets_several_tables_and_whole_cells() -> None:
    grid = result_grid(pa.table({f"column_{index}": [10**17 + index] for index in range(6)}))
    out = io.StringIO()
    print_grid(Console(file=out, force_terminal=True, width=60, color_system=None), grid)
    shown = out.getvalue()
    for index in range(6):
        assert str(10**17 + index) in shown
        assert f"column_{index}" in shown
    assert shown.count("╭") == 3
    assert max(map(len, shown.splitlines())) <= 60


@pytest.mark.parametrize("name", ["csv", "json", "arrow", "parquet"])
def test_a_file_name_tells_the_format(name: str, tmp_path: Path) -> None:
    assert choose_format(None, tmp_path / f"out.{name}") is ResultFormat(name)
    assert choose_format(ResultFormat(name), tmp_path / f"OUT.{name.upper()}") is ResultFormat(name)


def test_a_file_name_and_a_format_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"out\.json is named as json and --format is csv"):
        choose_format(ResultFormat.CSV, tmp_path / "out.json")
    with pytest.raises(InvalidRequest, match="named as csv and --format is table"):
        choose_format(ResultFormat.TABLE, tmp_path / "out.csv")


def test_a_file_name_of_another_format_is_refused(tmp_path: Path) -> None:
    for name in ("out.txt", "out.csv.gz", "out.xlsx"):
        with pytest.raises(InvalidRequest, match=rf"{name}.*\.csv, \.json"):
            choose_format(None, tmp_path / name)
        assert choose_format(ResultFormat.TABLE, tmp_path / name) is ResultFormat.TABLE
    assert choose_format(None, tmp_path / "out") is ResultFormat.TABLE


def test_a_link_stays_one_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("data.csv", "link.csv", "pipe.csv"))
    link.symlink_to(target)
    write_result(SALES.to_reader(), ResultFormat.CSV, link)
    assert link.is_symlink()
    assert target.read_text() == written(SALES)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_result(SALES.to_reader(), ResultFormat.CSV, pipe)
    assert os.read(reader, 1 << 16).decode() == written(SALES)
    os.close(reader)
    assert pipe.is_fifo()


def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="folder does not exist"):
        choose_format(None, tmp_path / "no" / "out.csv")


def test_what_is_no_file_to_write_is_refused_before_the_query_runs(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is a folder; right would be a file in it, or -"):
        choose_format(None, tmp_path)
    for folder in (Path(""), Path("..")):  # as `-o ''` gives it
        with pytest.raises(InvalidRequest, match=r"--output \.+ is a folder"):
            choose_format(ResultFormat.CSV, folder)


def test_a_dash_means_stdout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    assert choose_format(None, Path("-")) is ResultFormat.TABLE
    write_result(SALES.to_reader(), choose_format(ResultFormat.CSV, Path("-")), Path("-"))
    out.flush()
    assert out.buffer.getvalue().decode() == written(SALES)
    assert os.listdir(tmp_path) == []


def test_files_hold_the_result(tmp_path: Path) -> None:
    for chosen in ResultFormat:
        write_result(SALES.to_reader(), chosen, tmp_path / f"out.{chosen.value}")
    assert (tmp_path / "out.csv").read_text() == written(SALES)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == SALES.to_pylist()
    with pa.ipc.open_stream((tmp_path / "out.arrow").read_bytes()) as stream:
        assert stream.read_all().equals(SALES)
    assert sorted(os.listdir(tmp_path)) == sorted(f"out.{chosen.value}" for chosen in ResultFormat)


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    taken = tmp_path / "out.csv"
    taken.mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*out\.csv"):
        write_result(SALES.to_reader(), ResultFormat.CSV, taken)
    assert os.listdir(tmp_path) == ["out.csv"]
