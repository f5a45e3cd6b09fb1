"""Every block of the README and of docs/ runs, page by page, as a reader would run it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ffq
from tests.docs.blocks import RUN, SHOWN, Reader, blocks_of, reading
from tests.docs.page_data import PAGE_DATA, WITH_SESSION
from tests.docs.pages import PAGES, ROOT, read
from tests.profiles import IS_QUICK

GUIDE = [page for page in PAGES if page == "README.md" or page.startswith("docs/")]

ELSEWHERE = {
    "docs/actors.md": "tests/runtime/test_runtime_alone.py",
    "docs/architecture.md": "tests/docs/test_architecture.py",
}
"""Pages of which another test runs every block."""

NOT_RUN = {
    ("README.md", 'pip install ".[demo]" && ffq demo'): "a minute: tests/integration/test_demo.py",
    ("docs/how-to/fastapi.md", "uvicorn app:app --port 8000"): "tests/docs/test_fastapi_page.py",
    ("docs/testing.md", "python -m tests.simulation --count 10"): (
        "long: tests/testing/test_docs_example.py, tests/property/test_simulation.py"
    ),
    ("docs/testing.md", "python -m tests.mutants"): "minutes; a part of the gate",
    ("docs/testing.md", "ffq conformance --coordinator 127.0.0.1:50051 \\"): (
        "half a minute: tests/integration/test_conformance.py"
    ),
}
"""Blocks that no test runs as they stand, by page and first line, and why."""

LONG = {
    "README.md",
    "docs/how-to/fastapi.md",
    "docs/how-to/models.md",
    "docs/how-to/notebooks.md",
    "docs/how-to/scripts.md",
    "docs/how-to/service.md",
    "docs/operators.md",
    "docs/python-api.md",
}
"""Pages that start many processes, for the gate."""
RUN_NOW = [page for page in GUIDE if page not in ELSEWHERE and not (IS_QUICK and page in LONG)]


@pytest.fixture(scope="module")
def session() -> Iterator[ffq.Session]:
    """Of the pages that open none."""
    with ffq.connect(workers=1) as session:
        yield session


def no_data(reader: Reader) -> None:
    """Most pages make what they need."""


@pytest.mark.timeout(600)  # for what hangs: a page has a dozen processes to start
@pytest.mark.parametrize("page", RUN_NOW)
def test_every_block_runs(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    blocks = [block for block in blocks_of(page) if (page, block.opening) not in NOT_RUN]
    if not any(block.runs or block.title for block in blocks):
        return
    with reading(tmp_path) as reader:
        if page in WITH_SESSION:
            reader.names["session"] = request.getfixturevalue("session")
        PAGE_DATA.get(page, no_data)(reader)
        for block in blocks:
            reader.follow(block)


def test_what_is_not_run_is_there_and_runs_elsewhere() -> None:
    there = {(page, block.opening) for page in GUIDE for block in blocks_of(page) if block.runs}
    assert NOT_RUN.keys() <= there
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / test).read_text()
    for why in NOT_RUN.values():
        assert all((ROOT / file).exists() for file in re.findall(r"tests/\S+\.py", why))


@pytest.mark.parametrize("page", GUIDE)
def test_every_block_says_its_language(page: str) -> None:
    fences = re.findall(r"^ *(?:```|~~~)(.*)$", read(page), re.MULTILINE)
    blocks = blocks_of(page)
    assert len(fences) == 2 * len(blocks), "a fence that opens or closes no block"
    assert {block.language for block in blocks} <= RUN | SHOWN


@pytest.mark.parametrize("page", GUIDE)
def test_no_code_is_hidden_from_the_tests_by_its_indent(page: str) -> None:
    outside = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"\n\n(    \S.*)", outside) == []


@pytest.mark.parametrize("page", GUIDE)
def test_every_extra_that_it_installs_is_there(page: str) -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    named = re.findall(r"pip install[^\n`]*?(?:ffq-runtime|\.)\[([\w,]+)\]", read(page))
    assert {extra for names in named for extra in names.split(",")} <= set(
        project["optional-dependencies"]
    )
