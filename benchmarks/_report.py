"""How a run is shown, as aligned tables, and what of it goes on record, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from benchmarks._benchmark import Benchmark, CannotRun, Outcome
from benchmarks._figures import Amount, Better, Ratio, Spread
from benchmarks._machine import commit, machine, versions

FORMAT = 1
Cell = str | int | float | None


@attrs.frozen
class Record:
    """One benchmark in a file of figures.

    Attributes:
        arguments: with which it can be run again.
        failures: of that run.
    """

    name: str
    arguments: Sequence[str]
    ratios: Sequence[Ratio]
    failures: Sequence[str]


def format_cell(value: Cell) -> str:
    """Numbers with a thousands separator and three significant digits at least; None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A text table: the first column to the left, the others to the right."""
    lines = [list(columns), *([format_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    text = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, text[0], "-" * len(text[0]), *text[1:]])


def verdict(found: Ratio | Amount) -> str:
    """Whether its target was met; empty: it has none."""
    return "" if found.met is None else "met" if found.met else "MISSED"


def shown(outcome: Outcome) -> str:
    """The tables of one run."""
    parts = []
    if outcome.ratios:
        columns = ("ratio", "of", "median", "quartiles", "least-most", "rounds", "target", "")
        rows = [(each.figure, _pair(each), *_cells(each)) for each in outcome.ratios]
        parts.append(table("Ratios, one a round", columns, rows))
    if outcome.amounts:
        columns = ("context", "of", "median", "quartiles", "least-most", "rounds", "target", "")
        rows = [(_with_unit(each), each.side, *_cells(each)) for each in outcome.amounts]
        parts.append(table("On this machine, in this run", columns, rows))
    lines = [
        *(f"held: {text}" for text in outcome.checks),
        *(f"note: {text}" for text in outcome.notes),
        *(f"FAILED: {text}" for text in outcome.failures),
    ]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])])


def _pair(ratio: Ratio) -> str:
    return f"{ratio.side} / {ratio.over}"


def _with_unit(amount: Amount) -> str:
    return f"{amount.figure}, {amount.unit}" if amount.unit else amount.figure


def _cells(found: Ratio | Amount) -> tuple[Cell, ...]:
    spread = found.spread
    return (
        spread.median,
        f"{format_cell(spread.low)}-{format_cell(spread.high)}",
        f"{format_cell(spread.least)}-{format_cell(spread.most)}",
        str(spread.rounds),
        "" if found.target is None else found.better.bound(found.target),
        verdict(found),
    )


def record(
    name: str, benchmark: Benchmark, arguments: Sequence[str], outcome: Outcome
) -> dict[str, Any]:
    """What goes on record of a run. Absolute figures are in it as context alone."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(["ffq-runtime", *benchmark.packages]),
        "arguments": list(arguments),
        "question": benchmark.question,
        "baseline": benchmark.baseline,
        "ratios": [_ratio_json(each) for each in outcome.ratios],
        "checks": list(outcome.checks),
        "failures": list(outcome.failures),
        "notes": list(outcome.notes),
        "context": [_amount_json(each) for each in outcome.amounts],
    }


def _ratio_json(ratio: Ratio) -> dict[str, Any]:
    return {
        "figure": ratio.figure,
        "side": ratio.side,
        "over": ratio.over,
        **attrs.asdict(ratio.spread),
        "better": ratio.better.value,
        "target": ratio.target,
        "met": ratio.met,
    }


def _amount_json(amount: Amount) -> dict[str, Any]:
    return {
        "figure": amount.figure,
        "side": amount.side,
        "unit": amount.unit,
        "median": amount.spread.median,
        "better": amount.better.value,
        "target": amount.target,
    }


def write(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Put a benchmark's record into a file; those of other benchmarks in it stay.

    Raises CannotRun: the file is there and holds something else.
    """
    kept = entries(path) if path.exists() else {}
    document = {"format": FORMAT, "benchmarks": {**kept, name: dict(entry)}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def read(path: Path) -> dict[str, Record]:
    """The records of a file, by benchmark.

    Raises CannotRun: it is missing, or is not one that `write` wrote; says which.
    """
    found = {}
    for name, entry in entries(path).items():
        try:
            ratios = [parse_ratio(each) for each in entry["ratios"]]
            found[name] = Record(name, entry["arguments"], ratios, entry["failures"])
        except (KeyError, TypeError, ValueError) as error:
            raise CannotRun(f"{path}: the record of {name} is damaged: {error!r}") from error
    return found


def entries(path: Path) -> dict[str, Any]:
    """What a file has of each benchmark, unread. Raises CannotRun."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CannotRun(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CannotRun(f"{path} holds no figures of benchmarks, format {FORMAT}")
    found = document.get("benchmarks")
    if not isinstance(found, dict):
        raise CannotRun(f"{path} has no object `benchmarks`")
    return found


def parse_ratio(entry: Mapping[str, Any]) -> Ratio:
    """Raises KeyError, TypeError, ValueError: it is damaged."""
    spread = Spread(**{each.name: entry[each.name] for each in attrs.fields(Spread)})
    better, target = Better(entry["better"]), entry["target"]
    return Ratio(entry["figure"], entry["side"], entry["over"], spread, better, target)
