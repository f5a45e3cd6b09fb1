"""scripts/import_circles.py finds circles however they are hidden; the runtime has none."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "import_circles", ROOT / "scripts" / "import_circles.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(folder: Path, files: dict[str, str]) -> Path:
    root = folder / "pack"
    for name, text in files.items():
        file = root / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    "back",
    [
        "import pack.a",
        "from pack import a",
        "from pack.a import f",
        "from . import a",
        "from .a import f",
        "if TYPE_CHECKING:\n    from pack.a import f",
        "def g():\n    from pack.a import f",
    ],
)
def test_import_circles_are_seen_however_they_are_written(
    script: ModuleType, tmp_path: Path, back: str
) -> None:
    files = {"a": "from pack.b import g", "b": back, "c": "import pack.a"}
    graph = script.read_graph(package(tmp_path, files))
    assert script.circles(graph) == [["pack.a", "pack.b"]]


def test_import_circles_through_a_packages_own_names_count_and_its_mere_import_does_not(
    script: ModuleType, tmp_path: Path
) -> None:
    files = {"sub/__init__": "from pack.sub.x import f", "sub/x": "from pack.sub import f"}
    assert script.circles(script.read_graph(package(tmp_path, files))) == [
        ["pack.sub", "pack.sub.x"]
    ]
    files["sub/x"] = "from pack.sub.y import f"
    files["sub/y"] = "from pack.sub import z"
    files["sub/z"] = ""
    assert script.circles(script.read_graph(package(tmp_path, files))) == []


def test_import_circles_come_largest_first(script: ModuleType) -> None:
    ring = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert script.circles(ring) == [["a", "b", "c"], ["d", "e"]]


@pytest.mark.parametrize(("most", "status"), [(1, 1), (2, 0)])
def test_import_circles_larger_than_the_bound_are_a_failure(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    most: int,
    status: int,
) -> None:
    root = package(tmp_path, {"a": "import pack.b", "b": "import pack.a"})
    monkeypatch.setattr(script, "PACKAGE", root)
    monkeypatch.setattr(sys, "argv", ["import_circles.py", "--most", str(most)])
    assert script.main() == status
    assert "  pack.a -> pack.b\n" in capsys.readouterr().out


def test_import_circles_of_the_runtime_are_none(script: ModuleType) -> None:
    graph = script.read_graph(ROOT / "ffq")
    inside = [
        circle for circle in script.circles(graph) if any("runtime" in name for name in circle)
    ]
    assert inside == []
