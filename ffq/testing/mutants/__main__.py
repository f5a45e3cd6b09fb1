"""`python -m ffq.testing.mutants [NAME ...]`: break the code one rule at a time, and see it found.

Prints a line per mutant: which check caught it, after how much work. The same work is done on the
code as it is, where nothing may be found. Exit status 1 when a mutant was not caught, or when
something was found where nothing is broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from ffq.testing.mutants import MUTANTS, UNBROKEN, Catch, hunt


def main(arguments: list[str] | None = None) -> int:
    """Hunt all mutants, or those named, over as many processes as there are processors."""
    parser = argparse.ArgumentParser(prog="python -m ffq.testing.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these only")
    parser.add_argument("--list", action="store_true", help="name them, and what each breaks")
    processors = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=processors)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(MUTANTS))
    if unknown:
        parser.error(f"no mutant is called {', '.join(unknown)}; --list names them")
    if options.list:
        for each in MUTANTS.values():
            sys.stdout.write(f"{each.name:32} {each.rule:4} {each.text}\n")
        return 0
    names = options.names or list(MUTANTS)
    context = multiprocessing.get_context("spawn")
    uncaught = []
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        unbroken = pool.submit(hunt, UNBROKEN)
        for catch in pool.map(hunt, names):
            sys.stdout.write(_line(catch, MUTANTS[catch.mutant].rule) + "\n")
            sys.stdout.flush()
            if not catch.check:
                uncaught.append(catch.mutant)
        control = unbroken.result()
    total = len(names)
    if control.check:
        sys.stdout.write(f"{_line(control, '')}\nnothing is broken, and still a check failed\n")
        return 1
    if uncaught:
        sys.stdout.write(f"{len(uncaught)} of {total} mutants lived: {', '.join(uncaught)}\n")
        return 1
    sys.stdout.write(f"all {total} mutants were caught\n")
    return 0


def _line(catch: Catch, rule: str) -> str:
    found = f"{catch.check or 'NOT CAUGHT':28} after {catch.effort:>18}"
    seed = "" if catch.seed is None else f"  --seed {catch.seed}"
    return f"{catch.mutant:30} {rule:4} {found}  {catch.seconds:5.1f} s{seed}"


if __name__ == "__main__":
    sys.exit(main())
