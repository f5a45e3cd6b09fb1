"""What `pip install -e ".[bench]"` brings is all that listing the benchmarks takes."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CODE = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from benchmarks.__main__ import main
sys.exit(main([]))
"""


def _modules(requirements: list[str]) -> set[str]:
    names = (re.split(r"[\[<>=;~! ]", each)[0] for each in requirements)
    return {name.replace("-", "_").lower() for name in names}


def test_the_benchmarks_are_listed_with_their_own_extra_and_no_more() -> None:
    """Packages of the tests are taken away, as far as neither the base nor the extra has them."""
    extras = PROJECT["optional-dependencies"]
    own = _modules(PROJECT["dependencies"]) | _modules(extras["bench"]) | _modules(extras["demo"])
    missing = _modules(extras["test"]) - own
    assert {"pytest", "moto"} <= missing
    code = CODE.replace("{missing}", repr(missing))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tpch" in done.stdout
