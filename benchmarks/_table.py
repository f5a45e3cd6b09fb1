"""A file of figures as a table in Markdown: what was found beside what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks._benchmark import CannotRun
from benchmarks._figures import Better, Ratio
from benchmarks._report import entries, format_cell, parse_ratio, verdict

HEAD = ("benchmark", "figure", "of", "median", "quartiles", "target", "")


def markdown(path: Path) -> str:
    """Every ratio, and those absolute figures that have a target.

    Raises CannotRun: the file is missing, or is not one of figures.
    """
    found = entries(path)
    try:
        rows = [row for name, entry in found.items() for row in _rows(name, entry)]
        origins = list(dict.fromkeys(_origin(entry) for entry in found.values()))
    except (KeyError, TypeError, ValueError) as error:
        raise CannotRun(f"{path} is damaged: {error!r}") from error
    lines = [_line(HEAD), _line(["---"] * len(HEAD)), *map(_line, rows)]
    return "\n".join([*(f"{each}  " for each in origins), "", *lines])


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for each in entry["ratios"]:
        ratio = parse_ratio(each)
        spread = ratio.spread
        yield (
            name,
            ratio.figure,
            f"{ratio.side} / {ratio.over}",
            format_cell(spread.median),
            f"{format_cell(spread.low)} to {format_cell(spread.high)}",
            _target(ratio),
            verdict(ratio),
        )
    for each in entry["context"]:
        if each["target"] is not None:
            better, target = Better(each["better"]), float(each["target"])
            met = "met" if better.meets(each["median"], target) else "MISSED"
            figure, value = f"{each['figure']}, {each['unit']}", format_cell(each["median"])
            yield (name, figure, each["side"], value, "", better.bound(target), met)


def _target(ratio: Ratio) -> str:
    return "" if ratio.target is None else ratio.better.bound(ratio.target)


def _origin(entry: Mapping[str, Any]) -> str:
    """Where an entry comes from."""
    own = entry["machine"]
    return (
        f"{own['cpus']} processors ({own['cpu']}), {own['memory_mib'] // 1024} GiB, "
        f"{own['system']} {own['kernel']}, Python {own['python']}; commit {entry['commit']}"
    )
