"""Which tests check which rule of docs/protocol.md.

    python scripts/rule_tests.py --write     write the table between the markers on that page
    python scripts/rule_tests.py --check     exit 1 when it is not current, when a rule has no test,
                                             or when a test names a rule that is not there

A test says which rules it checks by its name: `test_R4_a_terminal_query_stays`, or
`test_R4_R5_a_late_cancel`. Property machines also check rules while they run; their assertions
begin with the rule: `assert counted == running, "R13: ..."`.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs/protocol.md")
MACHINES = Path("tests/property")
BEGIN = "<!-- rule tests: scripts/rule_tests.py --write -->"
END = "<!-- end of rule tests -->"

DEFINED = re.compile(r"^- ((?:\*\*R\d+\*\*(?:, )?)+)", re.MULTILINE)
NAMED = re.compile(r"test_((?:R\d+_)+)")
ASSERTED = re.compile(r"R\d+(?:, R\d+)*")

Rules = dict[str, Counter[Path]]
"""By rule, how often each file checks it."""


def defined_rules(page: str) -> list[str]:
    """The rules that the page defines, in its order."""
    return [rule for heads in DEFINED.findall(page) for rule in re.findall(r"R\d+", heads)]


def named_tests(tree: ast.Module) -> Iterator[str]:
    """Rules in the names of test functions, test classes, and names that are given to such."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case _:
                continue
        found = NAMED.match(name)
        if found is not None:
            yield from re.findall(r"R\d+", found[1])


def asserted_rules(tree: ast.Module) -> Iterator[str]:
    """Rules that the messages of assertions begin with."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert(msg=ast.expr() as message):
                pass
            case ast.Call(func=ast.Name(id="AssertionError"), args=[message]):
                pass
            case _:
                continue
        match message:
            case ast.Constant(value=str(text)):
                pass
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
                pass
            case _:
                continue
        found = ASSERTED.match(text)
        if found is not None:
            yield from re.findall(r"R\d+", found[0])


def count(root: Path) -> tuple[Rules, Rules]:
    """What tests name, and what machines assert."""
    named: Rules = {}
    asserted: Rules = {}
    for path in sorted((root / "tests").rglob("*.py")):
        file = path.relative_to(root)
        tree = ast.parse(path.read_text(), str(file))
        for rule in named_tests(tree):
            named.setdefault(rule, Counter())[file] += 1
        if file.is_relative_to(MACHINES):
            for rule in asserted_rules(tree):
                asserted.setdefault(rule, Counter())[file] += 1
    return named, asserted


def linked(file: Path) -> str:
    name = file.relative_to("tests").with_suffix("").as_posix().replace("test_", "")
    return f"[{name}](../{file.as_posix()})"


def table(rules: list[str], named: Rules, asserted: Rules) -> str:
    lines = ["| rule | tests that name it | machines that assert it |", "|---|---|---|"]
    for rule in rules:
        tests = ", ".join(f"{linked(file)} {n}" for file, n in named.get(rule, {}).items())
        machines = ", ".join(linked(file) for file in asserted.get(rule, {}))
        lines.append(f"| {rule} | {tests} | {machines} |")
    return "\n".join(lines)


def problems(rules: list[str], named: Rules, asserted: Rules) -> list[str]:
    """What is missing, each as one line."""
    found = [
        f"{rule} is defined in {PAGE} and has no test named test_{rule}_…"
        for rule in rules
        if rule not in named
    ]
    for rule, files in [*named.items(), *asserted.items()]:
        if rule not in rules:
            where = ", ".join(map(str, files))
            found.append(f"{rule} is named in {where} and not defined in {PAGE}")
    return found


def rewritten(page: str, text: str) -> str:
    """The page with this table between its markers. Exits when they are not there."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE} needs the two lines {BEGIN!r} and {END!r}")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(description="Which tests check which rule.")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--check", action="store_true", help="only compare")
    task.add_argument("--write", action="store_true", help="rewrite the table")
    write: bool = parser.parse_args(arguments).write
    page = (root / PAGE).read_text()
    rules = defined_rules(page)
    named, asserted = count(root)
    current = rewritten(page, table(rules, named, asserted))
    found = problems(rules, named, asserted)
    if write:
        (root / PAGE).write_text(current)
    elif current != page:
        found.append(f"{PAGE} is not current: run scripts/rule_tests.py --write")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
