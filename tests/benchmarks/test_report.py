"""Tables, and files of figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._benchmark import Benchmark, CannotRun, Outcome, Request
from benchmarks._figures import Amount, Better, Ratio, spread_of
from benchmarks._report import format_cell, read, record, shown, table, write
from benchmarks._table import markdown

SPREAD = spread_of([1.1, 1.2, 1.4])
MET = Ratio("call", "ours", "bare", SPREAD, Better.LOWER, 1.25)
MISSED = Ratio("call", "ours", "peer", SPREAD, Better.HIGHER, 5.0)
TIME = Amount("call", "ours", "us", spread_of([540.0]), Better.LOWER, 60.0)
OUTCOME = Outcome([MET, MISSED], [TIME], ["validate_state"], ["one answer differs"], ["quiet"])


def nothing(_request: Request) -> Outcome:
    return OUTCOME


BENCHMARK = Benchmark("What?", "nothing", nothing, packages=("attrs",))


def test_columns_are_aligned() -> None:
    lines = table("Title", ("name", "value"), [("a", 1.234), ("longer", 12_345.6), ("c", None)])
    assert lines.splitlines() == [
        "Title",
        "name     value",
        "--------------",
        "a         1.23",
        "longer  12,346",
        "c            -",
    ]
    assert [format_cell(each) for each in (0.5, 3, 3.0, "x")] == ["0.5", "3", "3", "x"]


def test_each_figure_stands_beside_its_target() -> None:
    text = shown(OUTCOME)
    (met,) = [line for line in text.splitlines() if "ours / bare" in line]
    (missed,) = [line for line in text.splitlines() if "ours / peer" in line]
    (time,) = [line for line in text.splitlines() if line.startswith("call, us")]
    assert met.split()[-3:] == ["<=", "1.25", "met"]
    assert missed.split()[-3:] == [">=", "5", "MISSED"]
    assert time.split()[-3:] == ["<=", "60", "MISSED"]
    assert "1.15-1.3" in met, "quartiles"
    assert "1.1-1.4" in met, "least and most"
    for said in ("held: validate_state", "FAILED: one answer differs", "note: quiet"):
        assert said in text


def test_a_file_gives_back_what_went_on_record(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "figures.json"
    write(path, "one", record("one", BENCHMARK, ["--scale", "1"], OUTCOME))
    write(path, "two", record("two", BENCHMARK, [], Outcome([MET])))
    write(path, "two", record("two", BENCHMARK, [], Outcome([MISSED])))
    found = read(path)
    assert list(found) == ["one", "two"]
    assert found["one"].ratios == [MET, MISSED]
    assert found["one"].arguments == ["--scale", "1"]
    assert found["one"].failures == ["one answer differs"]
    assert found["two"].ratios == [MISSED], "a run replaces its own record"


def test_a_file_becomes_a_table_of_what_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    untargeted = Amount("rows", "ours", "", spread_of([3.0]))
    outcome = Outcome([MET, MISSED], [TIME, untargeted])
    write(path, "one", record("one", BENCHMARK, [], outcome))
    origin, _, told, _, *lines = markdown(path).splitlines()
    assert "processors" in origin
    assert "commit" in origin
    assert lines == [
        "| benchmark | figure | of | median | quartiles | target |  |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| one | call | ours / bare | 1.2 | 1.15 to 1.3 | <= 1.25 | met |",
        "| one | call | ours / peer | 1.2 | 1.15 to 1.3 | >= 5 | MISSED |",
        "| one | call, us | ours | 540 |  | <= 60 | MISSED |",
    ]
    assert told == "1 of 3 targets are met."
    other = tmp_path / "other.json"
    write(other, "two", record("two", BENCHMARK, [], Outcome([MET])))
    origin, _, told, _, *both = markdown(path, other).splitlines()
    assert both == [*lines, lines[2].replace("one", "two")], "one table of all files"
    assert told == "2 of 4 targets are met."
    with pytest.raises(CannotRun, match="none.json"):
        markdown(path, tmp_path / "none.json")


def test_a_record_says_where_it_comes_from_and_judges_no_absolute_figure() -> None:
    entry = record("one", BENCHMARK, [], OUTCOME)
    assert {"time", "commit", "machine", "versions"} <= set(entry)
    assert entry["machine"]["cpus"] >= 1
    assert "attrs" in entry["versions"]
    (context,) = entry["context"]
    assert (context["unit"], context["median"], context["target"]) == ("us", 540.0, 60.0)
    assert "met" not in context
    assert [each["met"] for each in entry["ratios"]] == [True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no figures"),
        ('{"format": 99, "benchmarks": {}}', "holds no figures"),
        ('{"format": 1}', "no object `benchmarks`"),
        ('{"format": 1, "benchmarks": {"one": {"ratios": [{}]}}}', "record of one is damaged"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(CannotRun, match=said):
        read(path)
    with pytest.raises(CannotRun, match=r"missing\.json"):
        read(tmp_path / "missing.json")


def test_somebody_else_s_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"mine": 1}))
    with pytest.raises(CannotRun, match="holds no figures"):
        write(path, "one", {})
    assert json.loads(path.read_text()) == {"mine": 1}
