"""Files of figures as one table in Markdown: what was found beside what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks._benchmark import CannotRun
from benchmarks._figures import Better, Ratio
from benchmarks._report import entries, format_cell, parse_ratio, verdict

HEAD = ("benchmark", "figure", "of", "median", "quartiles", "target", "")


def markdown(*paths: Path) -> str:
    """One table of every ratio, and of those absolute figures that have a target, of all files.

    Of a benchmark that several files have, each has its rows.

    Raises CannotRun: a file is missing, or is not one of figures.
    """
    origins, rows = list[str](), list[tuple[str, ...]]()
    for path in paths:
        try:
            for name, entry in entries(path).items():
                rows += _rows(name, entry)
                origins.append(_origin(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise CannotRun(f"{path} is damaged: {error!r}") from error
    met = [row[-1] for row in rows if row[-1]]
    lines = [_line(HEAD), _line(["---"] * len(HEAD)), *map(_line, rows)]
    told = f"{met.count('met')} of {len(met)} targets are met."
    return "\n".join([*(f"{each}  " for each in dict.fromkeys(origins)), "", told, "", *lines])


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
