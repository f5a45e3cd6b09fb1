"""Actors: ask, tell, spawn and memory of ffq, a raw Trio channel, Pykka and xoscar (--ray: Ray).

Each framework runs in a process of its own, several times in turn; the best of each figure counts,
because other work on the machine mostly makes a run slower. Pykka is measured twice: with its
threads where the kernel puts them, and on two cores, where every ask wakes another core.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from typing import Any

from benchmarks._report import table, write_json

FIGURES = {
    "ask": "ask, one at a time /s",
    "ask100": "ask, 100 at once /s",
    "tell": "tell /s",
    "spawn": "spawn+stop /s",
    "idle_bytes": "bytes per idle actor",
}
TARGETS = (
    ("ask", "raw", 0.45),
    ("tell", "raw", 0.6),
    ("ask", "pykka", 2.5),
    ("ask", "pykka, 2 cores", 2.5),
    ("ask", "xoscar", 1.5),
)
OPTIONS = {"pykka, 2 cores": ("pykka", "--apart")}
IDLE_ACTORS, IDLE_LIMIT_MIB = 100_000, 1024


def run(framework: str, *options: str) -> dict[str, Any]:
    """Measure one framework in a fresh process; what it complains about is shown."""
    command = [sys.executable, "-m", f"benchmarks.actor_frameworks.{framework}", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The best of each figure: most per second, fewest bytes."""
    return {
        key: (min if "bytes" in key else max)(one[key] for one in runs)
        for key in runs[0]
        if runs[0][key] is not None
    }


def main(arguments: list[str]) -> int:
    """Print the tables and write results/actors.json; status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks actors", description=__doc__)
    parser.add_argument("--ray", action="store_true", help="measure Ray too; it must be installed")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each framework")
    options = parser.parse_args(arguments)
    if options.ray and importlib.util.find_spec("ray") is None:
        parser.error("--ray needs Ray: pip install ray")
    frameworks = [
        "ffq",
        "raw",
        "pykka",
        "pykka, 2 cores",
        "xoscar",
        *(["ray"] if options.ray else []),
    ]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in frameworks}
    for _ in range(options.rounds):
        for name in frameworks:
            runs[name].append(run(*OPTIONS.get(name, (name,))))
    results = {name: best(runs[name]) for name in frameworks}
    features = best([run("ffq", "--features") for _ in range(options.rounds)])
    idle = run("ffq", "--idle", str(IDLE_ACTORS))

    rows = [
        [title, *(results[name].get(key) for name in frameworks)] for key, title in FIGURES.items()
    ]
    print(table("Actors in one process", ["", *frameworks], rows), end="\n\n")
    plain = features["plain ask"]
    costs = [[name, rate, plain / rate] for name, rate in features.items()]
    print(
        table("What a feature costs an ask", ["", "/s", "time, plain ask = 1"], costs), end="\n\n"
    )

    met: list[list[Any]] = []
    for figure, other, least in TARGETS:
        ratio = results["ffq"][figure] / results[other][figure]
        met.append([f"{figure} / {other}", f">= {least}", f"{ratio:.2f}", ratio >= least])
    mib = idle["rss_mib"]
    idle_name = f"{IDLE_ACTORS:,} idle actors, MiB of the process"
    met.append([idle_name, f"<= {IDLE_LIMIT_MIB}", f"{mib:.0f}", mib <= IDLE_LIMIT_MIB])
    lines = [[*row[:3], "met" if row[3] else "MISSED"] for row in met]
    print(table("Targets", ["", "target", "measured", ""], lines))
    written = write_json(
        "actors",
        {"figures": results, "features": features, "idle": idle, "runs": runs, "targets": met},
        packages=("trio", "attrs", "pykka", "xoscar", "ray"),
    )
    print(f"\nwritten to {written.relative_to(written.parents[1])}")
    return 0 if all(row[3] for row in met) else 1
