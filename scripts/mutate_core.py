"""Mutates ffq/core with cosmic-ray: what do the unit tests catch, and what do the machines alone?

    pip install -e '.[test]' cosmic-ray
    python scripts/mutate_core.py --sample 150 --seed 1 --results mutants.jsonl
    python scripts/mutate_core.py --results mutants.jsonl --report

    --part 0/2 and --part 1/2, side by side and with the same results, share the sample out.

Each mutant of a random sample is put before two suites, one after the other:

    units      tests/core
    machines   the property machines and the simulated cluster, with fewer examples than the
               default profile's and without shrinking; no unit test

Works on a copy of the tree: the checkout is left alone. A run goes on where an earlier one with the
same `--results` stopped; mutants that the earlier one has seen are skipped. Mutants that differ in
annotations only or compare enum members by equality are left out, and so is consistency.py, which
is checks itself. At most one mutant is drawn for each place in the code. What the machines let live
is worth a second look at full strength:

    pytest --hypothesis-profile=fresh tests/property
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cosmic_ray.commands.init import _all_work_items  # the list that `cosmic-ray init` stores
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).parents[1]
CORE = Path("ffq/core")
SAME = ("_Is_Eq", "_IsNot_NotEq", "_Eq_Is", "_NotEq_IsNot")
LEFT_OUT = {"consistency.py", "__init__.py"}
PYTEST = f"{sys.executable} -m pytest -x -q -p no:cacheprovider --timeout=0"
SUITES = {
    "units": f"{PYTEST} tests/core",
    "machines": f"{PYTEST} --hypothesis-profile=unshrunk"
    " tests/property/test_attempt_keying_machine.py tests/property/test_retry_machine.py"
    " tests/property/test_stale_requeue_machine.py"
    " tests/property/test_simulation.py::test_no_seed_breaks_a_check",
}


def mutations(seed: int) -> list[MutationSpec]:
    """One of each place that can be mutated, in an order that the seed decides."""
    chance = random.Random(seed)
    modules = sorted(each for each in CORE.glob("*.py") if each.name not in LEFT_OUT)
    places: dict[tuple[Any, ...], list[MutationSpec]] = {}
    for item in _all_work_items(modules, {}):
        (mutation,) = item.mutations
        if mutation.operator_name.endswith(SAME):
            continue
        places.setdefault((str(mutation.module_path), mutation.start_pos), []).append(mutation)
    order = sorted(places)
    chance.shuffle(order)
    return [chance.choice(places[place]) for place in order]


def changes_code(mutation: MutationSpec) -> bool:
    source = Path(mutation.module_path).read_text()
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    mutated = mutate_code(source, operator, mutation.occurrence)
    try:
        return mutated is not None and bare(mutated) != bare(source)
    except SyntaxError:  # the bare star of a signature, taken for a multiplication
        return False


def bare(source: str) -> str:
    """The code without its annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def name_of(mutation: MutationSpec) -> str:
    line, column = mutation.start_pos
    operator = mutation.operator_name.removeprefix("core/")
    return f"{mutation.module_path}:{line}:{column} {operator} {mutation.occurrence}"


def hunt(mutation: MutationSpec, limit_s: float) -> dict[str, Any]:
    """What became of one mutant in each suite: the test that killed it, `timeout` or `survived`."""
    found: dict[str, Any] = {"mutant": name_of(mutation), "in": mutation.definition_name}
    for suite, command in SUITES.items():
        started = time.monotonic()
        result = mutate_and_test([mutation], command, limit_s)
        found["diff"] = result.diff
        found[suite] = verdict(result.test_outcome, result.output or "")
        found[f"{suite}_s"] = round(time.monotonic() - started)
    return found


def verdict(outcome: TestOutcome | None, output: str) -> str:
    if outcome is TestOutcome.SURVIVED:
        return "survived"
    lines = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0][:160] if lines else output.strip().splitlines()[-1][:160]


def check_unbroken() -> None:
    """Neither suite may find anything in the code as it is."""
    for suite, command in SUITES.items():
        outcome, output = run_tests(command, None)
        if outcome is not TestOutcome.SURVIVED:
            sys.exit(f"{suite} fails on the code as it is:\n{output}")


def read(results: Path) -> list[dict[str, Any]]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def report(found: list[dict[str, Any]]) -> Iterator[str]:
    kinds = Counter((each["units"] != "survived", each["machines"] != "survived") for each in found)
    yield f"{len(found)} mutants"
    yield f"  killed by both:        {kinds[True, True]}"
    yield f"  by the units only:     {kinds[True, False]}"
    yield f"  by the machines only:  {kinds[False, True]}"
    yield f"  by nobody:             {kinds[False, False]}"
    for each in found:
        if each["machines"] == "survived":
            yield f"\n{each['mutant']} in {each['in']}; units: {each['units']}"
            changed = [line for line in each["diff"].splitlines() if line[:1] in "+-"]
            yield from (f"    {line}" for line in changed if not line.startswith(("+++", "---")))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="a line of JSON per mutant")
    parser.add_argument("--sample", type=int, default=150, metavar="N", help="mutants (150)")
    parser.add_argument("--seed", type=int, default=1, help="decides which (1)")
    parser.add_argument("--part", default="0/1", metavar="K/N", help="every N-th, from the K-th on")
    parser.add_argument(
        "--limit", type=float, default=600, metavar="S", help="seconds that a suite may take (600)"
    )
    parser.add_argument("--report", action="store_true", help="only print what the results say")
    options = parser.parse_args()
    results = options.results.resolve()
    if not options.report:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "tree"
            hidden = shutil.ignore_patterns(".*", "__pycache__")
            shutil.copytree(ROOT, copy, ignore=hidden)
            os.chdir(copy)
            os.environ["PYTHONPATH"] = str(copy)
            known = {each["mutant"] for each in read(results)}
            sample = list(islice(filter(changes_code, mutations(options.seed)), options.sample))
            part, parts = map(int, options.part.split("/"))
            if part == 0:
                check_unbroken()
            for mutation in sample[part::parts]:
                if name_of(mutation) not in known:
                    found = hunt(mutation, options.limit)
                    with results.open("a") as file:
                        file.write(json.dumps(found) + "\n")
                    units, machines = found["units"], found["machines"]
                    print(f"{found['mutant']}\n    units: {units}\n    machines: {machines}")
            os.chdir(ROOT)
    print("\n".join(report(read(results))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
