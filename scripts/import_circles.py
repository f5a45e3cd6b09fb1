"""Circles in ffq's import graph: modules that import each other, directly or through others.

    python scripts/import_circles.py [--most 1]

Prints every circle (strongly connected component of two modules or more), the largest first, and
exits 1 when the largest has more than `--most` modules.

What counts as an import: every `import` and `from ... import` statement in a file, wherever it
stands. Those under `if TYPE_CHECKING:` and inside of functions count too: a reader, and a type
checker, follows them like any other. What does not: importing a submodule also runs the `__init__`
of its packages, and no edge is added for that, for then every module would hang on the top of its
package. `from ffq.runtime import X` is an edge to the module `ffq.runtime.X` if there is one, and
to the package `ffq.runtime`, its `__init__`, if X is a name in it.

A file that loads names by a string (`importlib`) is taken at its statements alone.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]

PACKAGE = Path(__file__).resolve().parent.parent / "ffq"
MOST = 1


def module_name(file: Path, package: Path) -> str:
    """The dotted name of a file below `package`; a package's `__init__` has the package's name."""
    parts = [package.name, *file.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_graph(package: Path) -> Graph:
    """Which module of the package imports which. Raises SyntaxError for a file that is none."""
    files = {module_name(file, package): file for file in sorted(package.rglob("*.py"))}
    return {name: set(imports(name, file, set(files))) - {name} for name, file in files.items()}


def imports(name: str, file: Path, modules: set[str]) -> Iterator[str]:
    """The modules, of those given, that one file imports anywhere in it."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node, package)
            for alias in node.names:
                submodule = f"{source}.{alias.name}"
                if submodule in modules:
                    yield submodule
                elif source in modules:
                    yield source


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that `from ... import` names, also when it is relative to `package`."""
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of two nodes or more, the largest first."""
    back: Graph = {name: set() for name in graph}
    for name, targets in graph.items():
        for target in targets:
            back[target].add(name)
    found: list[list[str]] = []
    placed: set[str] = set()
    for name in reversed(in_order_of_end(graph)):  # Kosaraju
        component = sorted(reachable(back, name, placed))
        placed.update(component)
        if len(component) > 1:
            found.append(component)
    return sorted(found, key=lambda circle: (-len(circle), circle))


def in_order_of_end(graph: Graph) -> list[str]:
    """All nodes, each after those that a search in depth goes on to from it."""
    order: list[str] = []
    seen: set[str] = set()
    for start in sorted(graph):
        stack = [(start, False)]
        while stack:
            name, done = stack.pop()
            if done:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((target, False) for target in sorted(graph[name] - seen))
    return order


def reachable(graph: Graph, start: str, without: set[str]) -> set[str]:
    """The nodes that can be reached from `start` past those `without`."""
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in found and name not in without:
            found.add(name)
            todo.extend(graph[name])
    return found


def main() -> int:
    """Print the circles; 1 when one is too large."""
    parser = argparse.ArgumentParser(description="Circles in the import graph of ffq.")
    parser.add_argument(
        "--most", type=int, default=MOST, help="modules a circle may have (default: %(default)s)"
    )
    most: int = parser.parse_args().most
    graph = read_graph(PACKAGE)
    found = circles(graph)
    for circle in found:
        inside = set(circle)
        print(f"{len(circle)} modules import each other:")
        for name in circle:
            print(f"  {name} -> {', '.join(sorted(graph[name] & inside))}")
    largest = len(found[0]) if found else 1
    print(f"{len(graph)} modules, {len(found)} circles, the largest of {largest} (at most {most})")
    return 1 if largest > most else 0


if __name__ == "__main__":
    sys.exit(main())
