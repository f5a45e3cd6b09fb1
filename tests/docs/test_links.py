"""What pages and docstrings refer to is there: files, headings, rules."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.docs.pages import BLOCK, PAGES, ROOT, paths, prose, read

LINK = re.compile(r"\]\(([^)\s]+)\)")
SOURCES = [
    path
    for folder in ("ffq", "tests", "scripts", "benchmarks", "examples")
    for suffix in ("py", "proto")
    for path in sorted((ROOT / folder).rglob(f"*.{suffix}"))
    if "_pb2" not in path.name and path != Path(__file__)
]


def anchors(page: str) -> set[str]:
    """Headings as links name them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", read(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    lost = []
    for link in LINK.findall(BLOCK.sub("", read(page))):
        if link.startswith("http"):
            continue
        name, _, heading = link.partition("#")
        target = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        found = target.exists()
        if found and heading:
            found = heading in anchors(target.relative_to(ROOT).as_posix())
        if not found:
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/actors.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    # The changelog also names what was.
    named = [] if page == "CHANGELOG.md" else paths(prose(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_that_a_source_cites_exists() -> None:
    lost = {
        f"{path.relative_to(ROOT)}: {page}"
        for path in SOURCES
        for page in re.findall(r"\bdocs/[\w-]+\.md\b", path.read_text())
        if not (ROOT / page).exists()
    }
    assert lost == set()


def test_every_rule_that_a_source_cites_is_defined() -> None:
    defined = set(re.findall(r"\*\*(R\d+)\*\*", read("docs/protocol.md")))
    lost = {
        f"{path.relative_to(ROOT)}: {rule}"
        for path in SOURCES
        for rule in set(re.findall(r"\bR\d+\b", path.read_text())) - defined
    }
    assert lost == set()


def exists(dotted: str) -> bool:
    """Whether a module, or a name in one, is there."""
    module, name = "ffq", None
    for part in dotted.split(".")[1:]:
        if name is not None:
            return False
        try:
            found = importlib.util.find_spec(f"{module}.{part}") is not None
        except ModuleNotFoundError:
            found = False
        if found:
            module = f"{module}.{part}"
        else:
            name = part
    return name is None or hasattr(importlib.import_module(module), name)


def test_of_what_the_changelog_renames_the_old_names_are_gone_and_the_new_are_there() -> None:
    table = read("CHANGELOG.md").partition("| was | is |")[2].partition("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines()[2:]]
    gone = [re.findall(r"`(ffq(?:\.\w+)+)`(?!:| with)", was) for was, _ in rows]
    new = [re.findall(r"`(ffq(?:\.\w+)+)", now) for _, now in rows]
    assert [name for each in gone for name in each if exists(name)] == []
    assert [name for each in new for name in each if not exists(name)] == []
    assert sum(map(len, gone)) > 10
    assert sum(map(len, new)) > 4
