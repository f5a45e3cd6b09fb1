"""A15: the framework stands alone (but for the root of the error tree); examples and docs run."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from examples.actors import bank, counter, cpu_pool, fetcher, pipeline
from tests.docs.blocks import blocks_of, reading

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "ffq" / "runtime"


def test_A15_imports_nothing_of_ffq() -> None:
    allowed = {"trio", "attrs", "ffq.errors", *sys.stdlib_module_names}
    for path in RUNTIME.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                known = name in allowed or name.split(".")[0] in allowed
                types_only = name == "typing_extensions"
                assert known or types_only or name.startswith("ffq.runtime"), (path, name)


@pytest.mark.parametrize("module", ["ffq.runtime.message", "ffq.runtime.errors"])
def test_A15_messages_and_errors_are_pure(module: str) -> None:
    code = f"import sys, {module}; assert 'trio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_A15_the_package_exports_what_it_says() -> None:
    package = importlib.import_module("ffq.runtime")
    drawn = set(re.findall(r"import (\w+) as \1", (RUNTIME / "__init__.py").read_text()))
    assert drawn == set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing


async def test_A15_example_counter() -> None:
    assert await counter.main() == 4950


async def test_A15_example_pipeline(autojump_clock: trio.testing.MockClock) -> None:
    output, most = await pipeline.main(100)
    assert output == [f"LINE {number}" for number in range(100)]
    assert most <= 16


async def test_A15_example_fetcher(autojump_clock: trio.testing.MockClock) -> None:
    assert await fetcher.main(seed=7) > 0


async def test_A15_example_bank() -> None:
    ada, bob, refusal = await bank.main()
    assert (ada, bob) == (8000, 2500)
    assert refusal == "bob has 2500 cents, not 1000000"


async def test_A15_example_cpu_pool() -> None:
    digests = await cpu_pool.main(jobs=8)
    assert digests == {data: cpu_pool.digest(data, 1000) for data in digests}
    assert len(digests) == 8


def test_A15_every_example_in_the_docs_runs(tmp_path: Path) -> None:
    """The examples are one program in the order of the page, on a virtual clock."""
    blocks = blocks_of("docs/actors.md")
    assert {block.language for block in blocks} <= {"python", "text"}
    assert sum(block.runs for block in blocks) > 10
    with reading(tmp_path) as reader:
        reader.clock = partial(trio.testing.MockClock, autojump_threshold=0)
        for block in blocks:
            reader.follow(block)


def test_A15_every_guarantee_that_is_cited_is_defined_and_has_tests() -> None:
    defined = re.findall(r"\*\*(A\d+)\. ", (ROOT / "docs" / "actors.md").read_text())
    assert defined == [f"A{number}" for number in range(1, 16)]
    cited: set[str] = set()
    tested: set[str] = set()
    for folder in ("ffq/runtime", "ffq/testing", "tests/runtime"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            cited.update(re.findall(r"\bA\d+\b", text))
            tested.update(re.findall(r"def test_(A\d+)_", text))
    assert cited <= set(defined)
    assert tested == set(defined)
