"""`python -m benchmarks NAME [options]` runs benchmarks/NAME.py; without a name, lists them.

A benchmark is a module with `main(arguments: list[str]) -> int`, whose docstring's first line says
what it measures.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """The benchmarks there are: modules without a leading underscore."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main(arguments: list[str]) -> int:
    """Run the named benchmark; exit status 2 when there is none of that name."""
    if arguments and arguments[0] in names():
        module = importlib.import_module(f"benchmarks.{arguments[0]}")
        status: int = module.main(arguments[1:])
        return status
    print("usage: python -m benchmarks NAME [options]\n")
    for name in names():
        docstring = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or name
        print(f"  {name:<12} {docstring.splitlines()[0]}")
    return 0 if not arguments or arguments[0] in {"-h", "--help"} else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
