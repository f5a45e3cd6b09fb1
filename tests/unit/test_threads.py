"""Blocking work runs on threads of our own, wherever it is asked for."""

from __future__ import annotations

import ast
from pathlib import Path

import ffq


def test_no_work_of_ours_takes_a_thread_of_the_program_it_is_embedded_in() -> None:
    """Those of Trio's own limiter may all be waiting for that very work."""
    root = Path(ffq.__file__).parent
    calls = [
        (file.relative_to(root).as_posix(), call.lineno, {each.arg for each in call.keywords})
        for file in sorted(root.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("to_thread.run_sync")
    ]
    assert len(calls) >= 4
    assert [call for call in calls if "limiter" not in call[2]] == []
