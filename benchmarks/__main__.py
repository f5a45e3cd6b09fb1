"""`python -m benchmarks` lists the benchmarks; with a name it runs that one.

    python -m benchmarks NAME [--json FILE] [--peers] [--rounds N] [options of its own]
    python -m benchmarks --compare OLD.json [NEW.json] [--tolerance 0.05]
    python -m benchmarks --table FILE.json...

Exit status: 0 when all is well; 1 when a run's answers or checks are wrong, a target is missed, or
a ratio got worse; 2 when it could not be run.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks._benchmark import Benchmark, CannotRun, Outcome, Request, installed
from benchmarks._compare import TOLERANCE, Change, compare
from benchmarks._compare import shown as shown_comparison
from benchmarks._report import Record, read, record, shown, write
from benchmarks._table import markdown

HERE = Path(__file__).parent


def name_of(stem: str) -> str:
    """Of a module's benchmark: with dashes, and without the underscore that a keyword needs."""
    return stem.rstrip("_").replace("_", "-")


def modules() -> dict[str, str]:
    """The benchmarks there are, by name: modules without a leading underscore."""
    stems = sorted(path.stem for path in HERE.glob("*.py"))
    return {name_of(stem): stem for stem in stems if not stem.startswith("_")}


def load(name: str) -> Benchmark:
    """Raises CannotRun: there is none of that name; names those that there are."""
    found = modules()
    if name not in found:
        raise CannotRun(f"no benchmark is called {name!r}; there are: {', '.join(found)}")
    benchmark = importlib.import_module(f"benchmarks.{found[name]}").BENCHMARK
    assert isinstance(benchmark, Benchmark)
    return benchmark


def listing() -> str:
    """Each benchmark's name, question, baseline and peers."""
    lines = []
    for name in modules():
        benchmark = load(name)
        lines += [
            f"{name}",
            f"    {benchmark.question}",
            f"    baseline: {benchmark.baseline}",
            f"    peers: {', '.join(benchmark.peers) or 'none'}",
        ]
    return "\n".join(lines)


def _parser(name: str, benchmark: Benchmark) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}", description=benchmark.question, allow_abbrev=False
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the ratios on record there")
    parser.add_argument("--peers", action="store_true", help="measure other systems as well")
    parser.add_argument("--rounds", type=int, default=benchmark.rounds, metavar="N")
    benchmark.options(parser)
    return parser


def run(name: str, arguments: Sequence[str]) -> tuple[Outcome, list[str]]:
    """Run one and print its tables; what was found, and the arguments to run it again with.

    Raises CannotRun.
    """
    benchmark = load(name)
    options = _parser(name, benchmark).parse_args(arguments)
    if options.rounds < 1:
        raise CannotRun(f"--rounds {options.rounds}: at least 1 round is needed")
    print(f"{name}: {benchmark.question}\n  baseline: {benchmark.baseline}")
    peers = installed(benchmark.peers) if options.peers else frozenset()
    for peer, package in benchmark.peers.items():
        if options.peers and peer not in peers:
            print(f"  {peer} is not installed, and left out: pip install {package}")
    print(f"  peers: {', '.join(sorted(peers)) or 'none'}\n", flush=True)
    outcome = benchmark.measure(Request(options.rounds, peers, options))
    print(shown(outcome), flush=True)
    again = _without_json(arguments)
    if options.json is not None:
        write(options.json, name, record(name, benchmark, again, outcome))
        print(f"\nwritten to {options.json}")
    return outcome, again


def _without_json(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for each in arguments:
        if skip:
            skip = False
        elif each == "--json":
            skip = True
        elif not each.startswith("--json="):
            kept.append(each)
    return kept


def succeeded(outcome: Outcome) -> bool:
    """No failure, and no target missed."""
    met = [*(each.met for each in outcome.ratios), *(each.met for each in outcome.amounts)]
    return not outcome.failures and False not in met


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--compare", type=Path, nargs="+", metavar="FILE", required=True)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    options = parser.parse_args(arguments)
    if len(options.compare) > 2:
        parser.error("--compare takes an older file, and a newer one if it was run already")
    old = read(options.compare[0])
    new = read(options.compare[1]) if len(options.compare) == 2 else None
    worse, failures = 0, 0
    for name, before in old.items():
        if new is None:
            outcome, again = run(name, before.arguments)
            after: Record | None = Record(name, again, outcome.ratios, outcome.failures)
        else:
            after = new.get(name)
        if after is None:
            print(f"{name}: not in {options.compare[1]}\n")
            continue
        found = compare(before.ratios, after.ratios, options.tolerance)
        print(f"\n{shown_comparison(name, found)}\n")
        worse += sum(each.change is Change.WORSE for each in found)
        failures += len(after.failures)
    print(f"{worse} ratios got worse beyond the noise; {failures} failures")
    return 1 if worse or failures else 0


def main(arguments: Sequence[str]) -> int:
    """See the module's text. Returns the exit status."""
    try:
        if any(each == "--compare" or each.startswith("--compare=") for each in arguments):
            return _compare(arguments)
        if len(arguments) > 1 and arguments[0] == "--table":
            print(markdown(*map(Path, arguments[1:])))
            return 0
        if arguments and not arguments[0].startswith("-"):
            outcome, _ = run(arguments[0], arguments[1:])
            return 0 if succeeded(outcome) else 1
        print(f"{__doc__}\n{listing()}")
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if not arguments or arguments[0] in {"-h", "--help"} else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
