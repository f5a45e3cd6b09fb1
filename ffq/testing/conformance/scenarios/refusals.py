"""Scenarios of malformed requests and unknown ids."""

from __future__ import annotations

from ffq.testing.conformance.scenarios.scenario import OK, Scenario
from ffq.testing.declared import DeclaredSettings
from ffq.testing.steps import (
    At,
    Cancel,
    Fetch,
    Malformed,
    Register,
    Report,
    Results,
    Status,
    Submit,
    SubmitBytes,
    Upload,
)


def malformed(declared: DeclaredSettings) -> Scenario:
    del declared
    return Scenario(
        "malformed requests",
        ("R1", "R28", "R29", "R30"),
        (
            SubmitBytes(b""),
            SubmitBytes(b"{"),
            SubmitBytes(b'{"NoSuchNode": {}}'),
            SubmitBytes(b"[" * 50_000),
            SubmitBytes(b"[" + b"1," * 3_000_000 + b"1]"),
            Malformed(""),
            Malformed("../up"),
            Submit(0, "scan"),
            Status(0),
        ),
    )


def unknown(declared: DeclaredSettings) -> Scenario:
    del declared
    return Scenario(
        "unknown ids",
        ("R13", "R27", "R29"),
        (
            Status(7),
            Cancel(7),
            Results(7),
            Upload(7, 1),
            Report(At(7, 0, 1), OK),
            Register(At(7, 1, 1), 0, 10),
            Fetch(At(7, 1, 1), 0),
            Submit(0, "aggregate"),
            Report(At(0, 1, 1), OK),
            Register(At(0, 1, 1), 0, 10),
            Status(0),
        ),
    )
