"""The report as text: a row for each rule, the script of what is broken below it."""

from __future__ import annotations

from collections.abc import Iterator

from ffq.testing.conformance.runner import ConformanceReport, Verdict


def report_lines(report: ConformanceReport) -> Iterator[str]:
    """Lines for a terminal."""
    for row in report.rules:
        yield f"{row.rule:<4} {row.verdict.value:<15} {row.note}"
        for line in row.script:
            yield f"       {line}"
    held = sum(row.verdict is Verdict.HOLDS for row in report.rules)
    unseen = sum(row.verdict is Verdict.UNSEEN for row in report.rules)
    yield ""
    yield f"{held} rules hold, {len(report.broken)} are broken, {unseen} cannot be seen"
