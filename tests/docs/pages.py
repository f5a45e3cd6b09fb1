"""What pages say of the repository, read from their text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = {path.name for path in ROOT.iterdir()}
TICKED = r"`([^`\n]+)`"
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)
"""Each page, as its path in the repository."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def read(page: str) -> str:
    return (ROOT / page).read_text()


def prose(page: str) -> str:
    """A page without its blocks of code, each run of blanks and line ends being one blank."""
    return re.sub(r"\s+", " ", BLOCK.sub("", read(page)))


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank or above."""
    rank = len(heading) - len(heading.lstrip("#"))
    _, found, rest = f"\n{read(page)}".partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    return re.split(rf"^#{{1,{rank}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def is_path(name: str) -> bool:
    return name.partition("/")[0] in TOP and " " not in name


def paths(text: str) -> list[str]:
    """Files and folders of the repository that a text names in backticks."""
    return [name for name in re.findall(TICKED, text) if is_path(name)]


def names(text: str) -> list[str]:
    """What in a text's backticks could be a name in code, dotted or not."""
    found = [name for name in re.findall(TICKED, text) if re.fullmatch(r"\w+(\.\w+)*", name)]
    return [name for name in found if not is_path(name)]


def placed_names(text: str) -> list[tuple[str, str]]:
    """Python files, each with a name that the text says is in it. There are four ways to say so."""
    beside = [
        *re.findall(rf"{TICKED}(?:: | \| |, |,? \(){TICKED}", text),
        *((file, name) for name, file in re.findall(rf"{TICKED}(?: \(| in ){TICKED}", text)),
    ]
    return [(file, name) for file, name in beside if is_python(file) and not is_path(name)]


def is_python(file: str) -> bool:
    return is_path(file) and file.endswith(".py")


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse(read(file))


def defines(file: str, name: str) -> bool:
    """Whether a file defines a name: at any depth, or where `Class.method` says."""
    return _defined(tree_of(file), name.split(".")) or (
        # `module.name`, where the file is module.py
        name.startswith(f"{Path(file).stem}.") and defines(file, name.partition(".")[2])
    )


def _defined(inside: ast.AST, parts: list[str]) -> bool:
    for node in ast.walk(inside):
        if node is not inside and parts[0] in _names_given(node):
            if len(parts) == 1:
                return True
            if isinstance(node, Definition) and _defined(node, parts[1:]):
                return True
    return False


def _names_given(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.AnnAssign(target=ast.Name(id=name)):
            return (name,)
        case ast.Assign(targets=targets):
            return [each.id for each in targets if isinstance(each, ast.Name)]
        case _:
            return ()
