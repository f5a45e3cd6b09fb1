"""Run whole simulated clusters under faults, and print the first whose check fails.

A scenario is a function of its seed: workers, queries, faults, the order of all tasks and every
delay. So a seed that fails fails again, with the same trace.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import count, islice

from tests.simulation.cluster import simulate_cluster
from tests.simulation.scenario import scenario_of

EXAMPLES = """
examples:
  python -m tests.simulation                     seeds 0 to 99
  python -m tests.simulation --count 1000        seeds 0 to 999
  python -m tests.simulation --first 5000        seeds 5000 to 5099
  python -m tests.simulation --count 0           until told to stop (ctrl-C)
  python -m tests.simulation --seed 7            one scenario, with its trace
  python -m tests.simulation --seed 7 --mutant lease-never-lapses
                                                 the same on code with one rule broken

How to read a trace: docs/testing.md, "Reading a failing seed".
"""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when a check failed."""
    # Mutants are hunted with simulations: the package below must not need the one above.
    from tests.mutants import MUTANTS

    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="run this one only, and print its trace"
    )
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="the first seed of many (0)"
    )
    parser.add_argument(
        "--count", type=int, default=100, metavar="N", help="how many seeds; 0: no end (100)"
    )
    parser.add_argument(
        "--mutant",
        choices=sorted(MUTANTS),
        metavar="NAME",
        help="break the code in this way first; python -m tests.mutants --list has the names",
    )
    options = parser.parse_args(arguments)
    if options.seed is not None and options.seed < 0:
        parser.error(f"--seed takes a number from 0 on, not {options.seed}")
    with MUTANTS[options.mutant].applied() if options.mutant else nullcontext():
        if options.seed is not None:
            return _replay(options.seed, options.mutant)
        seeds = count(options.first)
        return _search(islice(seeds, options.count) if options.count else seeds, options.mutant)


def _replay(seed: int, mutant: str | None) -> int:
    simulated = simulate_cluster(scenario_of(seed))
    sys.stdout.write(simulated.report(mutant) + "\n")
    return 0 if simulated.violation is None else 1


def _search(seeds: Iterable[int], mutant: str | None) -> int:
    done = 0
    try:
        for seed in seeds:
            simulated = simulate_cluster(scenario_of(seed))
            if simulated.violation is not None:
                sys.stdout.write(simulated.report(mutant) + "\n")
                return 1
            done += 1
    except KeyboardInterrupt:
        pass  # told to stop
    sys.stdout.write(f"{done:,} simulations, all checks held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
