"""`python -m ffq.testing.simulation --seed N`: run one scenario again and print its trace.

Without a seed: `--count` scenarios from `--first` on; prints the first that fails.
"""

from __future__ import annotations

import argparse
import sys

from ffq.testing.simulation.cluster import simulate_cluster
from ffq.testing.simulation.scenario import scenario_of


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="python -m ffq.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--first", type=int, default=0, help="the first of many")
    parser.add_argument("--count", type=int, default=100, help="how many")
    options = parser.parse_args(arguments)
    write = sys.stdout.write
    if options.seed is not None:
        simulated = simulate_cluster(scenario_of(options.seed))
        write(simulated.report() + "\n")
        return 0 if simulated.violation is None else 1
    for seed in range(options.first, options.first + options.count):
        simulated = simulate_cluster(scenario_of(seed))
        if simulated.violation is not None:
            write(simulated.report() + "\n")
            return 1
    write(f"{options.count} simulations, all checks held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
