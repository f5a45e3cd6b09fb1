"""`python -m benchmarks`: what it lists, runs, compares and refuses."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks._benchmark import Benchmark, Outcome, Request
from benchmarks._figures import Ratio, spread_of
from benchmarks._report import read

MODULES = {
    path.stem.rstrip("_").replace("_", "-")
    for path in Path(command.__file__).parent.glob("*.py")
    if not path.stem.startswith("_")
}


def faked(monkeypatch: pytest.MonkeyPatch, measure: Callable[[Request], Outcome]) -> None:
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--scale", default="1")

    benchmark = Benchmark(
        "What?", "bare", measure, peers={"nobody": "no_such_package"}, options=options
    )
    monkeypatch.setattr(command, "load", lambda _name: benchmark)


def outcome(*rounds: float, target: float | None = None, failures: tuple[str, ...] = ()) -> Outcome:
    return Outcome(
        [Ratio("call", "ours", "bare", spread_of(rounds), target=target)], failures=failures
    )


def test_each_benchmark_is_listed_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert {"actors", "assign", "neighbours", "partition", "simulation", "sql"} <= MODULES
    for name in MODULES:
        benchmark = command.load(name)
        assert benchmark.question.endswith("?")
        assert f"{name}\n    {benchmark.question}\n    baseline: {benchmark.baseline}\n" in said


@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_benchmark_explains_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--json", "--peers", "--rounds"))


def test_an_unknown_name_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["gatewey"]) == 2
    said = capsys.readouterr()
    assert "no benchmark is called 'gatewey'; there are: actors, " in said.err
    assert not said.out


def test_what_was_asked_for_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[Request] = []

    def measure(request: Request) -> Outcome:
        asked.append(request)
        return outcome(1.0)

    faked(monkeypatch, measure)
    file = tmp_path / "figures.json"
    given = ["one", "--json", str(file), "--rounds", "7", "--peers", "--scale=2"]
    assert command.main(given) == 0
    (request,) = asked
    assert (request.rounds, request.peers, request.options.scale) == (7, frozenset(), "2")
    assert "nobody is not installed, and left out: pip install" in capsys.readouterr().out
    assert read(file)["one"].arguments == ["--rounds", "7", "--peers", "--scale=2"]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (outcome(1.0), 0),
        (outcome(1.0, target=1.0), 0),
        (outcome(1.1, target=1.0), 1),
        (outcome(1.0, failures=("an answer differs",)), 1),
    ],
)
def test_a_target_missed_or_a_failure_is_no_success(
    monkeypatch: pytest.MonkeyPatch, found: Outcome, status: int
) -> None:
    faked(monkeypatch, lambda _request: found)
    assert command.main(["one"]) == status


def test_no_rounds_cannot_be_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, lambda _request: outcome(1.0))
    assert command.main(["one", "--rounds", "0"]) == 2
    assert "at least 1 round" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("now", "failures", "status"),
    [((1.0, 1.0, 1.0), (), 0), ((2.0, 2.0, 2.0), (), 1), ((1.0, 1.0, 1.0), ("differs",), 1)],
)
def test_a_comparison_runs_the_same_again(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    now: tuple[float, ...],
    failures: tuple[str, ...],
    status: int,
) -> None:
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    scales: list[str] = []

    def measure(request: Request) -> Outcome:
        scales.append(request.options.scale)
        return found

    faked(monkeypatch, measure)
    found = outcome(1.0, 1.0, 1.0)
    assert command.main(["one", "--scale", "3", "--json", old]) == 0
    found = outcome(*now, failures=failures)
    assert command.main(["--compare", old]) == status
    assert scales == ["3", "3"], "with the arguments of the older run"
    command.main(["one", "--scale", "3", "--json", new])
    assert command.main(["--compare", old, new]) == status
    assert len(scales) == 3, "a newer file is read, not run"
    assert "before and after" in capsys.readouterr().out


def test_a_comparison_with_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command.main(["--compare", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_the_readme_says_what_each_benchmark_asks() -> None:
    text = (Path(command.__file__).parent / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == sorted(MODULES)
