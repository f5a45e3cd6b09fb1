"""Black-box conformance of any FFQ coordinator, over its adapter (see docs/testing.md)."""

from ffq.testing.conformance.runner import RULES as RULES
from ffq.testing.conformance.runner import ConformanceReport as ConformanceReport
from ffq.testing.conformance.runner import RuleReport as RuleReport
from ffq.testing.conformance.runner import RunOptions as RunOptions
from ffq.testing.conformance.runner import Verdict as Verdict
from ffq.testing.conformance.runner import report_lines as report_lines
from ffq.testing.conformance.runner import run_conformance as run_conformance
