"""`python -m tests.property --seeds N`: the property tests, N times, each with a seed nobody ran.

The gate runs the same examples each time, so that a commit gets the same answer twice; what they
do not show, it never sees. This takes a fresh seed for every run and prints it. A run that fails
has its output kept, and a line says how to repeat it. Exit status 1 when any run failed.

What this command does not know is handed to pytest: paths instead of all of tests/property,
`-k NAME`, `-x`.

The seeds that the simulated clusters are numbered by are fixed in every profile but `nightly`; what
Hypothesis draws, scenarios of such clusters among it, follows the seed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from tests.profiles import PROFILES

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".hypothesis" / "failed-seeds"


@attrs.frozen
class Run:
    """One run of pytest, to be made or made already."""

    seed: int
    profile: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """`fresh` (tests/conftest.py): the profile, except that the seed is heeded.

        Shrinking takes its time: no test is stopped for it.
        """
        return [
            *(sys.executable, "-m", "pytest", *(() if self.names_paths else ("tests/property",))),
            *("--hypothesis-profile=fresh", f"--hypothesis-seed={self.seed}"),
            *("--timeout=0", "-p", "no:cacheprovider", *self.arguments),
        ]

    @property
    def names_paths(self) -> bool:
        return any((ROOT / each.partition("::")[0]).exists() for each in self.arguments)

    @property
    def again(self) -> str:
        """The command that repeats it."""
        own = ("python", "-m", "tests.property", "--profile", self.profile, "--seed", self.seed)
        return shlex.join([*map(str, own), *self.arguments])

    def make(self, kept: Path) -> bool:
        """Whether it passed; prints its line."""
        started = time.monotonic()
        done = subprocess.run(
            self.command,
            cwd=ROOT,
            env={**os.environ, "HYPOTHESIS_PROFILE": self.profile},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - started
        if done.returncode == 0:
            tell(f"seed {self.seed}: passed in {seconds:.0f} s")
            return True
        kept.mkdir(parents=True, exist_ok=True)
        output = kept / f"{self.profile}-{self.seed}.txt"
        output.write_text(done.stdout)
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        tell(
            f"seed {self.seed}: FAILED in {seconds:.0f} s (pytest exited {done.returncode})",
            *(f"    {line}" for line in failed),
            f"    output: {output}",
            f"    again:  {self.again}",
        )
        return False


def tell(*lines: str) -> None:
    """All at once: runs side by side do not mix their lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.property",
        usage="%(prog)s [--seeds N | --seed S] [options] [pytest arguments]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seeds", type=int, default=1, metavar="N", help="so many fresh ones (1)")
    which.add_argument("--seed", type=int, metavar="S", help="this one again")
    parser.add_argument(
        "--profile",
        choices=[name for name in PROFILES if name != "nightly"],
        default="seeds",
        help="how many examples, and how long: see tests/profiles.py (seeds)",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="side by side (1)")
    parser.add_argument(
        "--keep",
        type=Path,
        default=KEPT,
        metavar="DIR",
        help=f"where the output of failed runs goes ({KEPT.relative_to(ROOT)})",
    )
    options, rest = parser.parse_known_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds takes a number from 1 on, not {options.seeds}")
    if options.jobs < 1:
        parser.error(f"--jobs takes a number from 1 on, not {options.jobs}")
    if options.seed is not None:
        seeds = [options.seed]
    else:
        seeds = [secrets.randbits(64) for _ in range(options.seeds)]
    runs = [Run(seed, options.profile, tuple(rest)) for seed in seeds]
    with ThreadPoolExecutor(options.jobs) as pool:
        passed = list(pool.map(lambda run: run.make(options.keep), runs))
    tell(
        f"{len(passed)} seeds of profile {options.profile}: "
        f"{passed.count(True)} passed, {passed.count(False)} failed"
    )
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
