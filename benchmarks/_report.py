"""What every benchmark shares: an aligned table, and JSON that names the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"

Cell = str | int | float | None


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


def machine() -> dict[str, Any]:
    """What the figures hold for: processor count, memory, Python and system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": os.cpu_count(),
        "memory_mib": memory // 2**20,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions of the packages measured; absent ones are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_json(name: str, results: Mapping[str, Any], packages: Iterable[str] = ()) -> Path:
    """Write results/NAME.json, with time, machine and versions; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {
        "benchmark": name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(packages),
        "results": dict(results),
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
