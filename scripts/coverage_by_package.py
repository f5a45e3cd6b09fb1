"""What the last `coverage run -m pytest` covered, a line for each package of ffq.

Only the pytest process is measured: what runs in the processes that tests start, such as much of
ffq.cli, counts as not run.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from pathlib import Path

from coverage import Coverage


def files() -> dict[str, dict[str, dict[str, int]]]:
    """coverage's own JSON report, by file."""
    into = io.StringIO()
    coverage = Coverage()
    coverage.load()
    sys.stdout, shown = into, sys.stdout
    try:
        coverage.json_report(outfile="-")
    finally:
        sys.stdout = shown
    found: dict[str, dict[str, dict[str, int]]] = json.loads(into.getvalue())["files"]
    return found


def main() -> None:
    lines: Counter[str] = Counter()
    run: Counter[str] = Counter()
    for name, report in files().items():
        package = ".".join(Path(name).with_suffix("").parts[:2])
        for key in (package, "all"):
            lines[key] += report["summary"]["num_statements"]
            run[key] += report["summary"]["covered_lines"]
    print(f"{'':16} {'lines':>6} {'not run':>8} {'run':>5}")
    for key in [*sorted(lines.keys() - {"all"}), "all"]:
        if lines[key]:
            missing = lines[key] - run[key]
            print(f"{key:16} {lines[key]:6} {missing:8} {run[key] / lines[key]:5.0%}")


if __name__ == "__main__":
    main()
