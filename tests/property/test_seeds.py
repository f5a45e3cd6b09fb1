"""`python -m tests.property`: a seed takes effect, also in the profile of the gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.property.__main__ import main

PROBE = "tests/seed_probe.py"


def drawn(tmp_path: Path, seed: int) -> list[str]:
    """What the probe drew with this seed, as the output kept of its failing run shows."""
    assert main(["--seed", str(seed), "--profile", "ci", "--keep", str(tmp_path), PROBE, "-s"]) == 1
    lines = (tmp_path / f"ci-{seed}.txt").read_text().splitlines()
    return [line for line in lines if line.startswith("drawn: ")]


def test_a_seed_decides_what_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, other = drawn(tmp_path, 1), drawn(tmp_path, 2)
    assert len(first) > 150, "as many examples as the profile says"
    assert first != other
    told = capsys.readouterr().out
    assert "seed 2: FAILED" in told
    assert f"again:  python -m tests.property --profile ci --seed 2 {PROBE} -s" in told
    assert told.endswith("1 seeds of profile ci: 0 passed, 1 failed\n")


def test_runs_that_pass_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--keep", str(tmp_path), PROBE, "-k", "drawn"]) == 0
    assert capsys.readouterr().out.endswith("1 seeds of profile seeds: 1 passed, 0 failed\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--jobs", "0"], ["--profile", "x"]])
def test_what_cannot_be_run_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "error" in capsys.readouterr().err
