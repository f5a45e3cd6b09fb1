"""Break the code one rule at a time, and see whether the tests' harness finds each break.

Prints a line per mutant: the rule that it breaks, the check that caught it, and after how much
work. Then the code as it is, where nothing may be found: as many runs of the machine as a mutant
has at most, and the clusters that showed what was broken. Exit status 1 when a mutant was not
caught, or when something was found where nothing is broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.mutants import (
    MUTANTS,
    Catch,
    Mutant,
    hunt,
    machine_on_the_unbroken,
    simulations_of_the_unbroken,
)

EXAMPLES = """
examples:
  python -m tests.mutants                        all of them, a few minutes
  python -m tests.mutants --list                 their names, and what each breaks
  python -m tests.mutants no-backoff barrier-open
  python -m tests.simulation --mutant NAME --seed N
                                                 what was found in one, again
  python -m tests.mutants.gateway NAME --bind 127.0.0.1:50099
                                                 a gateway that has it, to try `ffq conformance` on

A new one is a function registered in tests/mutants/*.py; it must be caught.
"""


def main(arguments: list[str] | None = None) -> int:
    """Hunt all mutants, or those named, over as many processes as there are processors."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="name them, and what each breaks")
    processors = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--processes",
        type=int,
        default=processors,
        metavar="N",
        help=f"over how many processes ({processors}: as many as there are processors)",
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(MUTANTS))
    if unknown:
        parser.error(f"no mutant is called {', '.join(unknown)}; --list names them")
    if options.processes < 1:
        parser.error(f"--processes takes a number from 1 on, not {options.processes}")
    if options.list:
        for each in MUTANTS.values():
            sys.stdout.write(f"{each.name:32} {each.rule:4} {each.text}\n")
        return 0
    names = options.names or list(MUTANTS)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        machine = pool.submit(machine_on_the_unbroken)
        catches = print_table(MUTANTS, pool.map(hunt, names))
        seeds = sorted({catch.seed for catch in catches if catch.seed is not None})
        simulations = pool.submit(simulations_of_the_unbroken, seeds)
        controls = [machine.result(), simulations.result()]
    for control in controls:
        if control.check or control.crash:
            sys.stdout.write(f"{_line(control, '')}\nnothing is broken, and still a check failed\n")
            return 1
    lived = not_caught(catches)
    if lived:
        sys.stdout.write(f"{len(lived)} of {len(names)} mutants lived: {', '.join(lived)}\n")
        return 1
    sys.stdout.write(
        f"all {len(names)} mutants were caught; to see one again:\n"
        "python -m tests.simulation --mutant NAME --seed N\n"
    )
    return 0


def print_table(mutants: dict[str, Mutant], catches: Iterable[Catch]) -> list[Catch]:
    """A line for each, when it comes; returns them."""
    printed = []
    for catch in catches:
        sys.stdout.write(_line(catch, mutants[catch.mutant].rule) + "\n")
        sys.stdout.flush()
        printed.append(catch)
    return printed


def not_caught(catches: Iterable[Catch]) -> list[str]:
    """Their names."""
    return [catch.mutant for catch in catches if not catch.check]


def _line(catch: Catch, rule: str) -> str:
    verdict = f"CRASHED {catch.crash}" if catch.crash else catch.check or "NOT CAUGHT"
    seed = "" if catch.seed is None else f"  --seed {catch.seed}"
    effort = f"after {catch.effort:>18}  {catch.seconds:5.1f} s{seed}"
    return f"{catch.mutant:30} {rule:4} {verdict:28} {effort}"


if __name__ == "__main__":
    sys.exit(main())
