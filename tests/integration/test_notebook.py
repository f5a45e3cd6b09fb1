"""The notebook of the examples runs, cell by cell, in a kernel of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT
from tests.processes import environment

NOTEBOOK = ROOT / "examples/customers.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=None, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[3])
"""


def test_the_notebook_asks_its_model_and_plots_the_answer(tmp_path: Path) -> None:
    done = tmp_path / "done.ipynb"
    folder = tmp_path / "run"
    folder.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), str(folder), str(done)],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    shown = outputs(json.loads(done.read_text()))
    features = next(each for each in shown if "months<br>" in each.get("text/html", ""))
    assert "<td>" in features["text/html"], "a relation shows its first rows"
    answer = next(each for each in shown if "risk" in each.get("text/plain", ""))
    assert [line.split()[1] for line in answer["text/plain"].splitlines()[1:]] == [
        "basic",
        "plus",
        "pro",
    ]
    assert any("image/png" in each for each in shown)


def outputs(notebook: Any) -> list[dict[str, str]]:
    """What cells show, by kind."""
    return [
        {kind: "".join(text) for kind, text in output["data"].items()}
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "data" in output
    ]
