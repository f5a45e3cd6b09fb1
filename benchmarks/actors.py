"""Actors: ask, tell, spawn and memory of ffq, of a raw Trio channel, and of other frameworks.

Each framework runs in a process of its own, all of them in each round. Pykka is measured twice: on
two cores, where every ask wakes another core, as it must where actors are to run beside their
askers; and where the kernel puts its threads, which is often the same core for both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Samples

OURS, BARE = "ffq", "raw channel"
APART = "pykka, 2 cores"
FIGURES: Final = {
    "ask": "ask, one at a time",
    "ask100": "ask, 100 at once",
    "tell": "tell",
    "spawn": "spawn and stop",
    "idle_bytes": "bytes of an idle actor",
}
SIDES: Final = {
    OURS: ("ffq",),
    BARE: ("raw",),
    APART: ("pykka", "--apart"),
    "pykka": ("pykka",),
    "xoscar": ("xoscar",),
    "ray": ("ray",),
}
PEERS: Final = {"pykka": "pykka", APART: "pykka", "xoscar": "xoscar", "ray": "ray"}
TARGETS: Final = {
    ("ask", BARE): 0.45,
    ("tell", BARE): 0.6,
    ("ask", APART): 2.5,
    ("ask", "xoscar"): 1.5,
}
PLAIN = "plain ask"
IDLE_ACTORS, IDLE_LIMIT_MIB = 100_000, 1024


def run(framework: str, *options: str) -> dict[str, Any]:
    """Measure one framework in a fresh process; what it complains about is shown."""
    command = [sys.executable, "-m", f"benchmarks.actor_frameworks.{framework}", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def sides_of(peers: frozenset[str]) -> list[str]:
    """Those that can be measured here: two cores need two."""
    here = peers if len(os.sched_getaffinity(0)) > 1 else peers - {APART}
    return [side for side in SIDES if side in {OURS, BARE} or side in here]


def measure(request: Request) -> Outcome:
    """Each framework in each round, then what features cost, then many idle actors."""
    samples = Samples()
    sides = sides_of(request.peers)
    for number in range(request.rounds):
        for side in in_turn(sides, number):
            for figure, value in run(*SIDES[side]).items():
                if value is not None:
                    samples.add(FIGURES[figure], side, value)
        for feature, rate in run("ffq", "--features").items():
            samples.add("ask of ffq", feature, rate)
        samples.add("memory", OURS, run("ffq", "--idle", str(IDLE_ACTORS))["rss_mib"])
        samples.add("memory", "1 GiB", IDLE_LIMIT_MIB)
    ratios = [
        samples.ratio(
            title,
            OURS,
            other,
            better=Better.LOWER if figure == "idle_bytes" else Better.HIGHER,
            target=TARGETS.get((figure, other)),
        )
        for figure, title in FIGURES.items()
        for other in sides
        if other != OURS and samples.has(title, other)
    ]
    features = [each for each in samples.sides("ask of ffq") if each != PLAIN]
    return Outcome(
        ratios=[
            *ratios,
            *(samples.ratio("ask of ffq", each, PLAIN, better=Better.HIGHER) for each in features),
            samples.ratio("memory", OURS, "1 GiB", target=1.0),
        ],
        amounts=[
            samples.amount(title, side, "" if figure == "idle_bytes" else "a second")
            for figure, title in FIGURES.items()
            for side in sides
            if samples.has(title, side)
        ],
        notes=[
            f"memory is of a process with {IDLE_ACTORS:,} idle actors",
            "on two cores Pykka's asker and actor can run at the same time, and each ask wakes the "
            "other core: its target is about that. Left alone the kernel mostly puts both threads "
            "on one core, where they hand over quickly and never run at once: that shows what a "
            "switch of threads costs, not what the framework does",
        ],
    )


BENCHMARK = Benchmark(
    question="How fast are asks, tells and spawns of actors, and what does an idle one weigh?",
    baseline="a task that reads a raw Trio memory channel and wakes the parked asker",
    measure=measure,
    peers=PEERS,
    rounds=3,
    packages=("trio", "attrs", "pykka", "xoscar", "ray"),
)
