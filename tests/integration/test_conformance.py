"""`ffq conformance` against real gateways: ours, and ours with one rule broken."""

from __future__ import annotations

import re

import pytest

from tests.processes import ffq, gateway
from tests.profiles import variants

SETTINGS = (
    "--worker-liveness-timeout-ms=1000",
    "--blacklist-ttl-ms=2500",
    "--retry-backoff-base-ms=100",
    "--max-concurrent-tasks-per-worker=4",
    "--max-concurrent-tasks-per-query=6",
)
UNSEEN = {"R17", "R24", "R25"}
IN_PART = {"R10", "R22", "R23"}  # each names the check that these settings, or the wire, rule out


def rows(report: str) -> dict[str, str]:
    """Rule to its verdict."""
    found = re.findall(
        r"^(R\d+) +(holds in part|holds|broken|cannot be seen)", report, re.MULTILINE
    )
    return dict(found)


def script_of(rule: str, report: str) -> list[str]:
    """The numbered RPCs below a rule's row."""
    below = f"\n{report}".split(f"\n{rule} ", 1)[1].splitlines()[1:]
    script: list[str] = []
    for line in below:
        if not re.match(r" +\d+\. ", line):
            break
        script.append(line.strip())
    return script


def test_our_gateway_conforms() -> None:
    with gateway(*SETTINGS) as (_, endpoint):
        run = ffq(
            "conformance",
            f"--coordinator={endpoint}",
            *SETTINGS,
            "--slack-ms=1000",
            "--examples=20",
        )
    verdicts = rows(run.stdout)
    assert len(verdicts) == 31, run.stdout + run.stderr
    assert {rule for rule, verdict in verdicts.items() if verdict == "broken"} == set(), run.stdout
    assert {rule for rule, verdict in verdicts.items() if verdict == "cannot be seen"} == UNSEEN
    assert {rule for rule, verdict in verdicts.items() if verdict == "holds in part"} == IN_PART
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("mutant", "rule"),
    variants(
        [
            ("cancel-overwrites-succeeded", "R4"),
            ("nobody-is-blamed", "R16"),
            ("layout-not-checked", "R13"),
        ]
    ),
)
def test_broken_gateway_is_found_out(mutant: str, rule: str) -> None:
    with gateway(*SETTINGS, mutant=mutant) as (_, endpoint):
        run = ffq(
            "conformance",
            f"--coordinator={endpoint}",
            *SETTINGS,
            f"--rule={rule}",
            "--max-wait-ms=300",
        )
    assert rows(run.stdout).get(rule) == "broken", run.stdout + run.stderr
    script = script_of(rule, run.stdout)
    assert 0 < len(script) <= 12, run.stdout
    assert run.returncode == 1


def test_no_coordinator_is_not_a_broken_one() -> None:
    run = ffq("conformance", "--coordinator=127.0.0.1:1")
    assert run.returncode == 3, run.stderr
    assert "127.0.0.1:1" in run.stderr
