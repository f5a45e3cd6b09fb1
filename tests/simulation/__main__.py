"""`python -m tests.simulation --seed N`: run one scenario again and print its trace.

Without a seed: `--count` scenarios from `--first` on; prints the first that fails. `--count 0` goes
on until told to stop. With `--mutant` the code is broken in this one way while it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import count, islice

from tests.simulation.cluster import simulate_cluster
from tests.simulation.scenario import scenario_of


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when a check failed."""
    # Mutants are hunted with simulations: the package below must not need the one above.
    from tests.mutants import MUTANTS

    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--first", type=int, default=0, help="the first of many")
    parser.add_argument("--count", type=int, default=100, help="how many; 0: no end")
    parser.add_argument(
        "--mutant", choices=sorted(MUTANTS), metavar="NAME", help="broken like this"
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
